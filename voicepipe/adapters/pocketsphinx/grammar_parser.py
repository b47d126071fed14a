"""Parses JSGF, the Java Speech Grammar Format 1.0 (www.w3.org/TR/jsgf), with the place of every mistake. No I/O.

PocketSphinx has a parser of its own, but that reports no lines, refuses a grammar for a single word that it can't
pronounce, and of several public rules it takes the first. So grammars are parsed here, and `grammar_writer` passes on
the part that can be recognised.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NoReturn

from voicepipe.adapters.pocketsphinx.grammar import (
    NULL,
    VOID,
    Expansion,
    Grammar,
    GrammarAlternatives,
    GrammarRepeat,
    GrammarSequence,
    GrammarWord,
    RuleReference,
    references_in,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*|/\*.*?\*/)
    |(?P<header>\#JSGF\b[^;\n]*;)
    |(?P<rule><[^<>\s;|=()\[\]]+>)
    |(?P<weight>/\s*[0-9.]+(?:[eE][-+]?\d+)?\s*/)
    |(?P<tag>\{(?:\\.|[^\\}])*\})
    |(?P<quoted>"(?:\\.|[^"\\\n])*")
    |(?P<word>(?:\\.|[^\s;=|*+<>()\[\]{}/"\\\#])+)
    |(?P<sign>[;=|*+()\[\]])""",
    re.VERBOSE | re.DOTALL,
)


class GrammarError(ValueError):
    """A text is not a grammar; the arguments are the mistake, its line and its column."""

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(message, line, column)
        self.message, self.line, self.column = message, line, column

    def __str__(self) -> str:
        return f"{self.message} (line {self.line}, column {self.column})"


def parse_grammar(text: str) -> Grammar:
    """Parses a grammar in JSGF.

    Raises:
        GrammarError: the text is not JSGF, refers to a rule that is missing, has no public rule, or has a rule that
            leads back to itself other than at its end, which PocketSphinx can't recognise.

    """
    return _Parser(text).grammar()


