"""The dependencies between packages, checked on the imports of each module.

The packages directly below `voicepipe` and `reference_engine`, and the modules there, are ordered in layers (`LAYERS`).
A package imports only from layers below its own. docs/Architecture.md shows the same layers.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import warnings
from fnmatch import fnmatch
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import requires
from pathlib import Path

import pytest

import voicepipe
from voicepipe.components.distribution import DISTRIBUTION

ROOT = Path(voicepipe.__file__).parents[1]
ARCHITECTURE = ROOT / "docs/Architecture.md"
SDK = sorted((ROOT / "voicepipe").rglob("*.py"))
ENGINE = sorted((ROOT / "reference_engine").rglob("*.py"))
EXAMPLES = sorted((ROOT / "examples").rglob("*.py"))
PEERS = ROOT / "tests/benchmarks/peers"
"""Programs of other frameworks, which `make bench-peers` runs in environments of their own."""
VENDORS = ROOT / "tests/benchmarks/vendor_servers.py"
"""Vendors in a process of their own, which must cost less than what is measured: asyncio's bare protocols do."""
OTHERS = [
    path
    for path in sorted((ROOT / "tests").rglob("*.py"))
    if path not in {Path(__file__), VENDORS} and not path.is_relative_to(PEERS)
]

USUAL_LINES = 400
SANS_IO = re.compile(r"(?i)\bsans-io\b|\bno i/o\b|\bwithout i/o\b|\bpure\b")
"""A module whose docstring matches must do no I/O; so must each module of a package whose docstring matches."""
IO = (
    "trio",
    "socket",
    "select",
    "selectors",
    "ssl",
    "subprocess",
    "threading",
    "multiprocessing",
    "urllib.request",
    "httpx",
    "tempfile",
    "http",
)
FOR_ADAPTERS = {
    "voicepipe.audio",
    "voicepipe.components.protocols",
    "voicepipe.components.values",
    "voicepipe.components.distribution",
    "voicepipe.documents",
    "voicepipe.errors",
    "voicepipe.components.events",
    "voicepipe.components.registry",
    "voicepipe.components.requests",
    "voicepipe.components.speech_heads",
    "voicepipe.components.templates",
    "voicepipe.text.prompt_echo",
    "voicepipe.text.words",
    "voicepipe.components.tls",
    "voicepipe.wire",
    *(f"voicepipe.wire.{name}" for name in ("deadlines", "event_queue", "helper", "http")),
    *(f"voicepipe.wire.{name}" for name in ("process", "refusals", "sessions", "websocket", "websocket_connection")),
}
SHARED_BY_ADAPTERS = "voicepipe.adapters.shared"
"""The code that several adapters use; it may import `FOR_ADAPTERS`, and nurseries."""


def name_of(path: Path) -> str:
    """`voicepipe.calls.turns.rules`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in (*SDK, *ENGINE)}


@cache
def imports(path: Path) -> frozenset[str]:
    """Full names of what a module imports, anywhere in it: `trio`, `voicepipe.errors.Problem`, `voicepipe.Call`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(), path)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: use absolute imports, which show the imported package"
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(found)


def modules_imported(path: Path) -> set[str]:
    """The modules of ours that a module imports, names within them left out."""
    return {name if name in MODULES else name.rpartition(".")[0] for name in imports(path) if is_ours(name)}


def is_ours(name: str) -> bool:
    return name.partition(".")[0] in {"voicepipe", "reference_engine"}


def within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def matching(*patterns: str) -> list[Path]:
    """Files of the SDK by pattern; each pattern has some."""
    for pattern in patterns:
        assert any(fnmatch(str(path.relative_to(ROOT)), pattern) for path in SDK), f"{pattern} matches nothing"
    return [path for path in SDK if any(fnmatch(str(path.relative_to(ROOT)), pattern) for pattern in patterns)]


def breaches(paths: list[Path], forbidden) -> list[str]:
    """`voicepipe/x.py imports y`, for each import that is forbidden."""
    assert paths
    return [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in paths
        for name in sorted(imports(path))
        if forbidden(name)
    ]


