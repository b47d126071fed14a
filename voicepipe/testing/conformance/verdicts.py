"""What comes out of checks: that something failed, that something could not be checked, and the report of both."""

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
        """Takes what happened.

        Args:
            message: what the adapter did.
            means: what that means for a call and how to mend it, if it is not what the check is about; empty: it is.

        """
        super().__init__(message)
        self.means = means

    def of(self, check: str, means: str) -> Failure:
        """This as the failure of a check whose rule means that."""
        return Failure(check, str(self), self.means or means, self)


class Skipped(Exception):  # noqa: N818 - no error: the check had nothing to go by
    """A check had nothing to go by; the message says what to hand in."""


@frozen
class Failure:
    """A check that failed."""

    check: str
    """Its name."""
    message: str
    """What happened."""
    means: str
    """What the rule means for a call, and how to mend it."""
    error: BaseException | None = field(default=None, eq=False, repr=False)
    """What was raised."""

    def __str__(self) -> str:
        return f"{self.check}: {self.message}\n" + "\n".join(f"    {line}".rstrip() for line in self.means.splitlines())


@frozen
class Report:
    """How one adapter fared."""

    subject: str
    """Which: `llm adapter 'parrot'`."""
    passed: tuple[str, ...]
    """The names of the checks that it passed."""
    skipped: tuple[tuple[str, str], ...]
    """Those that had nothing to go by, each with what to hand in."""
    failed: tuple[Failure, ...]
    """Those that it failed."""

    def __str__(self) -> str:
        counts = f"{len(self.passed)} passed, {len(self.skipped)} skipped, {len(self.failed)} failed"
        skipped = [f"skipped {name}: {reason}" for name, reason in self.skipped]
        return "\n\n".join([f"{self.subject}: {counts}", *map(str, self.failed), *skipped])


class ConformanceError(AssertionError):
    """An adapter does not behave; the message has every check that failed, and what to do about it.

    Attributes:
        report: the same as data.

    """

    def __init__(self, report: Report) -> None:
        self.report = report
        super().__init__(str(report))


def in_words(items: Iterable[object], most: int = 6) -> str:
    """A list for a sentence, cut off where it gets long."""
    shown = [str(item) for item in items]
    more = len(shown) - most
    return ", ".join(shown[:most]) + (f" and {more} more" if more > 0 else "")


def place_of(error: BaseException, module: str) -> str:
    """Where an adapter's own code was when an error arose, for the end of a sentence; empty if it was elsewhere.

    Args:
        error: what was raised; its causes are looked at too.
        module: one of the adapter's modules: those beside it count as well.

    """
    package = module.rpartition(".")[0] or module
    place = ""
    for one in (error, *errors_behind(error)):
        for frame, line in traceback.walk_tb(one.__traceback__):
            name = str(frame.f_globals.get("__name__", ""))
            if name == package or name.startswith(f"{package}."):
                place = f", in {Path(frame.f_code.co_filename).name}:{line} ({frame.f_code.co_name})"
    return place
