"""Turns the nodes of a document into typed values, and collects every problem with its line and column.

Theory of operation
-------------------

**From bytes to a value.** `parse.py` makes a tree of nodes (`nodes.py`) from the bytes: scalars, sequences and
mappings, each with its line and column. A scalar is only text there; `8` is a number for one field and a name for
another, so that the type of the field decides (`structure.py`, `scalars.py`). Reading a document therefore is one walk
down the tree and the types side by side, which starts at `Document.structure`.

**Cursor.** A `Cursor` is a node on that walk: the node, the cursor of the mapping or list that it is in, its key, and
the field that it is for. It answers the questions that messages ask (`where`, `keys`, `given`), and steps down with
`entries` and `items`. A cursor is made for each step and forgotten afterwards; the nodes are shared. Two cursors may
therefore point at one node: an alias (`*x`) is its anchor's node, and a component that several pipelines use is read
from one definition.

**Context.** A `Context` is what all cursors of one reading share: the text that the messages quote (`Source`), the
problems, and the answers to what only the owner of the document knows: what `${NAME}` resolves to, which types are
secret, what a field's docstring says. The plain context takes text as it is written. `voicepipe.config.reading` has
the one for configurations, and `voicepipe.config.set_context` the one for pipeline sets.

**Readers.** A reader is a function of a cursor and a type that returns the value, or reports and raises `Refused`.
cattrs finds the reader of a type (`Context.converter`, made by `converter_with`), and no more than that: its own
structuring works on plain data, which has no places. `Cursor.read` is the single way from one reader into the next.

**Problems.** A reader that cannot go on calls `Cursor.refuse`: the problem is added to the context, and `Refused`
unwinds to the nearest reader of a collection, which goes on with the next entry and raises `Refused` itself at its
end. Hence one run finds all problems, and a value exists only if everything below it was right. What does not stop a
value (an unknown key beside good ones) uses `Cursor.report`. `Context.run` makes one `ConfigError` of all of them.

A problem is placed where the user has to edit: at the value (`where`), at its key when the key itself is wrong
(`key_where`), and, when something is missing, at the head of the mapping that lacks it (`head`). Equal problems are
reported once, since a shared node is read by several users of it. Problems that parsing found (a duplicate key, a
tag) are added first, and nothing more is said about their places: what else is wrong there is a consequence.

**Validators.** A class's attrs validators run when the instance is made. If a field was refused, there is no
instance; the validators of the other fields then run on a bare object, so that they are not held back until the
first problem is mended (`structure.py`, `_judge`).

**Trials.** A union of scalar types, and checks across fields, ask whether a value *would* be right. `Cursor.trial`
is the same cursor in a copy of the context whose problems start empty; the copy shares everything else, so caches
stay warm and secrets found on the way are known. Its problems are dropped, unless the caller passes them on.

**Unions.** The node picks the alternative: null, then a mapping, a list or a scalar. Among several classes the one
with most keys in common is read, for its messages are closest to what was meant. Among scalar types the first one
whose trial succeeds is read, `str` last, for text takes anything.

**Secrets.** Messages quote values and show the source line, so a secret must be masked before anything is reported
near it. `Cursor.conceal` masks each scalar at and below a field whose type may hold secrets, *before* its reader
runs; an unknown key that resembles such a field is masked as well, as a misspelt `api_key` holds a key all the same.
A scalar that only refers to a secret (`${API_KEY}`) may be shown. `Source.line` does the masking, by column.

**Values that are not at hand.** `voicepipe check --without-secrets` reads files whose variables are not set. Such
a scalar is replaced by its own text, `Context.is_unknown` is true for it, and no type or validator judges it.
"""

from __future__ import annotations

from copy import copy
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn, Self, TypeVar, Union, get_args, get_origin

import attrs
from attrs import NOTHING, evolve

from voicepipe.documents.nodes import MappingNode, Node, ScalarNode, SequenceNode
from voicepipe.documents.parse import MAX_PROBLEMS, too_many
from voicepipe.documents.suggestions import among, path_of, shown
from voicepipe.errors import ConfigError, Location, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from cattrs import BaseConverter

    from voicepipe.documents.source import Source

UNIONS: frozenset[Any] = frozenset({Union, UnionType})

T = TypeVar("T")


class _TooManyProblems(Exception):  # noqa: N818 - ends a reading early; never reaches a caller
    """The number of problems has reached `MAX_PROBLEMS`."""


class Refused(Exception):  # noqa: N818 - not an error to show: the problem has been reported already
    """A value can't be used; the reason is among the problems of its context."""


