"""Reads mappings whose `type` decides on their options, beside keys that all types have in common.

    listeners:
      - {set: main, name: inside, type: audiosocket, port: 9092}       # `port` is an option of audiosocket

The common keys are the fields of one class, the options those of the type's class. A key that neither has is reported
with the options of the type, unless a common key was likelier meant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import attrs
from attrs import frozen

from voicepipe.components.values import Secret
from voicepipe.config.reading import config_context
from voicepipe.documents import Cursor, Refused, likely, path_of, shown
from voicepipe.errors import ConfigError, Location, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from voicepipe.documents.scalars import Reader


class OptionsType(Protocol):
    """A type that a mapping may name: its options and what is wrong with them."""

    @property
    def name(self) -> str:
        """The name in the YAML."""

    @property
    def options(self) -> type[Any]:
        """A frozen attrs class of the options."""

    @property
    def check(self) -> Callable[[Any], Iterable[Problem]]:
        """Yields the problems of the options; their paths begin at the mapping."""

    @property
    def check_installed(self) -> Callable[[], Iterable[Problem]]:
        """Yields what this machine lacks for the type."""


class BrokenType(Protocol):
    """A type that is installed, but can't be used."""

    @property
    def name(self) -> str:
        """The name in the YAML."""

    @property
    def message(self) -> str:
        """Why it can't be used."""

    @property
    def hint(self) -> str:
        """What to do about it."""


class OptionsTypes(Protocol):
    """The types that a mapping may name."""

    @property
    def broken(self) -> tuple[BrokenType, ...]:
        """The types that are installed, but can't be used."""

    def get(self, name: str) -> OptionsType | None:
        """Returns the type of a name; None if there is none."""

    def names(self) -> tuple[str, ...]:
        """Returns the names of all types."""


@frozen
class TypedSection:
    """A class of a document whose `type` decides on its options."""

    section: type[Any]
    """The class that the document gets: `keys` with one more field, `options`."""
    keys: type[Any]
    """The class of the keys that all types have in common, `type` among them."""
    types: OptionsTypes
    """The types that it may name."""


def read_typed(section: TypedSection) -> Reader:
    """Returns the reader of a typed section."""
    attrs.resolve_types(section.keys)
    fields = attrs.fields_dict(section.keys)

    def read(cursor: Cursor, _: Any) -> Any:
        entries = cursor.entries()
        chosen = _type_of(cursor, entries, section.types, fields["type"].default)
        options = tuple(attrs.fields_dict(chosen.options)) if chosen else ()
        own = {key for key in entries if key in fields or (chosen and _is_common(key, tuple(fields), options))}
        values: dict[str, Any] = {}
        refused = chosen is None
        try:
            common = _Part(cursor, {key: entry for key, entry in entries.items() if key in own}, "known keys")
            values = attrs.asdict(common.read(section.keys), recurse=False)
        except Refused:
            refused = True
        if chosen is not None:
            rest = {key: entry for key, entry in entries.items() if key not in own}
            try:
                values["options"] = _read_options(_Part(cursor, rest, f"options of {chosen.name}"), chosen)
            except Refused:
                refused = True
        if refused:
            raise Refused
        return section.section(**values)

    return read


def _is_common(key: str, common: tuple[str, ...], options: tuple[str, ...]) -> bool:
    """Returns whether a key is none of the options, and was likelier meant for a common key than for one of them."""
    return key not in options and likely(key, (*common, *options)) in common


def _type_of(cursor: Cursor, entries: Mapping[str, Cursor], types: OptionsTypes, default: Any) -> OptionsType | None:
    """Returns the type that a mapping names; None if there is none, which is reported."""
    try:
        name = entries["type"].read(str) if "type" in entries else default
    except Refused:
        return None
    if name is attrs.NOTHING:
        return None
    chosen = types.get(name)
    if chosen is None:
        at = entries.get("type", cursor)
        broken = next((broken for broken in types.broken if broken.name == name), None)
        if broken is not None:
            at.report(broken.message, broken.hint)
        else:
            guess = likely(name, types.names())
            suggestion = f"did you mean {shown(guess)}? " if guess else ""
            at.report(f"there is no type {shown(name)}", f"{suggestion}`voicepipe components` lists the installed ones")
    return chosen


def _read_options(part: Cursor, chosen: OptionsType) -> Any:
    missing = _checked(chosen, chosen.check_installed)
    for problem in missing:
        part.context.report(_placed(problem, part))
    options = part.read(chosen.options)
    problems = _checked(chosen, lambda: chosen.check(options))
    conceal = config_context(part).secrets.conceal
    for problem in problems:
        shown_problem = attrs.evolve(problem, message=conceal(problem.message), hint=conceal(problem.hint))
        part.context.report(_placed(shown_problem, part))
    if missing or problems:
        raise Refused
    return options


def _checked(chosen: OptionsType, find: Callable[[], Iterable[Problem]]) -> tuple[Problem, ...]:
    try:
        return tuple(find())
    except ConfigError as error:
        return error.problems
    except (Exception, SystemExit) as error:  # noqa: BLE001 - somebody else's code: it may raise anything
        message = f"the check of {chosen.name} failed: {type(error).__name__}"
        return (Problem(Location(""), "", message, "this is a bug in its package: report it to its author"),)


def _placed(problem: Problem, part: Cursor) -> Problem:
    """Returns a problem at the place that its path names, or the nearest that is there; unless it has a place."""
    if problem.where.file != _NOWHERE:
        return problem
    at: Cursor = part
    for step in problem.path.split(".") if problem.path else ():
        try:
            at = at.entries()[step]
        except (Refused, KeyError):
            break
    path = ".".join(filter(None, (path_of(part.keys), problem.path)))
    where = part.key_where if at is part else at.where
    return attrs.evolve(problem, where=where, path=path)


_NOWHERE: Path = Location("").file


class _Part(Cursor):
    """Some entries of a mapping, as if it had no others."""

    def __init__(self, cursor: Cursor, entries: dict[str, Cursor], noun: str) -> None:
        super().__init__(cursor.context, cursor.node, cursor.parent, cursor.key, cursor.key_node)
        self._entries, self.noun = entries, noun

    def entries(self) -> dict[str, Cursor]:
        """Returns the entries of this part."""
        return self._entries

    def sample(self, name: str, of: Any) -> str:
        """Returns `${NAME}` for a secret, which is usually an environment variable of such a name."""
        return f'"${{VOICEPIPE_{name.upper()}}}"' if of is Secret else ""
