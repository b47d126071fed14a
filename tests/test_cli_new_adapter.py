"""`voicepipe new-adapter`: what it writes is found, fit, and passes the conformance kit but for what is marked."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from forked_pytest import forked_pytest
from installing import metadata_of
from patience import LONG_S
from type_checking import mypy_options

from voicepipe import cli

ROOT = Path(__file__).parents[1]
ROLES = ("stt", "llm", "tts")
OVERS = (None, "http", "websocket", "process")
ALL = [(role, over) for role in ROLES for over in OVERS]
WHOLLY = {("llm", None)}
"""Checked with everything that the kit does; the others with less of it, so that it takes seconds."""
WITH_LESS = {("stt", "process"), ("llm", "websocket"), ("tts", "http")}
"""Checked by all its checks, with less repetition; the others without those that take long."""
BRIEFLY = "not many_streams and not bounded and not slow_sender and not do_not_mix"
LESS = "limits=conformance.Limits(deadline_s=30, settle_s=30, cancels=6, streams=12, at_once=3)"
NEEDS = {"http": "httpx", "websocket": "websockets"}

# Whichever test comes first pays for the tests of all twelve, each of them a run of pytest.
pytestmark = pytest.mark.timeout(1800)

AT_ONCE = 4
"""How many are checked at a time: for the most part they wait."""

each = pytest.mark.parametrize(("role", "over"), ALL, ids=lambda value: value or "inside")


def name_of(role, over):
    return f"{role}-{over or 'inside'}"


def new_adapter(name, role, over=None, into="."):
    options = [] if over is None else ["--over", over]
    return cli.main(["new-adapter", name, "--role", role, *options, "--into", str(into)])


def run(*command, cwd, path=(), **environ):
    paths = os.pathsep.join(map(str, path))
    return subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": paths, **environ},
        capture_output=True,
        text=True,
        timeout=5 * LONG_S,
        check=False,
    )


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """All twelve, by role and over."""
    place = tmp_path_factory.mktemp("adapters")
    made = {}
    for role, over in ALL:
        assert new_adapter(name_of(role, over), role, over, place) == 0
        package = made[role, over] = place / f"voicepipe-{name_of(role, over)}"
        metadata_of((package / "pyproject.toml").read_text(encoding="utf-8"), place / "site")
    return made


@pytest.fixture(scope="module")
def path(packages):
    """What pip would have put on the path."""
    return [next(iter(packages.values())).parent / "site", *(package / "src" for package in packages.values())]


@pytest.fixture(scope="module")
def kit(packages, path, tmp_path_factory):
    """What came of each one's tests."""

    def run_of(combination):
        package = packages[combination]
        options = ["-p", "voicepipe.testing.plugin", "-p", "no:cacheprovider", "-rs", "-v"]
        if combination not in WHOLLY:
            (test,) = package.glob("tests/test_[!h]*.py")
            text = test.read_text(encoding="utf-8")
            assert "faults=FAULTS)" in text
            test.write_text(text.replace("faults=FAULTS)", f"faults=FAULTS, {LESS})"), encoding="utf-8")
            options += [] if combination in WITH_LESS else ["-k", BRIEFLY]
        return package, options, path

    runs = forked_pytest(map(run_of, ALL), tmp_path_factory.mktemp("kit"), at_once=AT_ONCE)
    return dict(zip(ALL, runs, strict=True))


@each
def test_it_passes_the_kit_but_for_what_is_marked(role, over, kit):
    if over in NEEDS:
        pytest.importorskip(NEEDS[over])
    ran = kit[role, over]
    assert ran.returncode == 0, ran.stdout + ran.stderr
    skipped = set(re.findall(r"::(\w+)(?:\[.*\])? SKIPPED", ran.stdout))
    always = {"other_faults_are_noticed", "test_nothing_is_left_to_fill_in"}
    for_role = {"stt": {"the_words_are_heard"}, "tts": set(), "llm": {"tool_calls_can_be_answered"}}
    assert skipped == always | for_role[role]
    assert "cancelled_anywhere_it_leaves_nothing PASSED" in ran.stdout
    if over is not None:
        assert "a_stall_is_noticed PASSED" in ran.stdout
        assert "a_half_close_is_noticed PASSED" in ran.stdout
    assert "broken_options_are_told PASSED" in ran.stdout


@each
def test_what_is_left_to_fill_in_is_listed(role, over, kit):
    if over in NEEDS:
        pytest.importorskip(NEEDS[over])
    assert re.search(r"\d+ holes are left\n(?:src|tests)/\S+\.py:\d+: \w", kit[role, over].stdout)


