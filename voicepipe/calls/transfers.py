"""A call's transfers, one at a time: each ends the call, or brings the caller back.

Theory of operation
-------------------

Turn-taking decides when a transfer begins (`actions.BeginTransfer`), which is never while the agent speaks, and is told
what came of it (`TransferDone`, `TransferUnanswered`). Between the two, `Transport.transfer` runs as a task of the
call, within a time limit: `limits.transfer_s` if the transport completes transfers itself, or `HAND_BACK_S` if it only
hands the caller back to the telephone system. The transport goes on delivering the caller's audio and keys.

The caller's leg may end meanwhile for two reasons that look alike from here: the caller hung up, or the transfer has
taken them away. Only the transport knows. So its end (`caller_left`) leaves `Transport.transfer` another `HAND_BACK_S`
to return; if it does, the transfer counts, and if it raises `TransferFailed` or does not return, the caller hung up.
Before that, while the agent's last words are waited for, nothing can have taken the caller: then a leg that ends is a
caller who hung up, and no transfer begins.

A transfer that nobody takes is a fact for the model, which `Replies` puts into the conversation behind whatever the
caller said and pressed meanwhile.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import trio

from voicepipe.calls.events import LastWordsUnconfirmed, TransferEnded, TransferStarted
from voicepipe.calls.turns import events as turns
from voicepipe.calls.turns.events import Ending
from voicepipe.components.requests import Told
from voicepipe.errors import TransferFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from voicepipe.calls.events import Outcome
    from voicepipe.calls.observing import EventEmitter
    from voicepipe.calls.replies.playout import Playout
    from voicepipe.calls.replies.waiting_sounds import WaitingSounds
    from voicepipe.calls.tasks import CallTasks
    from voicepipe.calls.turns.events import Event
    from voicepipe.transports.protocol import Transport

HAND_BACK_S = 5.0
"""The time in which a transport hands a caller back, or reports a transfer after the caller's leg has ended, in s."""

LEFT = "the caller hung up"
GIVEN_UP = "given up: the call ended"
NOT_BEGUN = "the call ended before it began"


