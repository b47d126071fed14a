"""Makes the files of a new adapter's package from templates; pure, apart from reading the templates.

Templates (`templates/`) are files of an adapter called `acme`. A package is made in three steps:

1. `OVERS` has, for each way to reach the service or library, the files of the package and the templates that each is
   made of. `{role}` in the name of a template is replaced by `stt`, `llm` or `tts`.
2. Placeholders such as `@KIT@` are replaced by words that differ by role (`_ROLE_WORDS`) or by way (`OverWords.words`).
3. `acme` is replaced by the name of the adapter, in the spelling that the place needs (`Names`).

A transport's package has templates of its own (`transport/`), and steps 2 and 3 are the same.

Steps 2 and 3 are one regular expression, so that a name that contains `acme` is not replaced twice.
"""

from __future__ import annotations

import re
from importlib.resources import files
from typing import TYPE_CHECKING, Literal

from attrs import field, frozen

from voicepipe.components.distribution import DISTRIBUTION

if TYPE_CHECKING:
    from voicepipe.components.labels import Role

Over = Literal["inside", "http", "websocket", "process"]
"""The way to reach a service or library: in the same process, over HTTP or WebSockets, or in a helper process."""


@frozen
class Names:
    """The name of an adapter in its different spellings."""

    name: str
    """The name in the YAML: `my-vendor`."""
    snake: str = field(init=False)
    """The name for modules: `my_vendor`."""
    camel: str = field(init=False)
    """The name for classes: `MyVendor`."""
    distribution: str = field(init=False)
    """The name of the distribution: `voicepipe-my-vendor`."""

    def __attrs_post_init__(self) -> None:
        """Derives the other spellings."""
        snake = self.name.replace("-", "_")
        object.__setattr__(self, "snake", snake)
        object.__setattr__(self, "camel", "".join(part.capitalize() for part in snake.split("_")))
        object.__setattr__(self, "distribution", f"voicepipe-{snake.replace('_', '-')}")


@frozen
class OverWords:
    """The files and words of a package that depend on the way to reach the service or library."""

    against: str
    """The stand-in that it works against from the start."""
    dependencies: tuple[str, ...]
    """The requirements of the package."""
    templates: dict[str, tuple[str, ...]]
    """The templates of each file of the package."""
    told: dict[str, str]
    """The descriptions of files in the README."""
    words: dict[str, str] = field(factory=dict)
    """The values of placeholders in the templates."""


_SERVED = {
    "tests/example_engine.py": "what the stand-in for the service does",
    "tests/example_server.py": "a local server that stands in for the service, and goes wrong when told to",
}
_PROBE = '''
    async def probe(self) -> None:
        """Finds out whether the service works, without anybody's content."""
        await self._service.probe()
'''

