"""A whole call on trio's virtual clock: scripted components, a transport in memory, a test for a caller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import trio
from attrs import define, field

from voicepipe.calls.call import Call, open_call
from voicepipe.calls.events import CallEnded, CallEvent, TurnEnded
from voicepipe.testing.components import ScriptedLanguageModel, ScriptedSpeechToText, ToneTextToSpeech
from voicepipe.testing.pipelines import open_test_pipeline
from voicepipe.testing.transport import MemoryTransport

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


E = TypeVar("E")


@define(eq=False)
class RehearsedCall:
    """One call with everything that it needs, and everything that happened on it.

    The defaults hear nothing, answer "I see.", and have no greeting; give others, or set them before `hold`.
    """

    stt: Any = field(factory=ScriptedSpeechToText)
    """What hears: a `SpeechToText`, or a list of them in failover order."""
    llm: Any = field(factory=lambda: ScriptedLanguageModel(lambda _request: "I see."))
    """What answers: a `LanguageModel`, or a list likewise."""
    tts: Any = field(factory=ToneTextToSpeech)
    """What speaks: a `TextToSpeech`, or a list likewise."""
    transport: MemoryTransport = field(factory=MemoryTransport)
    """The telephone."""
    settings: dict[str, Any] = field(factory=dict)
    """Fields of `PipelineSettings`: `greeting`, `turns`, ..."""
    events: list[CallEvent] = field(factory=list)
    """What the observer was told, in order."""
    call: Call | None = None
    """While it is held, and afterwards."""

    async def hold(self, caller: Callable[[], Awaitable[None]] | None = None) -> CallEnded:
        """Holds the call to its end.

        Args:
            caller: what the caller does meanwhile, over `transport`; the call does not end because this returns.

        """
        async with (
            open_test_pipeline(self.stt, self.llm, self.tts, **self.settings) as pipeline,
            trio.open_nursery() as nursery,
        ):
            async with open_call(pipeline, self.transport, observer=self.events.append) as call:
                self.call = call
                if caller is not None:
                    nursery.start_soon(caller)
                ended = await call.run()
            nursery.cancel_scope.cancel()
        return ended

    def told(self, kind: type[E]) -> list[E]:
        """The events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def turns(self) -> list[TurnEnded]:
        """The exchanges."""
        return self.told(TurnEnded)

    @property
    def conversation(self) -> list[tuple[str, str]]:
        """What the caller said or pressed, and what was heard in answer, turn by turn."""
        return [(turn.heard, turn.said) for turn in self.turns]