def test_the_sdk_does_not_import_the_engine():
    assert breaches([*SDK, *EXAMPLES], lambda name: within(name, "reference_engine")) == []


def test_the_engine_and_the_examples_use_public_names_only():
    public = {f"voicepipe.{name}" for name in (*voicepipe.__all__, "__version__")} | {"voicepipe"}
    kit = "voicepipe.testing"
    engine = breaches(ENGINE, lambda name: within(name, "voicepipe") and name not in public)
    examples = breaches(
        EXAMPLES, lambda name: within(name, "voicepipe") and name not in public and not within(name, kit)
    )
    assert engine + examples == []


def test_only_tests_and_examples_import_the_test_kit():
    its_own = ("voicepipe.testing", "voicepipe.commands.caller")  # the latter is the kit's caller, at a terminal
    elsewhere = [path for path in SDK if not name_of(path).startswith(its_own)]
    assert breaches([*elsewhere, *ENGINE], lambda name: within(name, "voicepipe.testing")) == []


@pytest.mark.parametrize("module", sorted({*FOR_ADAPTERS, "voicepipe.testing", "voicepipe.calls.call"}))
def test_whatever_is_imported_first_can_be(module):
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True)


LAYERS = {
    "voicepipe": [
        ("roles", "audio", "text"),
        ("errors", "clock"),
        ("nurseries", "documents"),
        ("components",),
        ("tools", "wire"),
        ("config", "adapters", "transports"),
        ("pipelines",),
        ("calls",),
        ("testing",),
        ("commands",),
        ("public",),
        ("__init__",),
        ("cli",),
        ("__main__",),
    ],
    "reference_engine": [
        ("errors", "log", "link", "__init__"),
        ("settings", "upkeep", "worker"),
        ("records",),
        ("watch",),
        ("sets",),
        ("fleet",),
        ("reloads",),
        ("reports",),
        ("telemetry",),
        ("calls",),
        ("lifecycle",),
        ("pages",),
        ("control",),
        ("engine", "supervisor"),
        ("supervised",),
        ("starting",),
        ("commands", "worker_program"),
        ("cli",),
        ("__main__",),
    ],
}
"""The layers of both distributions, from the bottom up. Packages of one layer do not import each other."""


def package_in(module: str) -> str:
    """`calls` for `voicepipe.calls.turns.rules`; `__init__` for `voicepipe` itself."""
    return [*module.split("."), "__init__"][1]


def dependencies(root: str) -> dict[tuple[str, str], list[str]]:
    """The imports between two packages, by the importing and the imported one; imports for types only are included."""
    found: dict[tuple[str, str], list[str]] = {}
    for name, path in MODULES.items():
        for other in modules_imported(path) if within(name, root) else ():
            if within(other, root) and package_in(name) != package_in(other):
                found.setdefault((package_in(name), package_in(other)), []).append(f"{name} imports {other}")
    return found


@pytest.mark.parametrize("root", LAYERS)
def test_a_package_imports_only_from_layers_below_its_own(root):
    layer = {package: number for number, packages in enumerate(LAYERS[root]) for package in packages}
    assert {package_in(name) for name in MODULES if within(name, root)} == set(layer)
    upward = [
        line
        for (importing, other), lines in dependencies(root).items()
        if layer[other] >= layer[importing]
        for line in lines
    ]
    assert upward == []


@pytest.mark.parametrize("root", LAYERS)
def test_the_page_shows_these_layers(root):
    """From the top down, a layer in each line, without `__init__` and `__main__`."""
    drawn = [[name for name in layer if not name.startswith("__")] for layer in reversed(LAYERS[root])]
    section = ARCHITECTURE.read_text(encoding="utf-8").partition("\n## Layers\n")[2].partition("\n## ")[0]
    blocks = [block.split("\n") for block in re.findall(r"```text\n(.*?)\n```", section, re.DOTALL)]
    shown = [[line.split() for line in block] for block in blocks]
    assert [sorted(layer) for layer in drawn if layer] in [[sorted(layer) for layer in layers] for layers in shown]


def test_the_packages_and_their_dependencies_are_few():
    """So that one drawing shows them all."""
    assert len({package_in(name) for name in MODULES if within(name, "voicepipe")} - {"__init__", "__main__"}) <= 20
    assert len([pair for pair in dependencies("voicepipe") if "__main__" not in pair]) <= 86


