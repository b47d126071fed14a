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
"""Names of each domain's service, and of the models that it chooses from, for errors."""

SHOWN = 10
"""The most models or voices that a hint names."""


@frozen
class WyomingProgram:
    """The program of a server that is used."""

    name: str
    """The server's name for it."""
    is_first: bool
    """Whether it is the server's default, so that it need not be selected."""
    streams: bool
    """Whether it supports streaming: partial transcripts, or text in chunks."""
    languages: tuple[str, ...]
    """The languages of the chosen model or voice, or of all, as the server spells them."""

    @property
    def selection(self) -> tuple[WyomingEvent, ...]:
        """The events to send first on a connection."""
        return () if self.is_first else (WyomingEvent("select-program", {"name": self.name}),)

    def spelled(self, language: str | None) -> str | None:
        """Returns the server's spelling of a BCP 47 tag: `en` for `en-US` if it has no other English; else the tag."""
        if language is None:
            return None
        wanted = _subtags(language)
        similar = [tag for tag in self.languages if _subtags(tag)[0] == wanted[0]]
        exact = [tag for tag in similar if _subtags(tag) == wanted]
        return next(iter((*exact, *sorted(similar, key=len))), language)


def choose_program(info: Mapping[str, Any], domain: Literal["asr", "tts"], wanted: str | None) -> WyomingProgram:
    """Returns the program that has the wanted model or voice; the first one if none is named.

    Raises:
        ComponentError: the server has no such program.

    """
    service, kind = WORDS[domain]
    programs = [program for program in _objects(info, domain) if program.get("installed", True)]
    if not programs:
        others = ", ".join(sorted(name for name, value in info.items() if value)) or "nothing"
        raise ComponentError(f"offers no {service}", retryable=False, hint=f"it offers: {others}")
    artifacts = [(program, artifact) for program in programs for artifact in _artifacts(program)]
    named = [(program, artifact) for program, artifact in artifacts if artifact.get("name") == wanted]
    if wanted is not None and artifacts and not named:
        names = [str(artifact.get("name")) for _, artifact in artifacts]
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        raise ComponentError(
            f"has no {kind} {wanted!r}", retryable=False, hint=f"it has: {', '.join(names[:SHOWN])}{more}"
        )
    program = named[0][0] if named else programs[0]
    installed = [artifact for artifact in _artifacts(program) if artifact.get("installed", True)]
    chosen = [named[0][1]] if named else installed
    streams = "supports_transcript_streaming" if domain == "asr" else "supports_synthesize_streaming"
    tags = [tag for artifact in chosen for tag in artifact.get("languages") or ()]
    return WyomingProgram(
        name=str(program.get("name", "")),
        is_first=program is programs[0],
        streams=program.get(streams) is True,
        languages=tuple(tag for tag in tags if isinstance(tag, str) and tag),
    )


def _artifacts(program: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The models or voices of a program."""
    return _objects(program, "voices") or _objects(program, "models")


def _objects(parent: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """The objects in a list of that name; none if it is missing or no list."""
    value = parent.get(name)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _subtags(language: str) -> list[str]:
    return language.lower().replace("_", "-").split("-")
