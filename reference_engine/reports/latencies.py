"""Keeps the last latencies of components, from the timings of turns, for the operator's page."""

from __future__ import annotations

from collections import deque
from statistics import quantiles
from typing import TYPE_CHECKING, TypeAlias

from attrs import frozen

from voicepipe import CallBegan, CallEnded, FailedOver, TurnEnded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voicepipe import CallEvent, Role, Timings

    ComponentKey: TypeAlias = "tuple[str, Role, str]"

KEPT = 200
"""The turns of each component that are kept."""

MAX_COMPONENTS = 1000
"""The most components; of further ones no latency is kept."""


@frozen
class Latency:
    """The latency of a component in its last turns."""

    median_ms: float
    """Half of the turns took less, in ms."""
    p95_ms: float
    """19 of 20 took less, in ms."""
    turns: int
    """The number of turns."""


class Latencies:
    """The latencies of components; an observer of calls.

    A recogniser's is the time from the end of speech to the final words, a model's that from being asked to its first
    word, and a voice's that from there to the first audio. They count for the component that the call uses at that
    time: the first of its list until another one has taken over.
    """

    def __init__(self) -> None:
        self._turns: dict[ComponentKey, deque[float]] = {}
        self._in_use: dict[str, tuple[str, dict[Role, str]]] = {}

    def observe(self, event: CallEvent) -> None:
        """Adds the turns of a call."""
        if isinstance(event, TurnEnded):
            if event.trigger == "utterance" and (call := self._in_use.get(event.call_id)) is not None:
                for role, milliseconds in _steps(event.timings):
                    self._add((call[0], role, call[1][role]), milliseconds)
        elif isinstance(event, CallBegan):
            names: dict[Role, str] = {"stt": event.stt.name, "llm": event.llm.name, "tts": event.tts.name}
            self._in_use[event.call_id] = event.set, names
        elif isinstance(event, FailedOver):
            if event.component and (call := self._in_use.get(event.call_id)) is not None:
                call[1][event.role] = event.component
        elif isinstance(event, CallEnded):
            self.forget(event.call_id)

    def forget(self, call_id: str) -> None:
        """Forgets which components a call uses; no-op if it is not there."""
        self._in_use.pop(call_id, None)

    def of(self, set_name: str, role: Role, component: str) -> Latency | None:
        """Returns the latency of a component of a set; None: it had no turn."""
        turns = self._turns.get((set_name, role, component))
        if not turns:
            return None
        cuts = quantiles(turns, n=20, method="inclusive") if len(turns) > 1 else [turns[0]] * 19
        return Latency(cuts[9], cuts[18], len(turns))

    def _add(self, key: ComponentKey, milliseconds: float) -> None:
        turns = self._turns.get(key)
        if turns is None:
            if len(self._turns) >= MAX_COMPONENTS:
                return
            turns = self._turns[key] = deque(maxlen=KEPT)
        turns.append(milliseconds)


def _steps(timings: Timings) -> Iterator[tuple[Role, float]]:
    """Yields what each role took of a turn; a step that was done ahead of time took nothing."""
    if timings.final_ms is not None:
        yield "stt", max(0.0, timings.final_ms)
    if timings.first_token_ms is not None and timings.asked_ms is not None:
        yield "llm", max(0.0, timings.first_token_ms - timings.asked_ms)
    if timings.first_audio_ms is not None and timings.first_token_ms is not None:
        yield "tts", max(0.0, timings.first_audio_ms - timings.first_token_ms)
