"""Nodes of a YAML document, each with its line and column.

Plain scalars stay text: what they mean is for the field that takes them to say.
"""

from __future__ import annotations

from typing import ClassVar, TypeAlias

from attrs import define


@define(eq=False)
class ScalarNode:
    """Text, with or without quotes."""

    text: str
    """Escapes and folding done; nothing else is interpreted."""
    plain: bool
    """Without quotes and not a block scalar."""
    line: int
    """Counts from 1."""
    column: int
    """Counts from 1."""
    end_line: int
    """The line that the scalar ends in."""
    end_column: int
    """The first character that is no longer part of it."""
    size: ClassVar[int] = 1
    height: ClassVar[int] = 0

    @property
    def null(self) -> bool:
        """True if the scalar is null: empty, `~` or `null`, without quotes."""
        return self.plain and self.text in {"", "~", "null"}


@define(eq=False)
class SequenceNode:
    """A list."""

    items: list[Node]
    """In order."""
    line: int
    """Counts from 1."""
    column: int
    """Counts from 1."""
    size: int = 1
    """Nodes in it and below, aliases written out."""
    height: int = 1
    """Levels in it and below."""


@define(eq=False)
class MappingNode:
    """Keys with their values."""

    entries: dict[str, tuple[ScalarNode, Node]]
    """By the key's text, in order: the key and the value."""
    line: int
    """Counts from 1."""
    column: int
    """Counts from 1."""
    sound: bool = True
    """False if parsing left out an entry, so that nothing can be said to be missing."""
    size: int = 1
    """Nodes in it and below, aliases written out."""
    height: int = 1
    """Levels in it and below."""


Node: TypeAlias = ScalarNode | SequenceNode | MappingNode