class _Parser:
    """Recursive descent over the tokens of a text.

    Each method that returns an expansion begins at the current token and leaves the first one that it does not use.
    """

    def __init__(self, text: str) -> None:
        self._text = text.removeprefix("\N{BYTE ORDER MARK}")
        self._tokens = [*self._tokenise()]  # kind, text, position
        self._at = 0  # the index of the current token

    def grammar(self) -> Grammar:
        if self._kind != "header":
            self._fail("a grammar begins with '#JSGF V1.0;'")
        self._at += 1
        self._expect("grammar", "after the header comes 'grammar NAME;'")
        self._skip_word("the grammar's name")
        self._expect(";", "the grammar's name ends with ';'")
        rules: dict[str, Expansion] = {}
        public = []
        while self._kind != "end":
            if self._value == "import":
                self._fail("import is not supported: write the rules into this grammar")
            is_public = self._value == "public"
            self._at += is_public
            if self._kind != "rule":
                self._fail("here a rule should begin: '<name> = ...;'")
            name = self._value[1:-1]
            if name in rules or name in {"NULL", "VOID"}:
                self._fail(f"<{name}> is " + ("defined twice" if name in rules else "a name that JSGF keeps"))
            self._at += 1
            self._expect("=", f"after <{name}> comes '='")
            rules[name] = self._choice()
            self._expect(";", f"here the rule <{name}> should go on, or end with ';'")
            public += [name] * is_public
        if not public:
            self._fail("no rule is public, so nothing can be said")
        _check_references(rules)
        return Grammar(rules, tuple(public))

    def _choice(self) -> Expansion:
        alternatives, weights = [], []
        while True:
            weighted = self._kind == "weight"
            weights.append(self._value[1:-1].strip() if weighted else "1")
            self._at += weighted
            alternatives.append(self._sequence())
            if self._value != "|":
                break
            self._at += 1
        if len(alternatives) == 1:
            return alternatives[0]
        return GrammarAlternatives(tuple(alternatives), tuple(weights) if set(weights) != {"1"} else ())

    def _sequence(self) -> Expansion:
        parts = []
        while (part := self._part()) is not None:
            while self._value in {"*", "+"}:
                part = GrammarRepeat(part, self._value)
                self._at += 1
            while self._kind == "tag":  # a program's own data, which a recogniser ignores
                self._at += 1
            parts.append(part)
        if not parts:
            self._fail("here should stand something to say")
        return parts[0] if len(parts) == 1 else GrammarSequence(tuple(parts))

    def _part(self) -> Expansion | None:
        kind, value, (line, column) = self._kind, self._value, self._place()
        if kind in {"word", "quoted"}:
            self._at += 1
            text = re.sub(r"\\(.)", r"\1", value[1:-1] if kind == "quoted" else value)
            return GrammarWord(text, line, column)
        if kind == "rule":
            self._at += 1
            if value in {"<NULL>", "<VOID>"}:
                return NULL if value == "<NULL>" else VOID
            return RuleReference(value[1:-1], line, column)
        if kind == "sign" and value in {"(", "["}:
            self._at += 1
            inner = self._choice()
            close = ")" if value == "(" else "]"
            self._expect(close, f"the '{value}' of line {line}, column {column} is not closed here")
            return inner if value == "(" else GrammarRepeat(inner, "?")
        return None

    def _skip_word(self, description: str) -> None:
        if self._kind != "word":
            self._fail(f"here should stand {description}")
        self._at += 1

    def _expect(self, value: str, message: str) -> None:
        if self._value != value or self._kind == "quoted":
            self._fail(message)
        self._at += 1

    @property
    def _kind(self) -> str:
        return self._tokens[self._at][0]

    @property
    def _value(self) -> str:
        return self._tokens[self._at][1]

    def _tokenise(self) -> Iterator[tuple[str, str, int]]:
        at = 0
        while at < len(self._text):
            token = _TOKEN.match(self._text, at)
            if token is None:
                self._fail(f"{self._text[at]!r} does not belong here", at)
            if token.lastgroup != "space":
                yield token.lastgroup or "", token.group(), at
            at = token.end()
        yield "end", "", len(self._text.rstrip())

    def _place(self, at: int | None = None) -> tuple[int, int]:
        at = self._tokens[self._at][2] if at is None else at
        return self._text.count("\n", 0, at) + 1, at - self._text.rfind("\n", 0, at)

    def _fail(self, message: str, at: int | None = None) -> NoReturn:
        raise GrammarError(message, *self._place(at))


def _check_references(rules: Mapping[str, Expansion]) -> None:
    """Raises `GrammarError` for a reference to a missing rule, and for recursion other than at the end of a rule."""
    for rule in rules.values():
        for reference in references_in(rule):
            if reference.rule not in rules:
                raise GrammarError(f"there is no rule <{reference.rule}>", reference.line, reference.column)
    targets = {name: {reference.rule for reference in references_in(rule)} for name, rule in rules.items()}
    for name, rule in rules.items():
        for reference in _inner_references(rule):
            if name in _reachable(reference.rule, targets):
                message = f"<{reference.rule}> leads back to <{name}>, which a rule may do only at its end"
                raise GrammarError(message, reference.line, reference.column)


def _reachable(start: str, targets: Mapping[str, set[str]]) -> set[str]:
    reachable, pending = {start}, [start]
    while pending:
        new = targets[pending.pop()] - reachable
        reachable |= new
        pending += new
    return reachable


def _inner_references(expansion: Expansion) -> Iterator[RuleReference]:
    """Yields the references that are not at the end of an expansion."""
    match expansion:
        case GrammarSequence((*parts, last)):
            for part in parts:
                yield from references_in(part)
            yield from _inner_references(last)
        case GrammarAlternatives(alternatives):
            for alternative in alternatives:
                yield from _inner_references(alternative)
        case GrammarRepeat(part, "?"):
            yield from _inner_references(part)
        case GrammarRepeat(part):
            yield from references_in(part)