@pytest.mark.parametrize("root", LAYERS)
def test_no_imports_are_circular(root):
    """Not for types either: two modules that need each other are one idea, or hide a third."""
    graph = {name: modules_imported(path) - {name} for name, path in MODULES.items() if within(name, root)}
    order = TopologicalSorter(graph)
    try:
        order.prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


@pytest.mark.parametrize("package", ["calls", "pipelines", "transports", "config", "documents", "components", "tools"])
def test_only_adapters_import_adapters(package):
    assert breaches(matching(f"voicepipe/{package}/*"), lambda name: within(name, "voicepipe.adapters")) == []


def test_calls_import_the_snapshot_and_their_settings_only():
    """A call reads its snapshot, and nothing else of pipelines or of how they are configured."""
    settings = {f"voicepipe.config.{name}_settings" for name in ("call", "history", "price")}
    allowed = {"voicepipe.pipelines.snapshot", *settings}
    found = {
        f"{path.relative_to(ROOT)} imports {module}"
        for path in matching("voicepipe/calls/*")
        for module in modules_imported(path) - allowed
        if within(module, "voicepipe.pipelines", "voicepipe.config")
    }
    assert found == set()


def test_an_adapter_imports_its_own_files_and_those_for_adapters():
    found = {
        f"{path.relative_to(ROOT)} imports {module}"
        for path in matching("voicepipe/adapters/*")
        for module in modules_imported(path) - FOR_ADAPTERS
        if not within(module, SHARED_BY_ADAPTERS, package_of(path))
        and not (package_of(path) == SHARED_BY_ADAPTERS and module == "voicepipe.nurseries")
    }
    assert found == set()


def package_of(path: Path) -> str:
    """`voicepipe.adapters.espeak` for each file in that folder."""
    return name_of(path.with_name("__init__.py"))


@pytest.mark.parametrize("package", ["config", "documents"])
def test_configuration_opens_nothing(package):
    paths = matching(f"voicepipe/{package}/*")
    assert breaches(paths, lambda name: within(name, *IO)) == []
    opened = {
        "voicepipe.pipelines",
        "voicepipe.calls",
        "voicepipe.transports",
        "voicepipe.components.boundary",
        "voicepipe.nurseries",
    }
    assert breaches(paths, lambda name: within(name, *opened)) == []


def test_documents_import_no_configuration():
    """Scripts of the scripted adapter are read with them too."""
    found = {
        f"{path.relative_to(ROOT)} imports {module}"
        for path in matching("voicepipe/documents/*")
        for module in modules_imported(path)
        if not within(module, "voicepipe.documents", "voicepipe.errors")
    }
    assert found == set()


def says_sans_io(path: Path) -> bool:
    """Whether a module says that it does no I/O, or its package does."""
    own, package = ast.get_docstring(ast.parse(path.read_text())), path.with_name("__init__.py")
    whole = ast.get_docstring(ast.parse(package.read_text())) if package.exists() else ""
    return any(SANS_IO.search((text or "").partition("\n\n")[0]) for text in (own, whole))


def test_protocol_logic_does_no_io():
    paths = [path for path in SDK if says_sans_io(path)]
    named = {str(path.relative_to(ROOT / "voicepipe")) for path in paths}
    assert {f"calls/turns/{name}.py" for name in ("turn_taking", "state", "endpointing")} <= named
    packets = "transports/audiosocket/wire_format.py"
    assert {packets, "text/words.py", "pipelines/routing.py", "components/breaker.py"} <= named
    assert len(paths) > 40
    assert breaches(paths, lambda name: within(name, *IO)) == []


def test_nothing_is_asyncio():
    others = {"asyncio", "anyio", "curio", "nest_asyncio"}
    hosts = {ROOT / "examples/under_asyncio.py", ROOT / "tests/examples/test_under_asyncio.py"}
    files = [path for path in (*SDK, *ENGINE, *EXAMPLES, *OTHERS) if path not in hosts]
    assert breaches(files, lambda name: name.partition(".")[0] in others) == []


