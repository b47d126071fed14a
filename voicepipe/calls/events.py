"""Events of a call, which its observer gets synchronously, as they happen.

Logs, metrics, records and the engine's SessionStore are observers, and an integrator's are as good as ours.
An observer is called on the call's path: it must be quick. What it raises is logged once, and ends nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from attrs import field, frozen

from voicepipe.calls.usage import ComponentUsage
from voicepipe.components.labels import ComponentLabel, Role
from voicepipe.components.requests import CallInfo
from voicepipe.components.trace_context import TraceContext
from voicepipe.errors import ComponentError

if TYPE_CHECKING:
    from collections.abc import Callable


Outcome = Literal[
    "caller_hung_up",
    "agent_hung_up",
    "said_goodbye",
    "transfer_requested",
    "transferred",
    "idle",
    "max_length",
    "no_audio",
    "drained",
    "cancelled",
    "failed",
    "returned_to_dialplan",
]
"""The way in which a call ended: by whom, or by which limit."""


Consent = Literal["announced", "given", "refused"]
"""What became of the caller's consent to the recording: they were told of it, or asked and said yes, or did not."""


Steering = Literal[
    "say",
    "play",
    "tell",
    "transfer",
    "hang_up",
    "set_variables",
    "set_language",
    "pause_recording",
    "resume_recording",
]
"""What a program, a tool or an operator may have a call do: the names of methods of `Call`."""


AnswerEnd = Literal["complete", "truncated", "empty", "failed", "cancelled"]
"""The way in which a language model's answer ended: as `ReplyDone.reason` says, or it failed, or the call did not want
more of it, because the caller interrupted or the call ended."""


@frozen
class Timings:
    """The times of a turn's steps, each in ms from the end of the caller's speech; None: there was no such step.

    For a reply to nothing that was said (a greeting, a key), from the moment that it was asked for.
    """

    final_ms: float | None = None
    """Until the words were final."""
    asked_ms: float | None = None
    """Until the turn was over and the model was asked."""
    first_token_ms: float | None = None
    """Until the model's first word, or its first tool call."""
    first_audio_ms: float | None = None
    """Until the first speech came from the synthesiser."""
    heard_ms: float | None = None
    """Until the first audio was written: what the caller waits for."""


@frozen
class _EventBase:
    """The fields of every event of a call."""

    call_id: str
    """The call's unique ID, which all of its events have."""
    at_s: float
    """Seconds since the call began: 0 in `CallBegan`, the call's length in `CallEnded`."""


@frozen
class CallBegan(_EventBase):
    """The call was answered."""

    info: CallInfo
    """The numbers of both parties, the call's ID, and the transport's own."""
    set: str
    """The pipeline set's name."""
    version: int
    """The snapshot that the call keeps until it ends."""
    digest: str
    """The snapshot's digest."""
    pipeline: str
    """The pipeline's name."""
    stt: ComponentLabel
    """Speech-to-text, the first alternative."""
    llm: ComponentLabel
    """Language model, the first alternative."""
    tts: ComponentLabel
    """Text-to-speech, the first alternative."""
    recording: str = ""
    """The file that the call is recorded to; empty: it is not, or not before a `RecordingConsent` says so."""
    metadata: Mapping[str, Any] = field(factory=dict)
    """The call's bag of values, `Call.metadata` itself: it may change while the call is up."""
    trace: TraceContext | None = None
    """The call's own span, that `open_call` was given, else that which it was made for; None: it has no trace."""


@frozen
class SpeechDetected(_EventBase):
    """The caller began to speak, as the call's own voice activity detection sees it."""

    interrupts: bool
    """True if it stopped a reply."""


@frozen
class Transcribed(_EventBase):
    """The recogniser's words changed."""

    text: str
    """The utterance so far."""
    final: bool
    """False if it may still change."""


@frozen
class DtmfReceived(_EventBase):
    """The caller pressed a key."""

    digit: str
    """One of `0123456789*#ABCD`."""