def test_all_are_found_by_their_entry_points(packages, path):
    code = "import sys, voicepipe; r = voicepipe.installed(); print(*r.names(), r.broken); print(*sys.modules)"
    out = run("-c", code, cwd=ROOT, path=path).stdout
    names, modules = out.splitlines()
    assert {name_of(*one) for one in packages} <= set(names.split())
    assert names.endswith(" ()")
    assert {"httpx", "websockets"} & set(modules.split()) == set()


def test_their_examples_are_fit_and_their_options_are_shown(packages, path):
    examples = [package / "example.yaml" for package in packages.values()]
    for example in examples:
        own = re.search(r"\{type: \w+-\w+.*\}", example.read_text(encoding="utf-8"))[0]
        wrong = example.read_text(encoding="utf-8").replace(own, own[:-1] + ", modell: x}")
        example.with_name("wrong.yaml").write_text(wrong, encoding="utf-8")
    main = "import sys; from voicepipe.cli import main; sys.exit(main())"
    checked = run("-c", main, "check", "--allow-missing-secrets", *examples, cwd=ROOT, path=path)
    assert checked.stdout.count(": ok") == len(ALL)
    wrong = [example.with_name("wrong.yaml") for example in examples]
    checked = run("-c", main, "check", "--allow-missing-secrets", *wrong, cwd=ROOT, path=path)
    assert checked.stdout.count('unknown key "modell"\n') == len(ALL)
    shown = json.loads(run("-c", main, "components", "--format", "json", cwd=ROOT, path=path).stdout)
    models = {(one["role"], one["name"]): [option["name"] for option in one["options"]] for one in shown["components"]}
    assert all("model" in models[role, name_of(role, over)] for role, over in ALL)


@each
def test_the_house_s_linter_has_nothing_to_say(role, over, tmp_path):
    pytest.importorskip("ruff", reason="pip install 'voicepipe-telephony[dev]'")
    for name in ("ox", "my-own-vendor"):
        assert new_adapter(name, role, over, tmp_path) == 0
        for command in (["check", "--quiet"], ["format", "--check", "--quiet"]):
            options = ("--no-cache", "--config", ROOT / "pyproject.toml")
            ran = run("-m", "ruff", *command, *options, ".", cwd=tmp_path / f"voicepipe-{name}")
            assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_house_s_type_checker_has_nothing_to_say(packages, tmp_path):
    pytest.importorskip("mypy", reason="pip install 'voicepipe-telephony[dev]'")
    sources = [package / "src" / f"voicepipe_{name_of(*one).replace('-', '_')}" for one, package in packages.items()]
    path = os.pathsep.join([str(ROOT), *(str(source.parent) for source in sources)])
    ran = run("-m", "mypy", *mypy_options(tmp_path), *sources, cwd=tmp_path, MYPYPATH=path)
    assert ran.returncode == 0, ran.stdout


@each
def test_nothing_of_the_template_is_left(role, over, packages):
    for file in packages[role, over].rglob("*.*"):
        if file.is_file() and file.suffix != ".pyc":
            assert not re.search(r"acme|@[A-Z_]+@", file.read_text(encoding="utf-8"), re.IGNORECASE), file


def test_setuptools_takes_the_project(tmp_path):
    pytest.importorskip("setuptools")
    assert new_adapter("parrot", "llm", into=tmp_path) == 0
    package = tmp_path / "voicepipe-parrot"
    made = run("-c", "import setuptools; setuptools.setup()", "-q", "egg_info", cwd=package)
    assert made.returncode == 0, made.stderr
    points = (package / "src/voicepipe_parrot.egg-info/entry_points.txt").read_text(encoding="utf-8")
    assert points.split() == ["[voicepipe.llm]", "parrot", "=", "voicepipe_parrot.adapter:llm"]


def test_it_says_what_to_do_next(tmp_path, capsys):
    assert new_adapter("parrot", "llm", "http", tmp_path) == 0
    out = capsys.readouterr().out
    assert f"cd {tmp_path / 'voicepipe-parrot'}\n" in out
    assert "pip install -e '.[dev]'" in out
    assert "pytest -rs" in out
    assert "type: parrot" in out


