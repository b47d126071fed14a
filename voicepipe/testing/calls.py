"""A whole call on trio's virtual clock: scripted components, a transport in memory, and the test as the caller."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import trio
from attrs import define, field

from voicepipe.calls.call import Call
from voicepipe.calls.events import CallEnded, CallEvent, TurnEnded
from voicepipe.calls.open_call import open_call
from voicepipe.testing.components import ScriptedLanguageModel, ScriptedSpeechToText, ToneTextToSpeech
from voicepipe.testing.pipelines import open_test_pipeline
from voicepipe.testing.transport import MemoryTransport

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


E = TypeVar("E")


@define(eq=False)
class RehearsedCall:
    """One call with its components and transport, and the events of it.

    The default components transcribe nothing, answer "I see.", and there is no greeting; pass others, or set them
    before `hold`.
    """

    stt: Any = field(factory=ScriptedSpeechToText)
    """The `SpeechToText`, or a list of alternatives in failover order."""
    llm: Any = field(factory=lambda: ScriptedLanguageModel(lambda _request: "I see."))
    """The `LanguageModel`, or a list of alternatives in failover order."""
    tts: Any = field(factory=ToneTextToSpeech)
    """The `TextToSpeech`, or a list of alternatives in failover order."""
    transport: MemoryTransport = field(factory=MemoryTransport)
    """The transport, over which the test is the caller."""
    settings: dict[str, Any] = field(factory=dict)
    """Fields of `PipelineSettings`: `greeting`, `turns`, ..."""
    options: dict[str, Any] = field(factory=dict)
    """Further arguments of `open_call`: `messages`, `metadata`, `calls`."""
    at: datetime | None = None
    """The moment at which the call begins, for dates and times in texts; None: now."""
    events: list[CallEvent] = field(factory=list)
    """The events of the call, in order."""
    call: Call | None = None
    """The call, from its start on; None before `hold`."""

    async def hold(self, caller: Callable[[], Awaitable[None]] | None = None) -> CallEnded:
        """Runs the call to its end, and returns its last event.

        Args:
            caller: acts as the caller, over `transport`, during the call; the call goes on when it returns.

        """
        async with (
            open_test_pipeline(self.stt, self.llm, self.tts, **self.settings) as pipeline,
            trio.open_nursery() as nursery,
        ):
            async with open_call(
                pipeline, self.transport, observer=self.events.append, at=self.at, **self.options
            ) as call:
                self.call = call
                if caller is not None:
                    nursery.start_soon(caller)
                ended = await call.run()
            nursery.cancel_scope.cancel()
        return ended

    def told(self, kind: type[E]) -> list[E]:
        """Returns the events of one type, in order."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def turns(self) -> list[TurnEnded]:
        """The `TurnEnded` events."""
        return self.told(TurnEnded)

    @property
    def conversation(self) -> list[tuple[str, str]]:
        """For each turn, what the caller said or pressed, and what the caller heard in answer."""
        return [(turn.heard, turn.said) for turn in self.turns]