class Transfers:
    """Carries out the transfers of one call.

    Args:
        transport: the call's.
        limit_s: the longest time until somebody takes a transfer, in s.
        playout: knows when the caller has heard the agent's last words.
        sounds: are played while it rings.
        tasks: the call's.
        emit: reports events to the observer.
        happened: feeds an event to turn-taking.

    """

    def __init__(
        self,
        transport: Transport,
        limit_s: float,
        *,
        playout: Playout,
        sounds: WaitingSounds,
        tasks: CallTasks,
        emit: EventEmitter,
        happened: Callable[[Event], None],
    ) -> None:
        self._transport, self._limit_s, self._playout, self._tasks = transport, limit_s, playout, tasks
        self._sounds, self._emit, self._happened = sounds, emit, happened
        self._scope: trio.CancelScope | None = None  # of the transfer that runs
        self._left: Ending | None = None  # the caller's leg has ended meanwhile
        self._began: float | None = None  # to ring, on trio's clock
        self._over = trio.Event()
        self._settled = trio.Event()  # set, and replaced, when a transfer has ended, or none will begin any more
        self._failure = NOT_BEGUN  # of the last transfer
        self.target = ""
        """The target of the transfer that runs, or that ran last."""
        self.taken: Ending | None = None
        """The end of the call by the transfer that has succeeded; None: none has."""
        self.ended_at = -inf
        """The time at which the last transfer ended, on trio's clock."""

    @property
    def possible(self) -> bool:
        """Whether the transport can transfer at all."""
        return "transfer" in self._transport.can

    @property
    def is_on(self) -> bool:
        """Whether a transfer runs."""
        return self._scope is not None

    def begin(self, target: str) -> None:
        """Begins a transfer; none may run."""
        self.target, self._left, self._over = target, None, trio.Event()
        self._scope, self._began = trio.CancelScope(), None
        self._tasks.start_soon(self._run, target, self._scope)

    def cancel(self) -> None:
        """Gives the transfer up; no-op if none runs."""
        if self._scope is not None:
            self._scope.cancel()

    def caller_left(self, reason: str) -> None:
        """Notes that the caller's leg has ended during a transfer, which may be because of it."""
        if self._scope is None:
            return
        self._left = self._left or Ending("caller_hung_up", reason)
        if self._began is None:
            self._scope.cancel()
        else:
            self._scope.deadline = min(self._scope.deadline, trio.current_time() + HAND_BACK_S)

    async def wait_over(self) -> None:
        """Waits until no transfer runs."""
        if self._scope is not None:
            await self._over.wait()

    async def wait_outcome(self) -> None:
        """Waits until the transfer that runs has ended, or the next one, if none does.

        Raises:
            TransferFailed: nobody took it, or it did not begin.

        """
        if self._scope is None:
            self._failure = NOT_BEGUN
        await self._settled.wait()
        if self._failure:
            raise TransferFailed(self._failure)

    def end(self) -> None:
        """Gives up what runs, and wakes all who wait: the call is over."""
        self.cancel()
        self._wake()

    @property
    def _completes(self) -> bool:
        return "completes_transfer" in self._transport.can

    @property
    def _within_s(self) -> float:
        return self._limit_s if self._completes else HAND_BACK_S

    async def _run(self, target: str, scope: trio.CancelScope) -> None:
        failure = GIVEN_UP
        try:
            with scope:
                await self._wait_last_words()
                await trio.lowlevel.checkpoint_if_cancelled()  # there may have been nothing to wait for
                self._begin_ringing(target, scope)
                failure = await self._transfer(target)
            if scope.cancelled_caught:
                failure = self._reason_of_cancellation()
        finally:
            self._scope, self.ended_at = None, trio.current_time()
            self._sounds.transfer_ended()
            self._over.set()
            self._failure = failure
            if self._began is not None:
                seconds = self.ended_at - self._began
                self._emit(TransferEnded, target=target, failure=failure, seconds=seconds)
        if failure == GIVEN_UP:
            self._wake()
        elif failure and self._left is not None:
            self._tasks.end(self._left)
        elif failure:
            fact = Told(f"The transfer to {target} failed: {failure}. The caller is back with you.", target)
            self._wake()
            self._happened(turns.TransferUnanswered(fact))
        else:
            outcome: Outcome = "transferred" if self._completes else "transfer_requested"
            self.taken = Ending(outcome, target)
            self._happened(turns.TransferDone(self.taken))

    async def _wait_last_words(self) -> None:
        """Waits until the caller has heard the agent's reply, where only the far end knows when that is."""
        if self._playout.is_unconfirmed:
            since = trio.current_time()
            if not await self._playout.wait_confirmed():
                self._emit(LastWordsUnconfirmed, waited_s=trio.current_time() - since)

    def _begin_ringing(self, target: str, scope: trio.CancelScope) -> None:
        self._began = trio.current_time()
        if self._left is None:
            scope.deadline = self._began + self._within_s
        self._sounds.transfer_began()
        self._emit(TransferStarted, target=target)

    async def _transfer(self, target: str) -> str:
        """Has the transport transfer; returns why nobody took it, empty if it succeeded."""
        if not self.possible:
            return "the call's transport can't transfer"
        try:
            await self._transport.transfer(target)
        except TransferFailed as error:
            return LEFT if self._left is not None else str(error) or "nobody took it"
        return ""

    def _reason_of_cancellation(self) -> str:
        if self._left is not None:
            return LEFT
        if self._began is None or trio.current_time() < self._began + self._within_s:
            return GIVEN_UP
        # A transport that was to hand the caller back has not done so in time: the call ends all the same.
        return f"nobody took it within {self._limit_s:g} s (limits.transfer_s)" if self._completes else ""

    def _wake(self) -> None:
        self._settled.set()
        self._settled = trio.Event()