def test_the_page_of_commands_shows_what_it_prints(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert new_adapter("acme", "tts", "http") == 0
    page = (ROOT / "docs/reference/cli.md").read_text(encoding="utf-8")
    assert f"$ voicepipe new-adapter acme --role tts --over http\n{capsys.readouterr().out}```\n" in page


def test_a_name_of_several_words(tmp_path):
    assert new_adapter("my-own_vendor", "tts", "websocket", tmp_path) == 0
    service = tmp_path / "voicepipe-my-own-vendor/src/voicepipe_my_own_vendor/service.py"
    assert "class MyOwnVendorOptions:" in service.read_text(encoding="utf-8")
    test = service.parents[2] / "tests/test_my_own_vendor.py"
    assert "${MY_OWN_VENDOR_API_KEY}" in test.read_text(encoding="utf-8")
    adapter = service.with_name("adapter.py").read_text(encoding="utf-8")
    assert 'tts = Adapter(\n    name="my-own_vendor",\n    role="tts",\n' in adapter


@pytest.mark.parametrize("name", ["acme", "acmespeech", "my-acme", "acme-acme", "test-acme", "open-acme"])
@pytest.mark.parametrize("over", OVERS)
def test_a_name_with_the_template_s_own_in_it(name, over, tmp_path):
    """The templates are for `acme`: each place gets the name once, whatever is in the name."""
    assert new_adapter(name, "tts", over, tmp_path) == 0
    package = tmp_path / f"voicepipe-{name}"
    assert new_adapter("parrot", "tts", over, tmp_path) == 0
    snake, camel = name.replace("-", "_"), "".join(map(str.capitalize, name.split("-")))
    for file in (tmp_path / "voicepipe-parrot").rglob("*.*"):
        if file.is_file():
            ours = package / str(file.relative_to(tmp_path / "voicepipe-parrot")).replace("parrot", snake)
            text = file.read_text(encoding="utf-8")
            for parrot, own in (("_parrot", f"_{snake}"), ("PARROT", snake.upper()), ("Parrot", camel)):
                text = text.replace(parrot, own)
            assert ours.read_text(encoding="utf-8") == text.replace("parrot", name), ours


@pytest.mark.parametrize("over", ["http", "websocket"])
def test_the_stand_in_runs_by_itself(over, packages, path):
    pytest.importorskip(NEEDS[over])
    stand_in = subprocess.Popen(
        [sys.executable, "tests/example_server.py", "0"],
        cwd=packages["stt", over],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, path))},
        stdout=subprocess.PIPE,
        text=True,
    )
    with stand_in:
        said = stand_in.stdout.readline()
        stand_in.send_signal(signal.SIGINT)
        assert re.fullmatch(r"(http|ws)://127\.0\.0\.1:\d+, with the key test-key\n", said)
    assert stand_in.returncode == 0


def test_what_is_there_is_left_alone(tmp_path, capsys):
    assert new_adapter("parrot", "llm", into=tmp_path) == 0
    adapter = tmp_path / "voicepipe-parrot/src/voicepipe_parrot/adapter.py"
    adapter.write_text("mine", encoding="utf-8")
    assert new_adapter("parrot", "tts", into=tmp_path) == 1
    assert adapter.read_text(encoding="utf-8") == "mine"
    error = capsys.readouterr().err
    assert "voicepipe-parrot exists already\n  hint: choose another name" in error


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Parrot", "such as parrot"),
        ("my parrot", "such as my-parrot"),
        ("../parrot", "such as parrot"),
        ("parrot--2", "such as parrot"),
        ("2parrots", "such as parrots"),
        ("", "beginning with a letter"),
        ("p" * 60, "lower-case letters"),
        ("ärger", "such as rger"),
    ],
)
def test_a_bad_name(name, hint, tmp_path, capsys):
    assert new_adapter(name, "llm", into=tmp_path) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"{name!r} is not a valid adapter name\n  hint: ")
    assert hint in error
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_taken(tmp_path, capsys):
    assert new_adapter("scripted", "llm", into=tmp_path) == 1
    assert "an adapter scripted for llm exists already\n  hint: " in capsys.readouterr().err
    assert new_adapter("scripted", "tts", into=tmp_path) == 0


def test_a_place_that_can_t_be_written(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert new_adapter("parrot", "llm", into=tmp_path / "file") == 1
    assert "file" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [["parrot"], ["parrot", "--role", "ear"], ["parrot", "--role", "llm", "--over", "x"]])
def test_wrong_usage(wrong, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["new-adapter", *wrong])
    assert ended.value.code == 2
    assert "usage: voicepipe new-adapter" in capsys.readouterr().err


def test_help_teaches(capsys):
    with pytest.raises(SystemExit):
        cli.main(["new-adapter", "--help"])
    out = capsys.readouterr().out
    assert "voicepipe new-adapter parrot --role llm" in out
    assert "--into DIR" in out
