"""Grammars in JSGF, the Java Speech Grammar Format 1.0 (www.w3.org/TR/jsgf), read with the place of every mistake.

PocketSphinx has a parser of its own; it names no lines, refuses a grammar for one word that it can't pronounce, and
takes of several public rules the first. So grammars are parsed here, and handed on without what can't be heard.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, NoReturn, TypeAlias

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator

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
    """A text is no grammar; the arguments are what is wrong, the line and the column."""

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(message, line, column)
        self.message, self.line, self.column = message, line, column

    def __str__(self) -> str:
        return f"{self.message} (line {self.line}, column {self.column})"


@frozen
class GrammarWord:
    """A word to be said."""

    text: str
    """As written."""
    line: int = 0
    """Where, from 1; 0: nowhere in a file."""
    column: int = 0
    """Where in the line, from 1."""


@frozen
class RuleReference:
    """A reference to another rule."""

    rule: str
    """Its name, without the brackets."""
    line: int
    """Where, from 1."""
    column: int
    """Where in the line, from 1."""


@frozen
class GrammarSequence:
    """One after the other; of none: nothing is said."""

    parts: tuple[Expansion, ...] = ()
    """In order."""


@frozen
class GrammarAlternatives:
    """One of several; of none: it can't be said."""

    alternatives: tuple[Expansion, ...] = ()
    """Each."""
    weights: tuple[str, ...] = ()
    """How likely each is, as the grammar writes it; empty: alike."""


@frozen
class GrammarRepeat:
    """A repeated or optional part."""

    part: Expansion
    """What."""
    sign: str
    """`*`: any number of times; `+`: at least once; `?`: once or not at all."""


Expansion: TypeAlias = GrammarWord | RuleReference | GrammarSequence | GrammarAlternatives | GrammarRepeat

NOTHING = GrammarSequence()
IMPOSSIBLE = GrammarAlternatives()


@frozen
class Grammar:
    """A grammar without mistakes."""

    rules: Mapping[str, Expansion]
    """By name."""
    public: tuple[str, ...]
    """The names of those that may be said by themselves, at least one."""

    def words(self) -> Iterator[GrammarWord]:
        """All words of the grammar, in order."""
        for rule in self.rules.values():
            yield from (one for one in _walk(rule) if isinstance(one, GrammarWord))

    def spelled(self, spell: Callable[[str], tuple[str, ...]]) -> str | None:
        """The grammar as PocketSphinx takes it, whose one public rule says what any public rule says.

        Args:
            spell: the words that the recogniser knows a word by; none: it can't hear that word, and what needs
                the word is left out.

        Returns:
            The text, or None if nothing remains that could be said.

        """
        rules = {name: _spelled(rule, spell) for name, rule in self.rules.items()}
        while lost := {name for name, rule in rules.items() if rule == IMPOSSIBLE}:
            rules = {name: _without(rule, lost) for name, rule in rules.items() if name not in lost}
        public = [f"<{name}>" for name in self.public if name in rules]
        if not public:
            return None
        numbers = {name: f"r{number}" for number, name in enumerate(rules)}
        lines = [f"<{numbers[name]}> = {_written(rule, numbers)};" for name, rule in rules.items()]
        top = " | ".join(f"<{numbers[name[1:-1]]}>" for name in public)
        return "\n".join(["#JSGF V1.0;", "grammar voicepipe;", f"public <top> = {top};", *lines])


def parse_grammar(text: str) -> Grammar:
    """The grammar that a text in JSGF describes.

    Raises:
        GrammarError: it describes none, or one that nothing can be heard by.

    """
    return _Parser(text).grammar()


class _Parser:
    """Recursive descent over the tokens of a text."""

    def __init__(self, text: str) -> None:
        self._text = text.removeprefix("\N{BYTE ORDER MARK}")
        self._tokens = [*self._read()]
        self._at = 0

    def grammar(self) -> Grammar:
        if self._kind != "header":
            self._fail("a grammar begins with '#JSGF V1.0;'")
        self._at += 1
        self._expect("grammar", "after the header comes 'grammar NAME;'")
        self._word("the grammar's name")
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
            while self._kind == "tag":  # what it means to a program is nothing to a recogniser
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
                return NOTHING if value == "<NULL>" else IMPOSSIBLE
            return RuleReference(value[1:-1], line, column)
        if kind == "sign" and value in {"(", "["}:
            self._at += 1
            inner = self._choice()
            close = ")" if value == "(" else "]"
            self._expect(close, f"the '{value}' of line {line}, column {column} is not closed here")
            return inner if value == "(" else GrammarRepeat(inner, "?")
        return None

    def _word(self, what: str) -> None:
        if self._kind != "word":
            self._fail(f"here should stand {what}")
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

    def _read(self) -> Iterator[tuple[str, str, int]]:
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
    """Finds rules that are nowhere, and rules that come back to themselves before their end."""
    for rule in rules.values():
        for one in _walk(rule):
            if isinstance(one, RuleReference) and one.rule not in rules:
                raise GrammarError(f"there is no rule <{one.rule}>", one.line, one.column)
    leads = {name: {one.rule for one in _walk(rule) if isinstance(one, RuleReference)} for name, rule in rules.items()}
    for name, rule in rules.items():
        for one in _before_the_end(rule):
            if name in _reached(one.rule, leads):
                message = f"<{one.rule}> leads back to <{name}>, which a rule may do only at its end"
                raise GrammarError(message, one.line, one.column)


