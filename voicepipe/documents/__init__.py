"""Reads YAML documents as typed values, and reports every problem with its line and column.

    document = parse_document(file.content, file.name)
    script = document.structure(Script)             # a frozen attrs class
    problem = document.problem(("states", "greeting", "goto"), "no such state", "states: greeting, bye")

Types of fields: `str`, `int`, `float`, `bool`, `Literal` of texts, other attrs classes,
`tuple[T, ...]` for lists, `Mapping[str, T]`, `T | None`, unions, and `Any` for free-form values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from attrs import evolve

from voicepipe.documents.nodes import MappingNode, Node, SequenceNode
from voicepipe.documents.parse import compose, decode_text
from voicepipe.documents.reading import Context, Cursor, Refused, entries_of, items_of
from voicepipe.documents.source import Source
from voicepipe.documents.structure import converter_with
from voicepipe.documents.suggestions import among, did_you_mean, likely, path_of, shown
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
    "entries_of",
    "items_of",
    "likely",
    "parse_document",
    "path_of",
    "shown",
]

T = TypeVar("T")


class _PlainContext(Context):
    """The context of a document whose scalars stand for themselves."""

    converter = converter_with({})


class Document:
    """A YAML document that was parsed, but not yet read as a type."""

    def __init__(self, root: Node, source: Source, problems: list[Problem]) -> None:
        self.root, self.source = root, source
        self._problems = problems

    def structure(self, cls: type[T], context: Context | None = None) -> T:
        """Returns the document as an instance of an attrs class.

        Raises:
            ConfigError: the document has problems; the error has all of them, also those that parsing left to this.

        """
        context = context or _PlainContext(self.source)
        context.add_parse_problems(self._problems)
        cursor = Cursor(context, self.root)
        value: T = context.run(lambda: cursor.read(cls))
        return value

    def where(self, keys: tuple[str | int, ...], *, key: bool = False) -> Location:
        """Returns the location of a value (with `key`: of its key), or of its nearest ancestor that exists."""
        node: Node = self.root
        nearest: Node = node
        for step in keys:
            if isinstance(node, MappingNode) and step in node.entries:
                at, node = node.entries[str(step)]
                nearest = at if key else node
            elif isinstance(node, SequenceNode) and isinstance(step, int) and step < len(node.items):
                nearest = node = node.items[step]
            else:
                break
        return Location(self.source.name, nearest.line, nearest.column)

    def problem(self, keys: tuple[str | int, ...], message: str, hint: str = "", *, key: bool = False) -> Problem:
        """Returns a problem of a value (with `key`: of its key), for checks that types can't make."""
        where = self.where(keys, key=key)
        return Problem(where, path_of(keys), message, hint, source=self.source.line(where.line))


def parse_document(content: bytes, name: Path) -> Document:
    """Parses the content of a file; messages refer to it as `name`.

    Raises:
        ConfigError: the content is not UTF-8, has control characters, is empty, has a syntax error or several
            documents, or exceeds the limits of `documents.parse`. Duplicate keys, tags, merge keys and keys that
            aren't text are reported by `Document.structure`, with everything else.

    """
    source = None
    try:
        text = decode_text(content, name)
        source = Source(text, name)
        root, problems = compose(text, name)
    except ConfigError as error:
        if source is None:
            raise
        raise ConfigError(
            evolve(problem, source=source.line(problem.where.line)) for problem in error.problems
        ) from None
    return Document(root, source, problems)
