"""Checks with names, run one at a time or all with a report."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import trio
from attrs import frozen

from voicepipe.nurseries import leaves_of, uncancelled
from voicepipe.testing.conformance.generators import watching_generators
from voicepipe.testing.conformance.subject import Subject
from voicepipe.testing.conformance.verdicts import ConformanceError, Failed, Failure, Report, Skipped, place_of
from voicepipe.testing.conformance.waiting import counting_time

if TYPE_CHECKING:
    from collections.abc import Iterable


ATTEMPTS = 3
"""The most attempts of a check that fails while the process was suspended, which proves nothing."""


@frozen
class Check:
    """One rule, and the function that tests whether an adapter keeps it."""

    name: str
    """The rule in a few words, as an identifier."""
    means: str
    """The rule, what breaking it does to a call, and the remedy; shown when the check fails."""
    run: Callable[[Subject[Any]], Awaitable[None]]
    """Tests the rule; raises `Failed` if it is broken, `Skipped` if an input is missing."""


def checks(*functions: Callable[[Subject[Any]], Awaitable[None]]) -> tuple[Check, ...]:
    """Makes checks of functions, with the function's name and its docstring as the meaning."""
    return tuple(Check(function.__name__, inspect.getdoc(function) or "", function) for function in functions)


@frozen
class Conformance:
    """An adapter and the checks that apply to it.

    The pytest plugin `voicepipe.testing.plugin` makes a test of each. Without pytest, `await conformance.check()`.
    """

    subject: Subject[Any]
    """The adapter, its options and how its streams are used."""
    checks: tuple[Check, ...]
    """The checks, in the order in which failures are best fixed."""

    async def run(self, check: Check) -> None:
        """Runs one check.

        Raises:
            Failed: the adapter breaks the rule, or fails in another way during the check.
            Skipped: an input is missing.

        """
        for attempt in range(1, ATTEMPTS + 1):
            with watching_generators(self.subject.adapter.options.__module__), counting_time() as clock:
                try:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(clock.run)
                        await check.run(self.subject)
                        nursery.cancel_scope.cancel()
                except (Exception, BaseExceptionGroup) as error:
                    if uncancelled(error) is None:
                        raise  # the cancellation came from outside the check
                    clock.now()
                    verdict = _verdict(error, self.subject.adapter.options.__module__)
                    if attempt == ATTEMPTS or not clock.stood_still or isinstance(verdict, KeyboardInterrupt):
                        raise verdict from error
                else:
                    return

    async def check(self, names: Iterable[str] = ()) -> Report:
        """Runs all checks, or those that are named, and returns the report.

        Raises:
            ConformanceError: checks failed; the error has the report.

        """
        chosen = set(names)
        passed: list[str] = []
        skipped: list[tuple[str, str]] = []
        failed: list[Failure] = []
        for check in self.checks:
            if chosen and check.name not in chosen:
                continue
            try:
                await self.run(check)
            except Skipped as skip:
                skipped.append((check.name, str(skip)))
            except Failed as failure:
                failed.append(failure.of(check.name, check.means))
            else:
                passed.append(check.name)
        report = Report(str(self.subject), tuple(passed), tuple(skipped), tuple(failed))
        if failed:
            raise ConformanceError(report)
        return report

    def __call__(self) -> None:
        """Runs all checks with `trio.run`, for programs without trio, and for pytest without the plugin."""
        trio.run(self.check)


def _verdict(error: BaseException, module: str) -> BaseException:
    """Returns the verdict on what a check raised: its own, or a `Failed` for any other exception."""
    leaves = list(leaves_of(error))
    for kind in (KeyboardInterrupt, Failed, Skipped):
        for leaf in leaves:
            if isinstance(leaf, kind):
                return leaf
    errors = "; ".join(f"{type(leaf).__name__}: {leaf}{place_of(leaf, module)}" for leaf in leaves)
    return Failed(f"it failed: {errors}")