OVERS: dict[Over, OverWords] = {
    "inside": OverWords(
        "against an engine of a few lines that stands in for the library",
        (DISTRIBUTION,),
        {"adapter.py": ("inside/adapter.{role}.py",), "engine.py": ("engine/{role}.py",), "test": ("inside/test.py",)},
        {
            "adapter.py": "the options, the component, its streams",
            "engine.py": "what stands in for the library: it goes when you have the real one",
        },
        {"ENGINE_IS": "What stands in for the library, until it is there"},
    ),
    "http": OverWords(
        "against a local server that stands in for the service",
        (DISTRIBUTION, "httpx>=0.28"),
        {
            "adapter.py": ("http/adapter.{role}.py",),
            "wire.py": ("http/wire.{role}.py",),
            "service.py": ("http/service.py",),
            "tests/example_engine.py": ("engine/{role}.py",),
            "tests/example_service.py": ("http/example_service.{role}.py",),
            "tests/example_server.py": ("http/example_server.py",),
            "test": ("http/test.py",),
        },
        {
            "adapter.py": "the component and its streams",
            "wire.py": "what requests and answers look like, and what a refusal means: all that is the vendor's own",
            "service.py": "the options, the client",
            "tests/example_service.py": "how the local server answers",
            **_SERVED,
        },
        {"ENGINE_IS": "What the stand-in for the service does"},
    ),
    "websocket": OverWords(
        "against a local server that stands in for the service",
        (DISTRIBUTION, "websockets>=17,<18"),
        {
            "adapter.py": ("session/adapter.{role}.py",),
            "wire.py": ("session/wire.{role}.py",),
            "service.py": ("websocket/service.py",),
            "tests/example_engine.py": ("engine/{role}.py", "session/conversation.{role}"),
            "tests/example_server.py": ("websocket/example_server.py",),
            "test": ("http/test.py",),
        },
        {
            "adapter.py": "the component and its streams",
            "wire.py": "what messages look like: all that is the vendor's own",
            "service.py": "the options, the sessions, what a refusal means",
            **_SERVED,
        },
        {
            "ENGINE_IS": "What the stand-in for the service does",
            "OVER": "over WebSockets",
            "OF_THE_VENDOR": " of a session: all that is the vendor's own",
            "WHO": "the vendor",
            "CHECK": "check_installed, check_options, ",
            "CHECKED": "    check=check_options,\n    check_installed=check_installed,\n",
            "PROBE": _PROBE,
        },
    ),
    "process": OverWords(
        "against an engine of a few lines in a process of its own",
        (DISTRIBUTION,),
        {
            "adapter.py": ("session/adapter.{role}.py",),
            "wire.py": ("session/wire.{role}.py",),
            "service.py": ("process/service.py",),
            "helper.py": ("process/helper.py",),
            "engine.py": ("engine/{role}.py", "session/conversation.{role}"),
            "tests/faulty_helper.py": ("process/faulty_helper.py",),
            "test": ("process/test.py",),
        },
        {
            "adapter.py": "the component and its streams",
            "wire.py": "the messages between the two processes",
            "service.py": "the options, the process, the sessions with it",
            "helper.py": "what runs in the process",
            "engine.py": "what stands in for the library: it goes when you have the real one",
            "tests/faulty_helper.py": "a process that goes wrong when told to",
        },
        {
            "ENGINE_IS": "What stands in for the library, until it is there",
            "OVER": "in a process of its own",
            "OF_THE_VENDOR": " between the adapter and its helper process",
            "WHO": "the helper",
            "CHECK": "",
            "CHECKED": "",
            "PROBE": "",
        },
    ),
}

_ROLE_WORDS: dict[Role, dict[str, str]] = {
    "stt": {"WHAT": "Speech-to-text", "KIT": "speech_to_text", "MODEL": "ears"},
    "llm": {"WHAT": "A language model", "KIT": "language_model", "MODEL": "parrot"},
    "tts": {"WHAT": "Text-to-speech", "KIT": "text_to_speech", "MODEL": "hum"},
}
_SPEECH_HOLE = """\
# HOLE: speech=(AudioFormat(8000), recording) and words='what is said in it', once it hears words;
# "Test with the kit" in voicepipe's documentation shows how `voicepipe.testing.open_speaker` makes a recording
"""
_OTHERS: dict[Role, str] = {
    "stt": "{type: pocketsphinx, phrases: [hello, good morning, goodbye]}",
    "llm": "{type: scripted, script: script.yaml}",
    "tts": "{type: espeak}",
}
"""The other components of the example, which need no server and no model."""
_SERVER_FIRST = "python tests/example_server.py    # the stand-in, until `base_url` and the key are the service's\n"
_KEYED: frozenset[Over] = frozenset({"http", "websocket"})
"""The ways that need an API key."""
_TEMPLATES = files("voicepipe.commands") / "templates"


