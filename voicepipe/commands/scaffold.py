"""The files of a new adapter's package, made of templates: pure.

Templates are Python for an adapter called `acme`; what differs by role or by what it speaks to stands in them as
`@SO@`.
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
"""What an adapter speaks to: a library in the same process, a service, or a process of its own."""


@frozen
class Names:
    """What an adapter is called in different places."""

    name: str
    """In the YAML: `my-vendor`."""
    snake: str = field(init=False)
    """In names of modules: `my_vendor`."""
    camel: str = field(init=False)
    """In names of classes: `MyVendor`."""
    distribution: str = field(init=False)
    """For pip: `voicepipe-my-vendor`."""

    def __attrs_post_init__(self) -> None:
        """Derives the others."""
        snake = self.name.replace("-", "_")
        object.__setattr__(self, "snake", snake)
        object.__setattr__(self, "camel", "".join(part.capitalize() for part in snake.split("_")))
        object.__setattr__(self, "distribution", f"voicepipe-{snake.replace('_', '-')}")


@frozen
class OverWords:
    """What differs by what an adapter speaks to."""

    against: str
    """What it works against from the start."""
    dependencies: tuple[str, ...]
    """What it needs besides voicepipe."""
    templates: dict[str, tuple[str, ...]]
    """The file of the package -> the templates that it is made of."""
    told: dict[str, str]
    """The file of the package -> what the README says of it."""
    words: dict[str, str] = field(factory=dict)
    """What stands for `@SO@` in the templates."""


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
"""What stands beside it in the example: embedded parts, which need no server and no model."""
_SERVER_FIRST = "python tests/example_server.py    # the stand-in, until `base_url` and the key are the service's\n"
_KEYED: frozenset[Over] = frozenset({"http", "websocket"})
"""What asks for a key."""
_TEMPLATES = files("voicepipe.commands") / "templates"


def files_for(names: Names, role: Role, over: Over) -> dict[str, str]:
    """The package's files with their text, by path."""
    about = OVERS[over]
    module = f"src/voicepipe_{names.snake}"
    own = reference(names, over)
    words = {
        **_ROLE_WORDS[role],
        **about.words,
        "ROLE": role,
        "AGAINST": about.against,
        "DEPENDENCIES": ", ".join(f'"{one}"' for one in about.dependencies),
        "FILES": "\n".join(f"| `{_path(module, file)}` | {told} |" for file, told in about.told.items()),
        "SPEECH_HOLE": _SPEECH_HOLE if role == "stt" else "",
        "NOBODY": "http://127.0.0.1:1" if over == "http" else "ws://127.0.0.1:1",
        "CHECK_WITH": "--allow-missing-secrets " if over in _KEYED else "",
        "GREETING": f"    greeting: Good morning. This is a test of {names.name}.\n" if role == "llm" else "",
        "TERMINALS": "three" if over in _KEYED else "two",
        "SERVER_FIRST": f"{_SERVER_FIRST}export {names.snake.upper()}_API_KEY=test-key\n" if over in _KEYED else "",
        **{one.upper(): own if one == role else other for one, other in _OTHERS.items()},
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
    written = {file: _filled(templates, words, names, role) for file, templates in made.items()}
    return {**written, f"{module}/py.typed": ""}


def reference(names: Names, over: Over) -> str:
    """Returns an example of its use in a pipeline."""
    key = f', api_key: "${{{names.snake.upper()}_API_KEY}}"' if over in _KEYED else ""
    return f"{{type: {names.name}{key}}}"


def _path(module: str, file: str) -> str:
    return file if file.startswith("tests/") else f"{module}/{file}"


def _filled(templates: tuple[str, ...], words: dict[str, str], names: Names, role: Role) -> str:
    """Some templates, one after the other, with everything in its place."""
    parts = ((_TEMPLATES / f"{template.format(role=role)}.txt").read_text(encoding="utf-8") for template in templates)
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
