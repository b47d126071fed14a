"""A document, and where in it each value stands."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NoReturn

from attrs import NOTHING

from voicepipe.documents.nodes import Mapping, Node, Scalar, Sequence
from voicepipe.documents.read import LINE_BREAK
from voicepipe.documents.words import path_of
from voicepipe.errors import Location, Problem

if TYPE_CHECKING:
    from pathlib import Path

    from voicepipe.documents.reading import Reading

_LONGEST_LINE = 160
_SECRET_KEY = re.compile(
    r"""(?i)\b[\w-]*(?:key|token|secret|password|passwd|credentials?)["']?\s*[:=]\s*(?P<value>[^\s,{}\[\]#][^,}\]#]*)"""
)
"""For lines that could not be structured, so that nobody knows which of their values are secret."""


class Refused(Exception):  # noqa: N818 - not an error to show: what is wrong has been reported already
    """A value can't be used; the reason is among the problems."""


class Source:
    """The text that a document was read from, for showing its lines."""

    def __init__(self, text: str, name: Path) -> None:
        self.name = name
        self._lines = LINE_BREAK.split(text)
        self._concealed: dict[int, list[tuple[int, int]]] = {}
        self._secrets: set[int] = set()

    def conceal(self, scalar: Scalar) -> None:
        """Masks that scalar in every line that is shown from now on."""
        self._secrets.add(id(scalar))
        for line in range(scalar.line, min(scalar.end_line, len(self._lines)) + 1):
            begin = scalar.column if line == scalar.line else 1
            end = scalar.end_column if line == scalar.end_line else len(self._lines[line - 1]) + 1
            self._concealed.setdefault(line, []).append((begin - 1, end - 1))

    def conceals(self, scalar: Scalar) -> bool:
        """Whether that scalar is masked."""
        return id(scalar) in self._secrets

    def line(self, number: int) -> str:
        """A line without its secrets; empty if there is none, or if it is too long to be read."""
        if number > len(self._lines) or len(self._lines[number - 1]) > _LONGEST_LINE:
            return ""
        line = self._lines[number - 1]
        named = (found for found in _SECRET_KEY.finditer(line) if not found["value"].lstrip("\"'").startswith("$"))
        for begin, end in (*self._concealed.get(number, ()), *(found.span("value") for found in named)):
            line = line[:begin] + "*" * (end - begin) + line[end:]
        return line


class Place:
    """One value of a document while it is structured: the node, the way to it, and what is said about it."""

    __slots__ = ("default", "field", "key", "key_node", "node", "parent", "reading")

    noun = "known keys"
    """What the keys of this value are, for hints."""

    def __init__(
        self,
        reading: Reading,
        node: Node,
        parent: Place | None = None,
        key: str | int = "",
        key_node: Scalar | None = None,
    ) -> None:
        self.reading, self.node, self.parent, self.key, self.key_node = reading, node, parent, key, key_node
        self.default: Any = NOTHING
        self.field: tuple[type, str] | None = None

    def moved(self, reading: Reading) -> Place:
        """The same place as part of another reading, which gets its problems."""
        return Place(reading, self.node, self.parent, self.key, self.key_node)

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

    def entries(self) -> dict[str, Place]:
        """The values of a mapping by their keys.

        Raises:
            Refused: it is not a mapping.

        """
        if not isinstance(self.node, Mapping):
            self.refuse(f"expected a mapping, got {self.given}", _MAPPING_HINT)
        return {key: Place(self.reading, node, self, key, at) for key, (at, node) in self.node.entries.items()}

    def items(self) -> list[Place]:
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
        return [Place(self.reading, node, self, index) for index, node in enumerate(self.node.items)]

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