@frozen
class ReplyStarted(_EventBase):
    """The first audio of a reply was written."""

    turn: int
    """The turn's number, from 1."""
    response_ms: float | None
    """From the last of the caller's speech to this audio, endpointing included, in ms; None: nothing was said."""


@frozen
class ReplyContinued(_EventBase):
    """Speech of a further segment of the reply has come from the synthesiser; it is heard within the next seconds.

    The first one follows the `ReplyStarted` of its turn.
    """

    turn: int
    """The turn's number, from 1."""
    text: str
    """The words of the reply so far, up to the end of that segment; `TurnEnded.said` has what was heard of them."""


@frozen
class TurnEnded(_EventBase):
    """One turn is over."""

    turn: int
    """The turn's number, from 1."""
    trigger: Literal["call_started", "utterance", "dtmf", "silence", "tool_results", "told", "announcement"]
    """The cause of the reply; an announcement is said by the call itself, or by the program (`Call.say`)."""
    heard: str
    """Everything that the caller said and pressed since the turn before, in order, the trigger included."""
    said: str
    """The part of the reply that the caller heard."""
    interrupted: bool
    """True if the caller cut it short; False if it was heard whole, or broke off because a component failed."""
    response_ms: float | None
    """Time from the end of the caller's speech to the first audio, in ms; None: there was no speech, or no audio."""
    timings: Timings = Timings()
    """The times of the turn's steps."""
    pressed: tuple[tuple[int, int], ...] = ()
    """The spans of keys in `heard`, as (begin, end): the rest was said."""
    heard_from_s: float | None = None
    """When the caller began to speak, in seconds since the call began; None: nothing was said. Signs of listening
    ("mhm") that were spoken before the words that are replied to do not count."""
    heard_until_s: float | None = None
    """When the caller had spoken, likewise: the end of the speech, or of the turn if the caller spoke on."""
    said_from_s: float | None = None
    """When the agent was first heard, likewise; None: nothing of the reply was."""
    said_until_s: float | None = None
    """When the agent was last heard, likewise; `at_s` at the latest. Pauses of the reply lie between the two."""


@frozen
class ReplyResumed(_EventBase):
    """The reply goes on where it was interrupted: what interrupted it was no words, or only a sign of listening."""

    turn: int
    """The turn's number, from 1."""


@frozen
class ReplyPrepared(_EventBase):
    """A reply that was begun before the caller's words were final was used, or thrown away."""

    used: bool
    """False: the words turned out to be others."""
    heard: str
    """The words for which it was prepared."""


@frozen
class ComponentFailed(_EventBase):
    """A component failed in this call."""

    role: Role
    """The component's role."""
    error: ComponentError
    """The failure."""


@frozen
class ModelAnswered(_EventBase):
    """One request to a language model is over; a reply takes several if a model fails, or calls tools."""

    component: ComponentLabel
    """The model."""
    began_s: float
    """When it was asked, in s since the call began."""
    first_token_s: float | None
    """When its first word or tool call came; None: none did."""
    reason: AnswerEnd
    """The end of its answer."""
    input_tokens: int | None = None
    """Tokens of the request, as the provider reports; None: it does not."""
    output_tokens: int | None = None
    """Tokens of the answer, as the provider reports; None: it does not."""
    error: ComponentError | None = None
    """The failure, where `reason` is `failed`."""
    span_id: str = ""
    """The span of the request that the provider was told, in the call's trace; empty: the call makes no spans."""


@frozen
class RecordingConsent(_EventBase):
    """The caller was told of the recording, or has answered whether the call may be recorded; it begins only now."""

    consent: Consent
    """`announced`; `given`: the caller said yes; `refused`: no, or nothing that is clearly a yes, until the call ended
    at the latest."""
    recording: str = ""
    """The file that the call is recorded to from now on; empty: it is not."""


@frozen
class RecordingFailed(_EventBase):
    """No more of the call is recorded; it goes on."""

    path: str
    """The file."""
    reason: str
    """The reason."""


