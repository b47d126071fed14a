"""One reading of a document: where each value stands, what its scalars stand for, and all that is wrong with it.

A `Cursor` is one value while it is read: the node, the way to it from the root, and what is reported about it. A
`Context` is what the whole reading shares: how scalars are resolved, which readers take which types, and the problems.
Each cursor has its context, and a context makes cursors: the two are one idea, so they share a module.
"""

from __future__ import annotations

from copy import copy
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn, Self, TypeVar, Union, get_args, get_origin

import attrs
from attrs import NOTHING, evolve

from voicepipe.documents.nodes import Mapping, Node, Scalar, Sequence
from voicepipe.documents.read import MAX_PROBLEMS, too_many
from voicepipe.documents.words import among, path_of, shown
from voicepipe.errors import ConfigError, Location, Problem

if TYPE_CHECKING:
    from collections import abc
    from collections.abc import Callable, Iterable

    from cattrs import BaseConverter

    from voicepipe.documents.source import Source

UNIONS: frozenset[Any] = frozenset({Union, UnionType})

T = TypeVar("T")


class _Enough(Exception):  # noqa: N818 - see MAX_PROBLEMS
    """There are too many problems to go on."""


class Context:
    """One structuring of a document: what its scalars stand for, and all problems found so far.

    The plain one takes text as it stands; `voicepipe.config` has one that resolves `${...}`, with a converter
    that knows secrets, files and references as well.
    """

    converter: ClassVar[BaseConverter]
    """Finds the reader of a type; `converter_with` makes one."""
    nouns: ClassVar[abc.Mapping[Any, str]] = {
        str: "text",
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        NoneType: "null",
        Any: "anything",
    }

    def __init__(self, source: Source) -> None:
        self.source = source
        self.problems: dict[Problem, None] = {}
        self._unsound: set[Location] = set()

    def text(self, place: Cursor, scalar: Scalar) -> str:  # noqa: ARG002 - others report there
        """What a scalar stands for; raises `Refused` when it can't be resolved."""
        return scalar.text

    def literal(self, scalar: Scalar) -> bool:  # noqa: ARG002 - see above
        """Whether a scalar stands for itself."""
        return True

    def refers(self, scalar: Scalar) -> bool:
        """Whether a scalar has nothing of its own, so that as it is written it gives no secret away."""
        return not self.literal(scalar)

    def given(self, scalar: Scalar) -> str:
        """A scalar for messages, without what it is resolved to."""
        if self.source.conceals(scalar):
            return "***"
        if not self.literal(scalar):
            return f"the value of {shown(scalar.text)}"
        return shown(scalar.text) + ("" if scalar.plain else " in quotes")

    def report(self, problem: Problem) -> None:
        """Adds a problem, once."""
        if problem in self.problems or problem.where in self._unsound:
            return
        if len(self.problems) >= MAX_PROBLEMS:
            self.problems[too_many(problem.where)] = None
            raise _Enough
        self.problems[problem] = None

    def pass_on(self, problems: Iterable[Problem]) -> None:
        """Adds what was found when the document was read; nothing else is said about those places."""
        for problem in problems:
            self.report(problem)
        self._unsound.update(problem.where for problem in self.problems)

    def unknown(self, place: Cursor) -> bool:  # noqa: ARG002 - see above
        """Whether the value that belongs at a place is not at hand, so that no type or validator may judge it."""
        return False

    def hides(self, of: Any) -> bool:  # noqa: ARG002 - see above
        """Whether values of a type are secrets, or may hold some."""
        return False

    def about(self, of: type, name: str) -> tuple[str, str]:  # noqa: ARG002 - see above
        """What a field of a class says of itself, for hints: its bounds (`80 to 450`), and its docstring's sentence."""
        return "", ""

    def trial(self) -> Self:
        """The same reading with no problems so far, to find out whether something fits."""
        trial = copy(self)
        trial.problems = {}
        return trial

    def run(self, structure: Callable[[], T]) -> T:
        """What `structure` returns, if nothing was reported meanwhile.

        Raises:
            ConfigError: with all problems, each with its source line.

        """
        try:
            value = structure()
        except (Refused, _Enough):
            pass
        else:
            if not self.problems:
                return value
        raise ConfigError(
            evolve(problem, source=self.source.line(problem.where.line))
            if problem.where.file == self.source.name and not problem.source
            else problem
            for problem in self.problems
        )

    def describe(self, of: Any) -> str:
        """What a type takes, in words: `a whole number`."""
        if noun := self.nouns.get(of):
            return noun
        origin, arguments = get_origin(of), get_args(of)
        if origin is Literal:
            return "one of " + among(map(str, arguments)) if len(arguments) > 1 else shown(str(arguments[0]))
        if origin in UNIONS:
            return " or ".join(self.describe(one) for one in arguments)
        if origin is tuple:
            return "a list"
        if attrs.has(of):
            return "a mapping with " + among(field.name for field in attrs.fields(of))
        return "a mapping"

    def structure(self, place: Cursor, of: Any) -> Any:
        """The value at a place as that type; raises `Refused` when there is none."""
        return self.converter.get_structure_hook(of)(place, of)


class Refused(Exception):  # noqa: N818 - not an error to show: what is wrong has been reported already
    """A value can't be used; the reason is among the problems."""


