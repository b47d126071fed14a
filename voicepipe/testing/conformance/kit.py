"""The checks of one adapter, by name: run one, or all with a report."""

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
"""How often a check is tried that fails each time while the process stood still for a while, as when it was stopped."""


@frozen
class Check:
    """One rule, and what finds out whether an adapter keeps it."""

    name: str
    """The rule in a few words, as a name."""
    means: str
    """What it means for a call, and how to mend what breaks it."""
    run: Callable[[Subject[Any]], Awaitable[None]]
    """Raises `Failed` if it is broken, `Skipped` if there is nothing to go by."""


def checks(*functions: Callable[[Subject[Any]], Awaitable[None]]) -> tuple[Check, ...]:
    """Checks made of functions: the function's name is the name, its docstring what it means."""
    return tuple(Check(function.__name__, inspect.getdoc(function) or "", function) for function in functions)


@frozen
class Conformance:
    """What an adapter has to do, as checks with names.

    The pytest plugin `voicepipe.testing.plugin` makes a test of each. Without pytest, `await conformance.check()`.
    """

    subject: Subject[Any]
    """The adapter."""
    checks: tuple[Check, ...]
    """All that apply, in the order in which they are best mended."""

    async def run(self, check: Check) -> None:
        """Runs one check.

        Raises:
            Failed: the adapter breaks the rule; also if it fails in a way that the check is not about.
            Skipped: there is nothing to go by.

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
                        raise  # somebody else cancelled the check
                    clock.now()
                    verdict = _verdict(error, self.subject.adapter.options.__module__)
                    if attempt == ATTEMPTS or not clock.stood_still or isinstance(verdict, KeyboardInterrupt):
                        raise verdict from error
                else:
                    return

    async def check(self, names: Iterable[str] = ()) -> Report:
        """Runs all checks, or those of some names.

        Raises:
            ConformanceError: some failed; it has them all.

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
        """Runs all checks in a loop of its own: for programs without trio, and what pytest would call by mistake."""
        trio.run(self.check)


def _verdict(error: BaseException, module: str) -> BaseException:
    """What a check raised, as a verdict: its own, or that the component failed where it should not have."""
    leaves = list(leaves_of(error))
    for kind in (KeyboardInterrupt, Failed, Skipped):
        for leaf in leaves:
            if isinstance(leaf, kind):
                return leaf
    said = "; ".join(f"{type(leaf).__name__}: {leaf}{place_of(leaf, module)}" for leaf in leaves)
    return Failed(f"it failed: {said}")