class Context:
    """State that all cursors of one reading share: the source, the problems, and how scalars are resolved.

    This class takes text as it is written. Subclasses override the methods up to `describe_field`.
    """

    converter: ClassVar[BaseConverter]
    """Finds the reader of a type; `converter_with` makes one."""
    nouns: ClassVar[Mapping[Any, str]] = {
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

    def resolve(self, cursor: Cursor, scalar: ScalarNode) -> str:  # noqa: ARG002 - subclasses report at the cursor
        """Returns the text that a scalar stands for; raises `Refused` if it can't be resolved."""
        return scalar.text

    def is_literal(self, scalar: ScalarNode) -> bool:  # noqa: ARG002 - see above
        """True if a scalar stands for its own text, with nothing to resolve in it."""
        return True

    def is_reference(self, scalar: ScalarNode) -> bool:
        """True if a scalar consists of references only, so that quoting it discloses no secret."""
        return not self.is_literal(scalar)

    def is_unknown(self, cursor: Cursor) -> bool:  # noqa: ARG002 - see above
        """True if the value is not available on this machine, so that no type or validator may judge it."""
        return False

    def is_secret(self, of: Any) -> bool:  # noqa: ARG002 - see above
        """True if values of a type are secrets, or may hold some."""
        return False

    def describe_field(self, of: type, name: str) -> tuple[str, str]:  # noqa: ARG002 - see above
        """Returns the bounds of a class's field (`80 to 450`) and the first sentence of its docstring, for hints."""
        return "", ""

    def report(self, problem: Problem) -> None:
        """Adds a problem, unless it is known already or parsing has reported one at the same location."""
        if problem in self.problems or problem.where in self._unsound:
            return
        if len(self.problems) >= MAX_PROBLEMS:
            self.problems[too_many(problem.where)] = None
            raise _TooManyProblems
        self.problems[problem] = None

    def add_parse_problems(self, problems: Iterable[Problem]) -> None:
        """Adds the problems that parsing found; later problems at their locations are dropped."""
        for problem in problems:
            self.report(problem)
        self._unsound.update(problem.where for problem in self.problems)

    def trial(self) -> Self:
        """Returns a copy of the context without problems, to find out if something can be read."""
        trial = copy(self)
        trial.problems = {}
        return trial

    def run(self, read: Callable[[], T]) -> T:
        """Returns the result of `read`, if no problem was reported meanwhile.

        Raises:
            ConfigError: at least one problem was reported; it has all of them, each with its source line.

        """
        try:
            value = read()
        except (Refused, _TooManyProblems):
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
        """Returns a noun phrase for what a type takes: `a whole number`."""
        if noun := self.nouns.get(of):
            return noun
        origin, arguments = get_origin(of), get_args(of)
        if origin is Literal:
            return "one of " + among(map(str, arguments)) if len(arguments) > 1 else shown(str(arguments[0]))
        if origin in UNIONS:
            return " or ".join(map(self.describe, arguments))
        if origin is tuple:
            return "a list"
        if attrs.has(of):
            return "a mapping with " + among(field.name for field in attrs.fields(of))
        return "a mapping"


class Cursor:
    """A node on the way through a document: its location, its key, and the context that takes its problems."""

    __slots__ = ("context", "default", "field", "key", "key_node", "node", "parent")

    noun = "known keys"
    """What the keys of this mapping are called in hints."""

    def __init__(
        self,
        context: Context,
        node: Node,
        parent: Cursor | None = None,
        key: str | int = "",
        key_node: ScalarNode | None = None,
    ) -> None:
        self.context, self.node, self.parent, self.key, self.key_node = context, node, parent, key, key_node
        self.default: Any = NOTHING
        self.field: tuple[type, str] | None = None

    def read(self, of: Any) -> Any:
        """Returns the value as an instance of a type; raises `Refused` if it is not one."""
        return self.context.converter.get_structure_hook(of)(self, of)

    def trial(self) -> Cursor:
        """Returns this cursor in a trial of its context, so that no problem of the value is reported."""
        return self.within(self.context.trial())

    def within(self, context: Context) -> Cursor:
        """Returns this cursor in another context, which takes its problems from then on."""
        return Cursor(context, self.node, self.parent, self.key, self.key_node)

    @property
    def keys(self) -> tuple[str | int, ...]:
        """The path from the root: keys of mappings, indexes of lists."""
        return () if self.parent is None else (*self.parent.keys, self.key)

    @property
    def where(self) -> Location:
        """The location of the value."""
        return self._location(self.node)

    @property
    def key_where(self) -> Location:
        """The location of the key; of the value, if it has no key."""
        return self._location(self.key_node or self.node)

    @property
    def head(self) -> Location:
        """The location for what the value lacks: the value, or its key if that is on a line above."""
        key = self.key_node
        return self._location(self.node if key is None or key.line == self.node.line else key)

    def _location(self, node: Node) -> Location:
        return Location(self.context.source.name, node.line, node.column)

    @property
    def null(self) -> bool:
        """True if the value is null or left out."""
        return isinstance(self.node, ScalarNode) and self.node.null

    @property
    def unknown(self) -> bool:
        """True if the value is not available on this machine (see `Context.is_unknown`)."""
        return self.context.is_unknown(self)

    @property
    def sound(self) -> bool:
        """False if parsing left out entries of this mapping, so that nothing can be said to be missing."""
        return not isinstance(self.node, MappingNode) or self.node.sound

    @property
    def given(self) -> str:
        """The value for a message, with `***` for a secret."""
        match self.node:
            case MappingNode():
                return "a mapping"
            case SequenceNode():
                return "a list"
            case ScalarNode() as scalar if scalar.null:
                return "nothing"
            case ScalarNode() as scalar if self.context.source.conceals(scalar):
                return "***"
            case ScalarNode(text=text) as scalar if not self.context.is_literal(scalar):
                return f"the value of {shown(text)}"
            case ScalarNode(text=text, plain=plain):
                return shown(text) if plain else f"{shown(text)} in quotes"

    @property
    def showable(self) -> bool:
        """True if the text in the document is the value itself, and not a secret."""
        node = self.node
        return not isinstance(node, ScalarNode) or (
            self.context.is_literal(node) and not self.context.source.conceals(node)
        )

    def conceal(self) -> None:
        """Masks every scalar at and below this node in messages and source lines, except mere references."""
        nodes = [self.node]
        while nodes:
            match nodes.pop():
                case ScalarNode() as scalar if not self.context.is_reference(scalar):
                    self.context.source.conceal(scalar)
                case SequenceNode(items=items):
                    nodes += items
                case MappingNode(entries=entries):
                    nodes += (value for _, value in entries.values())

    def example(self, otherwise: str, message: str = "") -> str:
        """Returns a hint for a wrong value: a valid one, and the description of the field.

        Args:
            otherwise: what to write if the field has no simple default.
            message: the message that the hint goes with; bounds that it mentions are not repeated.

        """
        default = self.default
        simple = isinstance(default, bool) or (default and isinstance(default, int | float | str))
        shown_default = str(default).lower() if isinstance(default, bool) else default
        hint = f"for example {shown_default}" if simple else f"write {otherwise}"
        if self.field is None:
            return hint
        bounds, sentence = self.context.describe_field(*self.field)
        if bounds and bounds not in message:
            hint = f"{bounds}, {hint}" if simple else bounds
        return f"{hint}: {sentence}" if sentence else hint

    def sample(self, name: str, of: Any) -> str:  # noqa: ARG002 - subclasses know samples
        """Returns the usual value of a key that is missing, for hints; empty if there is none."""
        return ""

    def entries(self) -> dict[str, Cursor]:
        """Returns cursors for the values of a mapping by their keys; raises `Refused` if it is not a mapping."""
        if not isinstance(self.node, MappingNode):
            hint = "write `key: value` lines, indented below it"
            self.refuse(f"expected a mapping, got {self.given}", hint)
        return {key: Cursor(self.context, node, self, key, at) for key, (at, node) in self.node.entries.items()}

    def items(self) -> list[Cursor]:
        """Returns cursors for the entries of a list; raises `Refused` if it is not a list."""
        node = self.node
        if not isinstance(node, SequenceNode):
            hint = "write [a, b]"
            if isinstance(node, MappingNode):
                hint = "begin each entry with `- `"
            elif not node.null and self.showable:
                hint = f"write [{node.text}]"
            self.refuse(f"expected a list, got {self.given}", hint)
        return [Cursor(self.context, item, self, index) for index, item in enumerate(node.items)]

    def text(self, expected: str = "text", hint: str = "") -> str:
        """Returns the text of a scalar, resolved; raises `Refused` if it is null or not a scalar."""
        node = self.node
        if not isinstance(node, ScalarNode) or node.null:
            if not isinstance(node, ScalarNode):
                hint = hint or self.example("one value, in quotes if it has special characters")
            elif not hint:
                hint = (
                    "put it into quotes if it is text" if node.text else "write it after the colon, or remove the line"
                )
            self.refuse(f"expected {expected}, got {self.given}", hint)
        return self.context.resolve(self, node)

    def report(
        self, message: str, hint: str = "", *, where: Location | None = None, key: str | int | None = None
    ) -> None:
        """Adds a problem of this value, or of its entry `key`; `where` is the value's location by default."""
        keys = self.keys if key is None else (*self.keys, key)
        self.context.report(Problem(where or self.where, path_of(keys), message, hint))

    def refuse(self, message: str, hint: str = "", *, where: Location | None = None) -> NoReturn:
        """Adds a problem of this value and raises `Refused`."""
        self.report(message, hint, where=where)
        raise Refused


def entries_of(cursor: Cursor | None) -> dict[str, Cursor]:
    """Returns the entries of a mapping; an empty dict for anything else, which its reader reports."""
    return cursor.entries() if cursor is not None and isinstance(cursor.node, MappingNode) else {}


def items_of(cursor: Cursor | None) -> list[Cursor]:
    """Returns the entries of a list; an empty list for anything else, which its reader reports."""
    return cursor.items() if cursor is not None and isinstance(cursor.node, SequenceNode) else []
