"""The clock that all calls of a process share for playout.

Each speaking call has to write a 20 ms frame every 20 ms. One task serves them all, in slots of 5 ms: a call
joins the slot in which it began to speak, so a wake-up serves a quarter of the calls, and the task sleeps
when nobody speaks. A clock a call costs twice as much at 200 calls.

A wake-up costs more than what is done in it, and a hub, which receives the callers' audio, wakes as often. So hubs
serve the slots that are due whenever they are awake (`HubTicks`), and the ticker's task sleeps `GRACE_S` longer than to
the next slot while there is a hub with calls: then it wakes only where no hub did. With few calls a hub wakes for each
frame, at moments of the callers' choice. Then a call joins the slot after the next frame, if its first tick may come
that early or late, and the hub serves slots up to `EARLY_S` before their time: the frames of 20 ms in both directions
share a wake-up.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Protocol

import trio
from attrs import define, field

from voicepipe.audio import FRAME_MS

if TYPE_CHECKING:
    from typing import NoReturn

SLOTS = 4
"""Slots in a frame's time: 5 ms each."""

FRAME_S = FRAME_MS / 1000

SLOT_S = FRAME_S / SLOTS

EARLY_S = SLOT_S + 0.001
"""How much before its time a slot may be served, in s: a frame that comes a ms early finds its slot all the same."""

SHIFT_S = 0.006
"""How much later than 20 ms, and than now, a first tick may come that may be shifted, in s."""

GRACE_S = 0.001
"""How much longer than to a slot's time the ticker sleeps while a hub may serve the slot, in s."""


class Ticking(Protocol):
    """An object with work to do every 20 ms, such as a reply that is being played."""

    def tick(self, now: float) -> bool:
        """Does the work without waiting; False removes the object from the ticker.

        Args:
            now: the moment of this tick, on trio's clock.

        """

    def fail(self, error: Exception | SystemExit) -> None:
        """Receives what `tick` raised; the object has been removed, and the ticker goes on with the others."""


@define(eq=False)
class HubTicks:
    """Serves the tickers of this `trio.run` from its hubs."""

    tickers: "list[Ticker]" = field(factory=list)
    """Those that run."""
    hubs: int = 0
    """The number of hubs that have calls."""
    received_at: float = -inf
    """When a hub with few calls has received something, on trio's clock."""

    def serve(self, until: float) -> None:
        """Serves each slot that is due until a moment on trio's clock, which may be a little ahead."""
        for ticker in self.tickers:
            if ticker.due <= until:
                ticker.serve(until)


_hub_ticks = trio.lowlevel.RunVar[HubTicks]("ticks that hubs serve")


def hub_ticks() -> HubTicks:
    """Returns that of this `trio.run`."""
    try:
        return _hub_ticks.get()
    except LookupError:
        _hub_ticks.set(ticks := HubTicks())
        return ticks


class Ticker:
    """Calls `tick` of each added object every 20 ms, until that returns False or raises.

    Attributes:
        due: the time of the next slot with an object in it, on trio's clock.

    """

    def __init__(self) -> None:
        self._slots: list[dict[Ticking, None]] = [{} for _ in range(SLOTS)]
        self._next = 0  # the number of the slot that is due next
        self._hub_ticks: HubTicks | None = None
        self._sleep = trio.CancelScope()
        self.due = inf

    def __len__(self) -> int:
        """The number of objects that are ticked."""
        return sum(map(len, self._slots))

    def add(self, ticking: Ticking, *, shift: bool = False) -> float:
        """Adds an object; its first tick comes about 20 ms from now, on trio's clock.

        Args:
            ticking: the object.
            shift: whether the ticks may come at other times, the first that counts 6 to 26 ms from now, where that
                spares wake-ups. There may be one before it.

        Returns:
            How much earlier than 20 ms from now that one comes, in s; 0 without a shift, and less if later.

        """
        now = trio.current_time()
        slot, earlier_s, ticks = int(now / SLOT_S), 0.0, self._hub_ticks
        if self.due == inf:
            self._next = slot + 1
        if shift and ticks is not None and now - ticks.received_at < FRAME_S:
            # The first slot after the next frame, which a caller sends 20 ms after the one before.
            slot = int((ticks.received_at + FRAME_S) / SLOT_S) + 1
            if slot * SLOT_S < now + SHIFT_S:
                slot += SLOTS
            earlier_s = now + FRAME_S - slot * SLOT_S
        self._slots[slot % SLOTS][ticking] = None
        self._schedule()
        return earlier_s

    def remove(self, ticking: Ticking) -> None:
        """Removes an object; no-op if it was not added."""
        for slot in self._slots:
            slot.pop(ticking, None)

    def serve(self, until: float) -> None:
        """Ticks the objects in each slot whose time has come by `until`."""
        while self.due <= until:
            slot, now = self._slots[self._next % SLOTS], trio.current_time()
            self._next += 1
            for ticking in list(slot):
                if ticking not in slot:  # removed by the tick of another object
                    continue
                try:
                    more = ticking.tick(now)
                except (Exception, SystemExit) as error:  # noqa: BLE001 - a defect of one call, which ends that call
                    slot.pop(ticking, None)
                    ticking.fail(error)
                else:
                    if not more:
                        slot.pop(ticking, None)
            self._schedule()

    async def run(self) -> NoReturn:
        """Ticks until it is cancelled."""
        self._hub_ticks = ticks = hub_ticks()
        ticks.tickers.append(self)
        try:
            while True:
                with trio.CancelScope(deadline=self._wake_at()) as self._sleep:
                    await trio.sleep_forever()
                # After a stall, every slot that was missed is served without a sleep.
                self.serve(trio.current_time())
        finally:
            ticks.tickers.remove(self)

    def _schedule(self) -> None:
        """Finds the next slot with an object in it."""
        due = inf
        for number in range(self._next, self._next + SLOTS):
            if self._slots[number % SLOTS]:
                self._next, due = number, number * SLOT_S
                break
        if due != self.due:
            self.due = due
            self._sleep.deadline = self._wake_at()

    def _wake_at(self) -> float:
        return self.due + GRACE_S if self._hub_ticks is not None and self._hub_ticks.hubs else self.due