@frozen
class LastWordsUnconfirmed(_EventBase):
    """The far end has not reported that the agent's last words were played; the call was ended nevertheless."""

    waited_s: float
    """How long the report was waited for after the words must have been heard, in s; 0: the line had taken nothing for
    so long that the rest of the words was given up."""


@frozen
class FailedOver(_EventBase):
    """The step after a component's failure, which the `ComponentFailed` before it describes."""

    role: Role
    """The component's role."""
    rung: Literal["retry", "alternate", "apology"]
    """The step: the same component again, the next alternative, or an apology and then the end."""
    component: str
    """The component that goes on; empty for an apology."""


@frozen
class ToolStarted(_EventBase):
    """A tool that the model called has begun."""

    tool_call_id: str
    """The ID of the model's call, which its `ToolEnded` has too."""
    name: str
    """The tool."""
    arguments: Mapping[str, Any]
    """The arguments that the model gave, before they are checked."""
    span_id: str = ""
    """The span of this run that the tool was told, in the call's trace; empty: the call makes no spans."""


@frozen
class ToolEnded(_EventBase):
    """A tool that the model called has ended, or was refused without being started."""

    tool_call_id: str
    """The ID of the model's call."""
    name: str
    """The tool."""
    ok: bool
    """False: it was refused, failed, took too long, or was cancelled."""
    result: str
    """The result that the model gets, shortened."""
    seconds: float
    """The time that it took, in s."""
    error: BaseException | None = None
    """The exception of the tool, unless it was a `ToolError`."""
    hint: str = ""
    """A remedy for the operator, if the tool names one; the model does not get it."""


@frozen
class CallSteered(_EventBase):
    """The program, a tool or an operator had the call do something."""

    action: Steering
    """What was asked for."""
    text: str = ""
    """The words to say, the fact, the file, the transfer's target, the goodbye, or the language."""
    variables: Mapping[str, str] = field(factory=dict)
    """The variables that `set_variables` changed, with their new values."""
    by: str = "program"
    """Who asked for it: `program`, which holds the call; `tool:NAME`; or whom `Call.steered_by` was given, such as the
    engine's `operator:http` and `operator:cli`."""


@frozen
class TransferStarted(_EventBase):
    """The caller is being transferred: the agent is silent until somebody takes the call, or the caller is back."""

    target: str
    """The number or extension."""


@frozen
class TransferEnded(_EventBase):
    """A transfer has succeeded, and the call ends; or nobody took it, and the caller is back."""

    target: str
    """The number or extension."""
    failure: str
    """Why nobody took it; empty: it succeeded."""
    seconds: float
    """The time that it took, in s."""


@frozen
class ComponentUsed(_EventBase):
    """The call's use of one component; reported for each that it used, right before `CallEnded`."""

    usage: ComponentUsage
    """The total of the call."""


@frozen
class CallEnded(_EventBase):
    """The call is over: always the last event."""

    outcome: Outcome
    """The way in which the call ended."""
    turns: int
    """The number of turns."""
    detail: str = ""
    """More about the outcome: the transfer's target, the transport's reason, the failure."""
    metadata: Mapping[str, Any] = field(factory=dict)
    """A copy of `Call.metadata`."""
    cost: float | None = None
    """What its components cost by the file's `prices`, as far as that is known; None: nothing is known."""
    cost_is_least: bool = False
    """True if it costs more: some figure or price is not known."""
    currency: str | None = None
    """The currency of `cost`; None: the file has no prices."""


CallEvent = (
    CallBegan
    | SpeechDetected
    | Transcribed
    | DtmfReceived
    | ReplyStarted
    | ReplyContinued
    | TurnEnded
    | ReplyResumed
    | ReplyPrepared
    | ComponentFailed
    | FailedOver
    | ModelAnswered
    | RecordingConsent
    | RecordingFailed
    | LastWordsUnconfirmed
    | ToolStarted
    | ToolEnded
    | CallSteered
    | TransferStarted
    | TransferEnded
    | ComponentUsed
    | CallEnded
)

Observer: TypeAlias = "Callable[[CallEvent], None]"
"""A function that gets each event of a call, such as `open_call` takes."""