def files_for(names: Names, role: Role, over: Over) -> dict[str, str]:
    """Returns the texts of the package's files, by path."""
    about = OVERS[over]
    module = f"src/voicepipe_{names.snake}"
    own = reference(names, over)
    words = {
        **_ROLE_WORDS[role],
        **about.words,
        "ROLE": role,
        "AGAINST": about.against,
        "DEPENDENCIES": ", ".join(f'"{requirement}"' for requirement in about.dependencies),
        "FILES": "\n".join(f"| `{_path(module, file)}` | {told} |" for file, told in about.told.items()),
        "SPEECH_HOLE": _SPEECH_HOLE if role == "stt" else "",
        "NOBODY": "http://127.0.0.1:1" if over == "http" else "ws://127.0.0.1:1",
        "CHECK_WITH": "--allow-missing-secrets " if over in _KEYED else "",
        "GREETING": f"    greeting: Good morning. This is a test of {names.name}.\n" if role == "llm" else "",
        "TERMINALS": "three" if over in _KEYED else "two",
        "SERVER_FIRST": f"{_SERVER_FIRST}export {names.snake.upper()}_API_KEY=test-key\n" if over in _KEYED else "",
        **{name.upper(): own if name == role else other for name, other in _OTHERS.items()},
    }
    made = {
        "pyproject.toml": ("common/pyproject.toml",),
        "README.md": ("common/README.md",),
        "example.yaml": ("common/example.yaml",),
        **({} if role == "llm" else {"script.yaml": ("common/script.yaml",)}),
        f"{module}/__init__.py": ("common/init.py",),
        "tests/test_holes.py": ("common/test_holes.py",),
        **{_path(module, file): templates for file, templates in about.templates.items() if file != "test"},
        f"tests/test_{names.snake}.py": about.templates["test"],
    }
    written = {
        file: _filled(tuple(template.format(role=role) for template in templates), words, names)
        for file, templates in made.items()
    }
    return {**written, f"{module}/py.typed": ""}


def transport_files_for(names: Names) -> dict[str, str]:
    """Returns the texts of the files of a transport's package, by path."""
    module = f"src/voicepipe_{names.snake}"
    made = {
        "pyproject.toml": "transport/pyproject.toml",
        "README.md": "transport/README.md",
        "engine.yaml": "transport/engine.yaml",
        "example.yaml": "transport/example.yaml",
        "script.yaml": "common/script.yaml",
        f"{module}/__init__.py": "common/init.py",
        f"{module}/transport.py": "transport/transport.py",
        "tests/test_holes.py": "common/test_holes.py",
        f"tests/test_{names.snake}.py": "transport/test.py",
    }
    words = {"DEPENDENCIES": f'"{DISTRIBUTION}[websocket]"', "WHAT": "A transport"}
    written = {file: _filled((template,), words, names) for file, template in made.items()}
    return {**written, f"{module}/py.typed": ""}


def reference(names: Names, over: Over) -> str:
    """Returns an example of its use in a pipeline."""
    key = f', api_key: "${{{names.snake.upper()}_API_KEY}}"' if over in _KEYED else ""
    return f"{{type: {names.name}{key}}}"


def _path(module: str, file: str) -> str:
    return file if file.startswith("tests/") else f"{module}/{file}"


def _filled(templates: tuple[str, ...], words: dict[str, str], names: Names) -> str:
    """Returns the text of some templates, one after the other, with placeholders and names replaced."""
    parts = ((_TEMPLATES / f"{template}.txt").read_text(encoding="utf-8") for template in templates)
    named = {
        "voicepipe-acme": names.distribution,
        "voicepipe_acme": f"voicepipe_{names.snake}",
        "test_acme": f"test_{names.snake}",
        "open_acme": f"open_{names.snake}",
        "ACME": names.snake.upper(),
        "Acme": names.camel,
        "acme": names.name,
    }
    # In one pass: an adapter may be called acme itself, or acme-speech.
    return re.sub(
        f"@([A-Z_]+)@|{'|'.join(named)}", lambda match: words[match[1]] if match[1] else named[match[0]], "".join(parts)
    )
