"""One structuring of a document: what its scalars stand for, and all that is wrong with it."""

from __future__ import annotations

from copy import copy
from types import NoneType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeVar, get_args, get_origin

import attrs
from attrs import evolve

from voicepipe.documents.places import Place, Refused, Source
from voicepipe.documents.read import MAX_PROBLEMS, too_many
from voicepipe.documents.structure import PLAIN, UNIONS
from voicepipe.documents.words import among, shown
from voicepipe.errors import ConfigError, Location, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from cattrs import BaseConverter

    from voicepipe.documents.nodes import Scalar

T = TypeVar("T")


class _Enough(Exception):  # noqa: N818 - see MAX_PROBLEMS
    """There are too many problems to go on."""


class Reading:
    """One structuring of a document: what its scalars stand for, and all problems found so far.

    The plain one takes text as it stands; `voicepipe.config` has one that resolves `${...}`, with a converter
    that knows secrets, files and references as well.
    """

    converter: ClassVar[BaseConverter] = PLAIN
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

    def text(self, place: Place, scalar: Scalar) -> str:  # noqa: ARG002 - others report there
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

    def unknown(self, place: Place) -> bool:  # noqa: ARG002 - see above
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

    def structure(self, place: Place, of: Any) -> Any:
        """The value at a place as that type; raises `Refused` when there is none."""
        return self.converter.get_structure_hook(of)(place, of)