TWICE = {
    "EndOfTurn": "a recogniser says it; turn-taking is fed it with the position in the call's audio",
    "TurnResumed": "a recogniser says it; turn-taking is fed it without the recogniser's own fields",
}
"""Names of classes that two modules have, and why both are right."""


def test_a_class_name_occurs_once():
    """A reader who looks for a class by its name finds one; an underscore before it makes no other name of it."""
    places: dict[str, list[str]] = {}
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text(), path)):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name.lstrip("_"), []).append(name)
    twice = {name: those for name, those in places.items() if len(those) > 1 and name not in TWICE}
    assert twice == {}
    assert {name for name in TWICE if len(places[name]) < 2} == set(), "no reason is needed any more"


@pytest.mark.filterwarnings("default:where is the second idea")
def test_long_files_are_looked_at():
    """A file is one idea; about 150 lines is usual. The idea decides, so a long file is a warning and no failure."""
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in (*SDK, *ENGINE)}
    long = {path: lines for path, lines in lengths.items() if lines > USUAL_LINES}
    if long:
        warnings.warn(f"where is the second idea in {long}?", stacklevel=1)


def loaded_by(statement: str) -> set[str]:
    """Top-level packages that are loaded after a statement in a fresh process."""
    show = f"{statement}\nimport sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    run = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


VENDORS = {
    "vosk",
    "espeakng_loader",
    "openai",
    "deepgram",
    "pocketsphinx",
    "pydantic",
    "websockets",
    "httpx",
    "httpx2",
    "starlette",
    "h11",
    "hypercorn",  # of installations before h11 took its place
    "prometheus_client",
    "structlog",
    "watchfiles",
    "babel",
    "cryptography",
    "numpy",
    "soxr",
    "sqlalchemy",
    "alembic",
    "psycopg",
    "opentelemetry",
    "jinja2",
}


def test_the_vendors_are_those_of_the_extras():
    """So that a vendor that is added is not forgotten below."""
    extras = {"all", "local", "dev", "docs"}
    named = set()
    for requirement in requires(DISTRIBUTION) or ():
        package, _, marker = requirement.partition(";")
        if "extra ==" in marker and not any(f'"{extra}"' in marker for extra in extras):
            name = package.split("[")[0].split("=")[0].split(">")[0].split("<")[0].strip().lower()
            name = name if not name.startswith("opentelemetry") else "opentelemetry"
            named.add({"deepgram-sdk": "deepgram"}.get(name, name.replace("-", "_")))
    assert named - {"voicepipe"} <= VENDORS


RUN_ELSEWHERE = {f"voicepipe.adapters.{name}" for name in ("espeak.worker", "pocketsphinx.worker")}
"""What helper processes run."""
ADAPTER_MODULES = sorted(name for name in MODULES if within(name, "voicepipe.adapters") and name not in RUN_ELSEWHERE)


def test_all_adapters_are_among_those_that_are_imported():
    modules = {adapter.options.__module__ for adapter in voicepipe.installed()}
    assert {module for module in modules if within(module, "voicepipe.adapters")} <= set(ADAPTER_MODULES)
    assert len(ADAPTER_MODULES) > 30


@pytest.mark.parametrize(
    "statement",
    [
        "import voicepipe",
        "from voicepipe import installed; installed()",
        "import voicepipe.cli, voicepipe.commands.parser",
        pytest.param(f"import {', '.join(ADAPTER_MODULES)}", id="import every adapter"),
    ],
)
def test_no_vendor_is_loaded_before_it_is_used(statement):
    assert loaded_by(statement) & VENDORS == set()


def test_the_sdk_does_not_load_the_engine():
    assert "reference_engine" not in loaded_by("import voicepipe, voicepipe.cli, voicepipe.commands.parser")


@pytest.mark.parametrize(
    "module", ["voicepipe.calls.turns.turn_taking", *sorted(name for name in MODULES if within(name, "voicepipe.text"))]
)
def test_turn_taking_and_words_load_neither_trio_nor_yaml(module):
    assert loaded_by(f"import {module}") & {"trio", "yaml", "cattrs", "numpy"} == set()
