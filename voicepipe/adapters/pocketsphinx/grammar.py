"""Grammars as trees: the rules of a grammar, and the expansions that rules are made of. No I/O.

`grammar_parser` makes them from JSGF, `grammar_writer` makes JSGF for PocketSphinx from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator


@frozen
class GrammarWord:
    """A word to be said."""

    text: str
    """The word as the grammar writes it."""
    line: int = 0
    """Its line in the file, from 1; 0: it comes from no file."""
    column: int = 0
    """Its column in that line, from 1."""


@frozen
class RuleReference:
    """A reference to another rule."""

    rule: str
    """The rule's name, without the brackets."""
    line: int
    """The line of the reference, from 1."""
    column: int
    """The column in that line, from 1."""


@frozen
class GrammarSequence:
    """Parts that are said one after the other; an empty one is `<NULL>`, which is said by saying nothing."""

    parts: tuple[Expansion, ...] = ()
    """The parts in order."""


@frozen
class GrammarAlternatives:
    """Alternatives of which one is said; an empty one is `<VOID>`, which can't be said."""

    alternatives: tuple[Expansion, ...] = ()
    """The alternatives in order."""
    weights: tuple[str, ...] = ()
    """The weight of each, as the grammar writes it; empty: all are equally likely."""


@frozen
class GrammarRepeat:
    """A repeated or optional part."""

    part: Expansion
    """The part that is repeated or optional."""
    sign: str
    """`*`: any number of times; `+`: at least once; `?`: once or not at all."""


Expansion: TypeAlias = GrammarWord | RuleReference | GrammarSequence | GrammarAlternatives | GrammarRepeat
"""A rule's content, or a part of it."""

NULL = GrammarSequence()
VOID = GrammarAlternatives()


@frozen
class Grammar:
    """A grammar whose references are valid."""

    rules: Mapping[str, Expansion]
    """The rules by name."""
    public: tuple[str, ...]
    """The names of the rules that may be said by themselves, at least one."""

    def words(self) -> Iterator[GrammarWord]:
        """Yields all words of the grammar, in order."""
        for rule in self.rules.values():
            yield from (node for node in walk(rule) if isinstance(node, GrammarWord))


def walk(expansion: Expansion) -> Iterator[Expansion]:
    """Yields an expansion and all expansions within it, in order."""
    yield expansion
    match expansion:
        case GrammarSequence(parts) | GrammarAlternatives(parts):
            for part in parts:
                yield from walk(part)
        case GrammarRepeat(part):
            yield from walk(part)


def references_in(expansion: Expansion) -> Iterator[RuleReference]:
    """Yields the references to rules within an expansion, in order."""
    return (node for node in walk(expansion) if isinstance(node, RuleReference))
