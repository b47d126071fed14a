"""The parts of a call, made and connected for its pipeline and its transport.

    transport ---audio---> Listening ---edges, transcripts---> TurnDriver <---> TurnTaking
        ^                                                       |      ^
        |                                                       v      |
        +----frames---- Playout <---speech--- ReplySpeaker <--- Replies ---> Conversation, ToolRuns
        ^
        +----transfer-- Transfers <--- TurnDriver              CallSteering ---> TurnDriver, Conversation

`turn_driver.py` explains how decisions are made and carried out; `listening/listening.py` and `replies/speaking.py`
explain the two directions of audio, `transfers.py` and `steering.py` themselves.

The parts refer to one another by callbacks, and none refers to the call but by `CallTasks` and `deadline_moved`. `cut`
removes the circular references, so that a call is freed by its last reference, and the garbage collector, which stops
all calls while it runs, has nothing to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define

from voicepipe.calls.conversation import Conversation
from voicepipe.calls.costs import cost_of_call, with_cost
from voicepipe.calls.events import ComponentFailed, ComponentUsed, FailedOver
from voicepipe.calls.failover import FailoverList
from voicepipe.calls.listening.echo import EchoGuard
from voicepipe.calls.listening.listening import Listening
from voicepipe.calls.replies.composing import Composer
from voicepipe.calls.replies.model_requests import ModelRequests
from voicepipe.calls.replies.open_playout import open_playout
from voicepipe.calls.replies.replies import Replies
from voicepipe.calls.replies.speaking import ReplySpeaker
from voicepipe.calls.replies.waiting_sounds import WaitingSounds
from voicepipe.calls.sayings import Sayings
from voicepipe.calls.steering import CallSteering
from voicepipe.calls.tools.running import ToolRuns
from voicepipe.calls.tools.toolbox import Toolbox
from voicepipe.calls.transfers import Transfers
from voicepipe.calls.turn_driver import TurnDriver
from voicepipe.calls.turns.turn_taking import TurnTaking
from voicepipe.pipelines.snapshot import OpenedSpeechToText

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from voicepipe.calls.call_trace import CallTrace
    from voicepipe.calls.costs import CallCost
    from voicepipe.calls.events import Consent
    from voicepipe.calls.failover import FailoverStep
    from voicepipe.calls.observing import EventEmitter
    from voicepipe.calls.recording import RecordedTransport
    from voicepipe.calls.tasks import CallTasks
    from voicepipe.calls.texts import CallTexts
    from voicepipe.calls.turns.events import Ending
    from voicepipe.components.labels import Role
    from voicepipe.components.requests import Message
    from voicepipe.config.price_settings import PricesSettings
    from voicepipe.errors import ComponentError
    from voicepipe.pipelines.snapshot import Pipeline
    from voicepipe.transports.protocol import Transport


class FailureReports:
    """Reports failures of components, as long as the call is up.

    Args:
        emit: reports events to the observer.

    """

    def __init__(self, emit: EventEmitter) -> None:
        self._emit, self._is_over = emit, False

    def stop(self) -> None:
        """Reports no more: what fails at the end of a call is no failure."""
        self._is_over = True

    def component_failed(self, role: Role, error: ComponentError) -> None:
        """Reports that a component failed."""
        if not self._is_over:
            self._emit(ComponentFailed, role=role, error=error)

    def failed_over(self, role: Role, step: FailoverStep, component: str) -> None:
        """Reports the step after a failure."""
        if not self._is_over:
            self._emit(FailedOver, role=role, rung=step, component=component)


@define(eq=False)
class CallParts:
    """The parts of one call that the call itself has to do with."""

    turns: TurnTaking
    """Decides who may speak."""
    driver: TurnDriver
    """Feeds turn-taking and carries out its decisions."""
    listening: Listening
    """Takes the caller's audio."""
    recognisers: FailoverList[OpenedSpeechToText]
    """Speech-to-text."""
    models: FailoverList[Any]
    """The language models."""
    voices: FailoverList[Any]
    """Text-to-speech."""
    replies: Replies
    """The agent's turns."""
    sounds: WaitingSounds
    """What is played while the caller waits."""
    tools: ToolRuns
    """The tools that run."""
    transfers: Transfers
    """Transfers of the caller."""
    steering: CallSteering
    """What the program may have the call do."""
    failures: FailureReports
    """Reports failures of components."""
    model_requests: ModelRequests
    """Reports requests to language models."""

    def stop(self) -> None:
        """Stops deciding and taking requests: the call is ending."""
        self.driver.stop()
        self.failures.stop()
        self.steering.stop()

    def report_usage(self, emit: EventEmitter, prices: PricesSettings | None) -> CallCost:
        """Reports the use of each component, and returns the cost of all."""
        alternatives: tuple[FailoverList[Any], ...] = (self.recognisers, self.models, self.voices)
        totals = [total for of_role in alternatives for total in of_role.usage.values()]
        usages = [with_cost(total.usage, prices) for total in totals]
        for usage in usages:
            emit(ComponentUsed, usage=usage)
        return cost_of_call(usages, prices)

    def cut(self) -> None:
        """Removes the circular references; nothing may be asked of the parts any more but steering."""
        self.listening.stop_reporting_edges()
        self.driver.disconnect()
        del self.replies, self.sounds, self.tools, self.transfers, self.failures
        del self.recognisers, self.models, self.voices, self.model_requests


