"""YAML documents as typed values, with every problem at its line and column.

    document = parse_document(file.content, file.name)
    script = document.structure(Script)             # a frozen attrs class
    problem = document.problem(("states", "greeting", "goto"), "no such state", "states: greeting, bye")

What a class may have for fields: `str`, `int`, `float`, `bool`, `Literal` of texts, other attrs classes,
`tuple[T, ...]` for lists, `Mapping[str, T]`, `T | None`, unions, and `Any` for free-form values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from attrs import evolve

from voicepipe.documents.nodes import Mapping, Node, Sequence
from voicepipe.documents.read import compose, read_text
from voicepipe.documents.reading import Context, Cursor, Refused
from voicepipe.documents.source import Source
from voicepipe.documents.structure import converter_with
from voicepipe.documents.words import among, did_you_mean, likely, path_of, shown
from voicepipe.errors import ConfigError, Location, Problem

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "Context",
    "Cursor",
    "Document",
    "Refused",
    "among",
    "converter_with",
    "did_you_mean",
    "likely",
    "parse_document",
    "path_of",
    "shown",
]

T = TypeVar("T")


class _PlainContext(Context):
    """The context of a document that holds nothing but text, numbers and what is made of them."""

    converter = converter_with({})


class Document:
    """A YAML document that was read, but not yet typed."""

    def __init__(self, root: Node, source: Source, problems: list[Problem]) -> None:
        self.root, self.source = root, source
        self._problems = problems

    def structure(self, cls: type[T], reading: Context | None = None) -> T:
        """The document as an instance of an attrs class.

        Raises:
            ConfigError: with every problem of the document, those that `parse_document` passed over included.

        """
        reading = reading or _PlainContext(self.source)
        reading.pass_on(self._problems)
        place = Cursor(reading, self.root)
        value: T = reading.run(lambda: reading.structure(place, cls))
        return value

    def where(self, keys: tuple[str | int, ...], *, key: bool = False) -> Location:
        """Where a value begins (with `key`: where its key does), or the nearest thing above it that there is."""
        node: Node = self.root
        found: Node = node
        for step in keys:
            if isinstance(node, Mapping) and step in node.entries:
                at, node = node.entries[str(step)]
                found = at if key else node
            elif isinstance(node, Sequence) and isinstance(step, int) and step < len(node.items):
                found = node = node.items[step]
            else:
                break
        return Location(self.source.name, found.line, found.column)

    def problem(self, keys: tuple[str | int, ...], message: str, hint: str = "", *, key: bool = False) -> Problem:
        """Something that is wrong with a value, for checks that types can't make; `key`: with its key."""
        where = self.where(keys, key=key)
        return Problem(where, path_of(keys), message, hint, source=self.source.line(where.line))


def parse_document(content: bytes, name: Path) -> Document:
    """The document in the bytes of a file that messages call `name`.

    Raises:
        ConfigError: nothing can be made of it: not UTF-8, control characters, empty, a syntax error, several
            documents, too large, too deep, aliases that explode. Duplicate keys, tags, merge keys and keys that are
            no text are reported by `structure`, with everything else.

    """
    source = None
    try:
        text = read_text(content, name)
        source = Source(text, name)
        root, problems = compose(text, name)
    except ConfigError as error:
        if source is None:
            raise
        raise ConfigError(
            evolve(problem, source=source.line(problem.where.line)) for problem in error.problems
        ) from None
    return Document(root, source, problems)
