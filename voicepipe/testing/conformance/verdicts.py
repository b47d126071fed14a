"""Results of checks: failures, skips, and the report of both."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import field, frozen

from voicepipe.errors import errors_behind

if TYPE_CHECKING:
    from collections.abc import Iterable


class Failed(AssertionError):  # noqa: N818 - it reads "raise Failed(what happened)"
    """The adapter broke the rule of a check; the message says what it did."""

    def __init__(self, message: str, *, means: str = "") -> None:
        """Makes a failure.

        Args:
            message: what the adapter did.
            means: the consequence for a call and the remedy, if they differ from the check's own; else empty.

        """
        super().__init__(message)
        self.means = means

    def of(self, check: str, means: str) -> Failure:
        """Returns the failure of a named check, with that check's meaning unless this has one of its own."""
        return Failure(check, str(self), self.means or means, self)


class Skipped(Exception):  # noqa: N818 - no error: the check lacks an input
    """A check lacks an input; the message says what to provide."""


@frozen
class Failure:
    """A check that failed."""

    check: str
    """The name of the check."""
    message: str
    """What happened."""
    means: str
    """The consequence of a broken rule for a call, and the remedy."""
    error: BaseException | None = field(default=None, eq=False, repr=False)
    """The exception that was raised."""

    def __str__(self) -> str:
        return f"{self.check}: {self.message}\n" + "\n".join(f"    {line}".rstrip() for line in self.means.splitlines())


@frozen
class Report:
    """The results of all checks of one adapter."""

    subject: str
    """The role and the name of the adapter: `llm adapter 'parrot'`."""
    passed: tuple[str, ...]
    """The names of the checks that passed."""
    skipped: tuple[tuple[str, str], ...]
    """The checks that lack an input, each with what to provide."""
    failed: tuple[Failure, ...]
    """The checks that failed."""

    def __str__(self) -> str:
        counts = f"{len(self.passed)} passed, {len(self.skipped)} skipped, {len(self.failed)} failed"
        skipped = [f"skipped {name}: {reason}" for name, reason in self.skipped]
        return "\n\n".join([f"{self.subject}: {counts}", *map(str, self.failed), *skipped])


class ConformanceError(AssertionError):
    """Checks of an adapter failed; the message has each of them and a remedy.

    Attributes:
        report: the results as data.

    """

    def __init__(self, report: Report) -> None:
        self.report = report
        super().__init__(str(report))


def in_words(items: Iterable[object], most: int = 6) -> str:
    """Joins items for a sentence; beyond `most` they are counted."""
    shown = [str(item) for item in items]
    more = len(shown) - most
    return ", ".join(shown[:most]) + (f" and {more} more" if more > 0 else "")


def place_of(error: BaseException, module: str) -> str:
    """Returns the last line of the adapter's own code in an error's traceback, as text; empty if it has none.

    Args:
        error: the exception; its causes are searched too.
        module: a module of the adapter; all modules of that package count as its own.

    """
    package = module.rpartition(".")[0] or module
    place = ""
    for exception in (error, *errors_behind(error)):
        for frame, line in traceback.walk_tb(exception.__traceback__):
            name = str(frame.f_globals.get("__name__", ""))
            if name == package or name.startswith(f"{package}."):
                place = f", in {Path(frame.f_code.co_filename).name}:{line} ({frame.f_code.co_name})"
    return place
