"""Reads a Wyoming server's `info`, and chooses a program and model from it. No I/O.

`info` lists programs by what they do (`asr`, `tts`), and for each its models or voices with their languages. Source:
the section "Info" of the protocol's README, and the `wyoming` package, which calls a program's voices `voices` where
the README has `models`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from attrs import frozen

from voicepipe.adapters.wyoming.wire_format import WyomingEvent
from voicepipe.errors import ComponentError

if TYPE_CHECKING:
    from collections.abc import Mapping

WORDS = {"asr": ("speech-to-text", "model"), "tts": ("text-to-speech", "voice")}
"""What the programs of a domain do, and what they have, as errors say it."""

SHOWN = 10
"""How many models or voices a hint names."""


@frozen
class WyomingProgram:
    """The program of a server that is used, and with which model or voice."""

    name: str
    """As the server calls it."""
    is_first: bool
    """Whether it is what the server uses if it is told nothing."""
    streams: bool
    """Whether it takes or gives text as it comes."""
    languages: tuple[str, ...]
    """Of the model or voice that was asked for, or of all; as the server spells them."""

    @property
    def selection(self) -> tuple[WyomingEvent, ...]:
        """The events to send first on a connection."""
        return () if self.is_first else (WyomingEvent("select-program", {"name": self.name}),)

    def spelled(self, language: str | None) -> str | None:
        """A BCP 47 tag as the server spells it: `en` for `en-US` if it knows no other English; else as it is."""
        if language is None:
            return None
        wanted = _subtags(language)
        known = [one for one in self.languages if _subtags(one)[0] == wanted[0]]
        for spelling in (*[one for one in known if _subtags(one) == wanted], *sorted(known, key=len)):
            return spelling
        return language


def choose_program(info: Mapping[str, Any], domain: Literal["asr", "tts"], wanted: str | None) -> WyomingProgram:
    """The program that has the model or voice that is wanted; the first one if none is.

    Raises:
        ComponentError: there is none.

    """
    does, has = WORDS[domain]
    programs = [one for one in _objects(info, domain) if one.get("installed", True)]
    if not programs:
        others = ", ".join(sorted(name for name, value in info.items() if value)) or "nothing"
        raise ComponentError(f"offers no {does}", retryable=False, hint=f"it offers: {others}")
    artifacts = [(program, one) for program in programs for one in _artifacts(program)]
    named = [(program, one) for program, one in artifacts if one.get("name") == wanted]
    if wanted is not None and artifacts and not named:
        names = [str(one.get("name")) for _, one in artifacts]
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        raise ComponentError(
            f"has no {has} {wanted!r}", retryable=False, hint=f"it has: {', '.join(names[:SHOWN])}{more}"
        )
    program = named[0][0] if named else programs[0]
    models = [named[0][1]] if named else [one for one in _artifacts(program) if one.get("installed", True)]
    streams = "supports_transcript_streaming" if domain == "asr" else "supports_synthesize_streaming"
    return WyomingProgram(
        name=str(program.get("name", "")),
        is_first=program is programs[0],
        streams=program.get(streams) is True,
        languages=tuple(tag for one in models for tag in one.get("languages") or () if isinstance(tag, str) and tag),
    )


def _artifacts(program: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return _objects(program, "voices") or _objects(program, "models")


def _objects(of: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    value = of.get(name)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _subtags(language: str) -> list[str]:
    return language.lower().replace("_", "-").split("-")