class Cursor:
    """One value of a document while it is structured: the node, the way to it, and what is said about it."""

    __slots__ = ("default", "field", "key", "key_node", "node", "parent", "reading")

    noun = "known keys"
    """What the keys of this value are, for hints."""

    def __init__(
        self,
        reading: Context,
        node: Node,
        parent: Cursor | None = None,
        key: str | int = "",
        key_node: Scalar | None = None,
    ) -> None:
        self.reading, self.node, self.parent, self.key, self.key_node = reading, node, parent, key, key_node
        self.default: Any = NOTHING
        self.field: tuple[type, str] | None = None

    def moved(self, reading: Context) -> Cursor:
        """The same place as part of another reading, which gets its problems."""
        return Cursor(reading, self.node, self.parent, self.key, self.key_node)

    @property
    def keys(self) -> tuple[str | int, ...]:
        """The way from the root: keys of mappings, indexes of lists."""
        return () if self.parent is None else (*self.parent.keys, self.key)

    @property
    def where(self) -> Location:
        """Where the value begins."""
        return self.location(self.node)

    @property
    def head(self) -> Location:
        """Where to look for what the value lacks: at its beginning, or at its key if that is lines above."""
        key = self.key_node
        return self.location(self.node if key is None or key.line == self.node.line else key)

    def location(self, node: Node) -> Location:
        """Where a node of this document begins."""
        return Location(self.reading.source.name, node.line, node.column)

    @property
    def null(self) -> bool:
        """Whether nothing stands here."""
        return isinstance(self.node, Scalar) and self.node.null

    @property
    def given(self) -> str:
        """What stands here, for a message; never a secret."""
        match self.node:
            case Mapping():
                return "a mapping"
            case Sequence():
                return "a list"
            case Scalar() as scalar if scalar.null:
                return "nothing"
            case Scalar() as scalar:
                return self.reading.given(scalar)

    @property
    def showable(self) -> bool:
        """Whether what stands here is what the value is, and no secret."""
        reading = self.reading
        return not isinstance(self.node, Scalar) or (
            reading.literal(self.node) and not reading.source.conceals(self.node)
        )

    def conceal(self) -> None:
        """Keeps all text that stands here, or below, out of messages; what refers to a secret may be seen."""
        nodes = [self.node]
        while nodes:
            match nodes.pop():
                case Scalar() as scalar if not self.reading.refers(scalar):
                    self.reading.source.conceal(scalar)
                case Sequence(items=items):
                    nodes += items
                case Mapping(entries=entries):
                    nodes += (value for _, value in entries.values())

    @property
    def sound(self) -> bool:
        """Whether all that stands here could be taken."""
        return not isinstance(self.node, Mapping) or self.node.sound

    def example(self, otherwise: str, message: str = "") -> str:
        """A hint for a wrong value: one that is right, and what the field says of itself.

        Args:
            otherwise: what to write if the field has no default that is simple.
            message: what is said of the value already, so that the hint does not say it again.

        """
        default = self.default
        simple = isinstance(default, bool) or (default and isinstance(default, int | float | str))
        shown_default = str(default).lower() if isinstance(default, bool) else default
        hint = f"for example {shown_default}" if simple else f"write {otherwise}"
        if self.field is None:
            return hint
        bounds, said = self.reading.about(*self.field)
        if bounds and bounds not in message:
            hint = f"{bounds}, {hint}" if simple else bounds
        return f"{hint}: {said}" if said else hint

    def sample(self, name: str, of: Any) -> str:  # noqa: ARG002 - for places that know better
        """How a key that is missing would usually be written, for hints; empty if there is no usual way."""
        return ""

    def entries(self) -> dict[str, Cursor]:
        """The values of a mapping by their keys.

        Raises:
            Refused: it is not a mapping.

        """
        if not isinstance(self.node, Mapping):
            self.refuse(f"expected a mapping, got {self.given}", _MAPPING_HINT)
        return {key: Cursor(self.reading, node, self, key, at) for key, (at, node) in self.node.entries.items()}

    def items(self) -> list[Cursor]:
        """The values of a list.

        Raises:
            Refused: it is not a list.

        """
        if not isinstance(self.node, Sequence):
            node = self.node
            shown = isinstance(node, Scalar) and not node.null and self.showable
            hint = f"write [{node.text}]" if isinstance(node, Scalar) and shown else "write [a, b]"
            if isinstance(node, Mapping):
                hint = "begin each entry with `- `"
            self.refuse(f"expected a list, got {self.given}", hint)
        return [Cursor(self.reading, node, self, index) for index, node in enumerate(self.node.items)]

    def text(self, expected: str = "text", hint: str = "") -> str:
        """The text of a scalar, as the reading resolves it.

        Raises:
            Refused: it is not a scalar, or nothing.

        """
        node = self.node
        if not isinstance(node, Scalar) or node.null:
            if not isinstance(node, Scalar):
                hint = hint or self.example("one value, in quotes if it has special characters")
            elif not hint:
                hint = "quotes make text of it" if node.text else "write it after the colon, or remove the line"
            self.refuse(f"expected {expected}, got {self.given}", hint)
        return self.reading.text(self, node)

    def report(
        self, message: str, hint: str = "", *, where: Location | None = None, key: str | int | None = None
    ) -> None:
        """Adds a problem here, or at another place of this document; with `key`, about that key of this value."""
        keys = self.keys if key is None else (*self.keys, key)
        self.reading.report(Problem(where or self.where, path_of(keys), message, hint))

    def refuse(self, message: str, hint: str = "", *, where: Location | None = None) -> NoReturn:
        """Adds a problem and gives this value up: always raises `Refused`."""
        self.report(message, hint, where=where)
        raise Refused


_MAPPING_HINT = "write `key: value` lines, indented below it"