def connect_parts(
    pipeline: Pipeline,
    transport: Transport,
    texts: CallTexts,
    *,
    messages: Iterable[Message],
    metadata: dict[str, Any],
    emit: EventEmitter,
    tasks: CallTasks,
    recording: RecordedTransport | None,
    trace: CallTrace,
    deadline_moved: Callable[[float], None],
    end: Callable[[Ending], None],
    consent_settled: Callable[[Consent], None],
) -> CallParts:
    """Makes the parts of a call and connects them; nothing runs yet.

    Args:
        pipeline: the call's.
        transport: the call's.
        texts: composes what is said without the model, and what the model is told of the call.
        messages: the conversation before the call.
        metadata: the call's bag of values.
        emit: reports events to the observer.
        tasks: the call's.
        recording: the transport, if the call is recorded.
        trace: the call's.
        deadline_moved: called with the time of turn-taking's next deadline.
        end: called to end the call, when its last words have been said.
        consent_settled: called when the caller was told of the recording, or has answered.

    Raises:
        ValueError: `messages` are no conversation.

    """
    settings = pipeline.settings
    budgets, on_failure = settings.budgets, settings.on_failure
    failures = FailureReports(emit)

    def failover(role: Role) -> FailoverList[Any]:
        alternatives = pipeline.role(role)
        return FailoverList(role, alternatives, on_failure.retries, failures.component_failed, failures.failed_over)

    recognisers, models, voices = failover("stt"), failover("llm"), failover("tts")
    turns = TurnTaking(
        settings.turns,
        texts.limits,
        texts.on_failure,
        budgets.stt.first_transcript_ms,
        keys=texts.keys.items(),
        language=settings.speech.language,
    )
    echo = EchoGuard(transport.audio) if settings.turns.echo_guard else None
    driver = TurnDriver(
        turns,
        pipeline,
        texts,
        tasks=tasks,
        emit=emit,
        echo=echo,
        deadline_moved=deadline_moved,
        end=end,
        consent_settled=consent_settled,
    )
    listening = Listening(
        transport.audio,
        settings.turns.barge_in.min_speech_ms,
        driver.on_edge,
        echo,
        second_opinion_ms=on_failure.second_opinion_ms,
    )
    playout = open_playout(
        transport,
        pipeline.clock,
        settings.streaming,
        tasks,
        failed=tasks.fail,
        echo=echo,
        recording=recording,
        noise=pipeline.sounds.noise,
    )
    sounds = WaitingSounds(playout, pipeline, pipeline.clock.refills)
    toolbox = Toolbox(settings.tools, pipeline.tools, transport)
    conversation = Conversation(texts, toolbox.offered, settings.history, messages)
    sayings = Sayings()
    transfers = Transfers(
        transport,
        settings.limits.transfer_s,
        playout=playout,
        sounds=sounds,
        tasks=tasks,
        emit=emit,
        happened=driver.happened,
    )
    requests = ModelRequests(emit, trace)
    composer = Composer(models, conversation.states, conversation.fits, budgets.llm, settings.speech, requests)
    steering = CallSteering(
        texts=texts,
        metadata=metadata,
        turns=turns,
        happened=driver.happened,
        end=tasks.end,
        emit=emit,
        conversation=conversation,
        sayings=sayings,
        transfers=transfers,
        composer=composer,
        listening=listening,
        recording=recording,
    )

    def tool_refused(error: ComponentError) -> None:
        error.component, error.role = models.first.label.name, "llm"
        failures.component_failed("llm", error)

    tools = ToolRuns(
        toolbox=toolbox,
        context=steering.context_of,
        conversation=conversation,
        tasks=tasks,
        emit=emit,
        happened=driver.happened,
        refused=tool_refused,
        waits=sounds.tools_changed,
        trace=trace,
    )
    replies = Replies(
        speaker=ReplySpeaker(composer, voices, budgets.tts, playout),
        conversation=conversation,
        playout=playout,
        listening=listening,
        tasks=tasks,
        emit=emit,
        happened=driver.happened,
        failed=driver.role_failed,
        tools=tools,
        sounds=sounds,
        sayings=sayings,
    )
    driver.connect(listening, replies, transfers)
    return CallParts(
        turns,
        driver,
        listening,
        recognisers,
        models,
        voices,
        replies,
        sounds,
        tools,
        transfers,
        steering,
        failures,
        requests,
    )