def _reached(start: str, leads: Mapping[str, set[str]]) -> set[str]:
    found, ahead = {start}, [start]
    while ahead:
        fresh = leads[ahead.pop()] - found
        found |= fresh
        ahead += fresh
    return found


def _walk(expansion: Expansion) -> Iterator[Expansion]:
    yield expansion
    match expansion:
        case GrammarSequence(parts) | GrammarAlternatives(parts):
            for part in parts:
                yield from _walk(part)
        case GrammarRepeat(part):
            yield from _walk(part)


def _before_the_end(expansion: Expansion) -> Iterator[RuleReference]:
    """The references after which something else may come."""
    match expansion:
        case GrammarSequence((*parts, last)):
            for part in parts:
                yield from (one for one in _walk(part) if isinstance(one, RuleReference))
            yield from _before_the_end(last)
        case GrammarAlternatives(alternatives):
            for alternative in alternatives:
                yield from _before_the_end(alternative)
        case GrammarRepeat(part, "?"):
            yield from _before_the_end(part)
        case GrammarRepeat(part):
            yield from (one for one in _walk(part) if isinstance(one, RuleReference))


def _rewritten(expansion: Expansion, leaf: Callable[[GrammarWord | RuleReference], Expansion]) -> Expansion:
    """The expansion with other leaves, and without what has become impossible by that."""
    match expansion:
        case GrammarSequence(parts):
            kept = [part for one in parts if (part := _rewritten(one, leaf)) != NOTHING]
            return IMPOSSIBLE if IMPOSSIBLE in kept else kept[0] if len(kept) == 1 else GrammarSequence(tuple(kept))
        case GrammarAlternatives(alternatives, weights):
            pairs = zip(alternatives, weights or ("1",) * len(alternatives), strict=True)
            left = [(one, weight) for part, weight in pairs if (one := _rewritten(part, leaf)) != IMPOSSIBLE]
            if len(left) == 1:
                return left[0][0]
            return GrammarAlternatives(
                tuple(one for one, _ in left), tuple(weight for _, weight in left) if weights else ()
            )
        case GrammarRepeat(part, sign):
            one = _rewritten(part, leaf)
            if one == IMPOSSIBLE:
                return IMPOSSIBLE if sign == "+" else NOTHING
            return NOTHING if one == NOTHING else GrammarRepeat(one, sign)
        case _:
            return leaf(expansion)


def _spelled(expansion: Expansion, spell: Callable[[str], tuple[str, ...]]) -> Expansion:
    def leaf(one: GrammarWord | RuleReference) -> Expansion:
        if isinstance(one, RuleReference):
            return one
        words = tuple(map(GrammarWord, spell(one.text)))
        return IMPOSSIBLE if not words else words[0] if len(words) == 1 else GrammarSequence(words)

    return _rewritten(expansion, leaf)


def _without(expansion: Expansion, lost: Container[str]) -> Expansion:
    return _rewritten(expansion, lambda one: IMPOSSIBLE if isinstance(one, RuleReference) and one.rule in lost else one)


def _written(expansion: Expansion, names: Mapping[str, str]) -> str:  # noqa: PLR0911 - one for each kind
    match expansion:
        case GrammarWord(text):
            return text
        case RuleReference(rule):
            return f"<{names[rule]}>"
        case GrammarSequence(()):
            return "<NULL>"
        case GrammarSequence(parts):
            return " ".join(_written(part, names) for part in parts)
        case GrammarAlternatives(alternatives, weights):
            texts = [_written(one, names) for one in alternatives]
            if weights:
                texts = [f"/{weight}/ {text}" for weight, text in zip(weights, texts, strict=True)]
            return f"({' | '.join(texts)})"
        case GrammarRepeat(part, "?"):
            return f"[{_written(part, names)}]"
        case GrammarRepeat(part, sign):
            return f"({_written(part, names)}){sign}"
