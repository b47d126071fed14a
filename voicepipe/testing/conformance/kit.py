"""Checks with names, run one at a time or all with a report.

Theory of operation
===================

*A check* is an async function of a `Subject`. Its name is the rule, and its docstring says what breaking the rule does
to a call, and the remedy. It returns if the adapter keeps the rule, raises `Failed` if not, and `Skipped` if it lacks
an input. Each check opens the component anew, so checks run in any order, alone or together. `subject.py` has what
they share: how a component and its streams are opened, used and compared.

*Real time.* Checks run on the real clock and, for a vendor's adapter, on real sockets to a local server, because an
adapter's library would not run on a virtual clock. But no verdict may depend on how fast the machine is. So three kinds
of time are told apart:

- *The kit's deadlines* (`Subject.due`, `Subject.entered`, `ended_after`) count by the `CheckClock` of `waiting.py`. It
doesn't count the time in which this process or a child of it was stopped, or was ready to run and got no processor. -
*Steps on the loop*, for `nothing_holds_up_the_loop`, are measured by `loop.py`, less the same two. A thread tells when
the process was stopped (`witness.py`). Each measurement is made three times, and the least counts. - *The adapter's own
deadlines* run on trio's clock, and can't be held back. If the process is stopped for two seconds, an adapter may
rightly report a timeout.

*Retries* follow from the last point. A failure proves nothing if the clock saw the process, or a child of it, stopped
during the check (`CheckClock.stood_still`): the check runs again, at most `ATTEMPTS` times in all. A failure without a
stop is final, however busy the machine was, and a check that passed is never repeated.

*How a check runs* (`Conformance.run`):

    watching_generators         notes async generators that the adapter begins and doesn't close
      counting_time             makes the CheckClock
        a nursery
          clock.run             cancels what is overdue, and takes away shields that are in the way
          check.run(subject)    opens, uses and judges the component

The clock's task ends with the check. What else the adapter left behind (tasks, threads, sockets, memory) is looked for
by the checks themselves (`belongings.py`, `memory.py`).

*The verdict.* Nurseries turn exceptions into groups, so the leaves of what was raised are looked at:
`KeyboardInterrupt` first, then `Failed`, then `Skipped`. Anything else is a failure too, with the line of the adapter's
module that raised it. A cancellation from outside, such as a test's timeout, is raised as it is.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol

import trio
from attrs import frozen

from voicepipe.nurseries import leaves_of, uncancelled
from voicepipe.testing.conformance.generators import watching_generators
from voicepipe.testing.conformance.verdicts import ConformanceError, Failed, Failure, Report, Skipped, place_of
from voicepipe.testing.conformance.waiting import counting_time

if TYPE_CHECKING:
    from collections.abc import Iterable


ATTEMPTS = 3
"""The most attempts of a check that fails while the process was suspended, which proves nothing."""


class Checked(Protocol):
    """What checks are about, with all that they need: an adapter's `Subject`, or that of a transport."""

    @property
    def module(self) -> str:
        """A module of the code that is checked."""


@frozen
class Check:
    """One rule, and the function that tests whether an adapter or a transport keeps it."""

    name: str
    """The rule in a few words, as an identifier."""
    means: str
    """The rule, what breaking it does to a call, and the remedy; shown when the check fails."""
    run: Callable[[Any], Awaitable[None]]
    """Tests the rule; raises `Failed` if it is broken, `Skipped` if an input is missing."""


def checks(*functions: Callable[[Any], Awaitable[None]]) -> tuple[Check, ...]:
    """Makes checks of functions, with the function's name and its docstring as the meaning."""
    return tuple(Check(function.__name__, inspect.getdoc(function) or "", function) for function in functions)


@frozen
class Conformance:
    """An adapter or a transport, and the checks that apply to it.

    The pytest plugin `voicepipe.testing.plugin` makes a test of each. Without pytest, `await conformance.check()`.
    """

    subject: Checked
    """The adapter or transport, its options and how it is used."""
    checks: tuple[Check, ...]
    """The checks, in the order in which failures are best fixed."""

    async def run(self, check: Check) -> None:
        """Runs one check.

        Raises:
            Failed: the adapter breaks the rule, or fails in another way during the check.
            Skipped: an input is missing.

        """
        for attempt in range(1, ATTEMPTS + 1):
            with watching_generators(self.subject.module), counting_time() as clock:
                try:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(clock.run)
                        await check.run(self.subject)
                        nursery.cancel_scope.cancel()
                except (Exception, BaseExceptionGroup) as error:
                    if uncancelled(error) is None:
                        raise  # the cancellation came from outside the check
                    clock.now()
                    verdict = _verdict(error, self.subject.module)
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
