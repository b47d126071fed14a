"""Iterates over a script's responses with their places in the file, for the checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from attrs import frozen

from voicepipe.adapters.scripted.format import Path, Response

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voicepipe.adapters.scripted.format import Anywhere, Script, State

Kind: TypeAlias = Literal["on", "dtmf", "otherwise", "silence", "no_transfer", "results", "failed"]
"""The keys of a state whose values are responses."""


@frozen
class Reaction:
    """A response and its place in the script."""

    path: Path
    """The place of the response."""
    kind: Kind
    """The key of the state or of `anywhere` that it belongs to."""
    name: str
    """The intent, the keys or the tool; empty for the other kinds."""
    response: Response
    """The response itself."""


Turns: TypeAlias = "Response | tuple[Response, ...] | None"


def _places(script: Script) -> Iterator[tuple[Path, State | Anywhere]]:
    yield ("anywhere",), script.anywhere
    for name, state in script.states.items():
        yield ("states", name), state


def _turns(path: Path, place: State | Anywhere) -> Iterator[tuple[Path, Kind, Turns]]:
    yield (*path, "otherwise"), "otherwise", place.otherwise
    yield (*path, "silence"), "silence", place.silence
    yield (*path, "no_transfer"), "no_transfer", place.no_transfer
    yield (*path, "failed"), "failed", place.failed


def _reactions(path: Path, place: State | Anywhere) -> Iterator[Reaction]:
    for name, response in place.on.items():
        yield Reaction((*path, "on", name), "on", name, response)
    for name, response in place.dtmf.items():
        yield Reaction((*path, "dtmf", name), "dtmf", name, response)
    for name, response in place.results.items():
        yield Reaction((*path, "results", name), "results", name, response)
    for entry_path, kind, entries in _turns(path, place):
        if isinstance(entries, tuple):
            for index, response in enumerate(entries):
                yield Reaction((*entry_path, index), kind, "", response)
        elif entries is not None:
            yield Reaction(entry_path, kind, "", entries)


def texts_of(path: Path, state: State) -> Iterator[tuple[Path, str]]:
    """Yields the texts of a state with their places."""
    if isinstance(state.say, str):
        yield (*path, "say"), state.say
    else:
        yield from (((*path, "say", index), text) for index, text in enumerate(state.say))


def texts_in(reaction: Reaction) -> Iterator[tuple[Path, str]]:
    """Yields the texts of a response and of its tool's arguments, with their places."""
    yield (*reaction.path, "say"), reaction.response.say
    for tool, arguments in reaction.response.call.items():
        for name, value in arguments.items():
            if isinstance(value, str):
                yield (*reaction.path, "call", tool, name), value


def empty_lists(script: Script) -> Iterator[Path]:
    """Yields the places of empty lists of responses."""
    for path, place in _places(script):
        yield from (entry_path for entry_path, _, entries in _turns(path, place) if entries == ())


def reactions(script: Script) -> Iterator[Reaction]:
    """Yields all responses of a script."""
    for path, place in _places(script):
        yield from _reactions(path, place)


def reactions_in(script: Script, name: str) -> Iterator[Reaction]:
    """Yields the responses in a state: its own, and those of `anywhere` that its own do not replace."""
    state = script.states[name]
    own = [*_reactions(("states", name), state)]
    taken = {(reaction.kind, reaction.name) for reaction in own}
    yield from own
    for reaction in _reactions(("anywhere",), script.anywhere):
        if (reaction.kind, reaction.name) not in taken:
            yield reaction
