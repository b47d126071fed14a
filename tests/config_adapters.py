"""The adapters that `tests/config/good` and `tests/config/bad` are written for: one option of every kind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from attrs import field, frozen
from attrs.validators import ge, in_, le, matches_re, min_len

from voicepipe.components.registry import Adapter, BrokenAdapter, Registry
from voicepipe.components.values import Directory, File, Secret
from voicepipe.documents import parse_document
from voicepipe.errors import ConfigError, Location, Problem

ENVIRON = {"API_KEY": "sk-live-0123456789", "EMPTY": "", "RATE": "16000", "WORD": "fast", "VOICE": "cloud"}


@frozen
class Ears:
    model: Directory
    rate: int = field(default=8000, validator=in_((8000, 16000)))
    words: bool = False


@frozen
class Retry:
    attempts: int = field(default=2, validator=[ge(0), le(9)])
    on: tuple[Literal["timeout", "refused"], ...] = ("timeout",)


@frozen
class Cloud:
    model: str
    api_key: Secret = field(validator=min_len(8))
    region: Literal["eu", "us"] = "eu"
    speed: float = field(default=1.0, validator=[ge(0.5), le(2)])
    keyterms: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(factory=dict)
    cookies: Mapping[str, Secret] = field(factory=dict)
    spare_keys: tuple[Secret, ...] = ()
    extra: Mapping[str, Any] = field(factory=dict)
    retry: Retry = field(default=Retry())
    language: str | None = None


@frozen
class Chat:
    model: str
    base_url: str = field(default="http://127.0.0.1", validator=matches_re(r"https?://.*"))
    timeout_s: float | Literal["none"] = 10.0
    api_key: Secret | None = None


@frozen
class Script:
    script: File


@frozen
class Voice:
    voice: str = field(default="en-us", validator=matches_re(r"[a-z]{2}(-[a-z]+)?"))
    words_per_minute: int = field(default=160, validator=[ge(80), le(450)])


@frozen
class States:
    start: str
    states: Mapping[str, str]


async def _open(_options, _resources):
    raise NotImplementedError


def _check_model(options: Ears) -> Iterator[Problem]:
    if not (options.model.path / "model.conf").is_file():
        yield Problem(Location(options.model.name), "", "is not a model: it has no model.conf", "unpack one")


def _check_script(options: Script) -> Iterable[Problem]:
    document = parse_document(options.script.content, options.script.name)
    script = document.structure(States)
    if script.start not in script.states:
        problem = document.problem(("start",), "there is no such state", f"states: {', '.join(script.states)}")
        raise ConfigError([problem])
    return ()


def _check_chat(options: Chat) -> Iterator[Problem]:
    if options.model == "secret-model":
        yield Problem(Location(""), "model", f"the key {options.api_key} may not use this model", "ask for another")
    if options.model == "crash":
        raise RuntimeError("the adapter's own fault")


REGISTRY = Registry(
    [
        Adapter("ears", "stt", Ears, _open, _check_model),
        Adapter("cloud", "stt", Cloud, _open),
        Adapter("cloud", "tts", Cloud, _open),
        Adapter("chat", "llm", Chat, _open, _check_chat),
        Adapter("script", "llm", Script, _open, _check_script),
        Adapter("voice", "tts", Voice, _open),
    ],
    [
        BrokenAdapter(
            "tts", "rusty", "rusty.voice:tts can't be imported: ImportError: no module rust", "rusty-voice 0.1"
        )
    ],
)
