"""What a call tells its observer, synchronously and as it happens.

Logs, metrics, records and the engine's SessionStore are observers, and an integrator's are as good as ours.
An observer is called on the call's path: it must be quick. What it raises is logged once, and ends nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from attrs import frozen

from voicepipe.calls.usage import ComponentUsage
from voicepipe.components.labels import ComponentLabel, Role
from voicepipe.components.requests import CallInfo
from voicepipe.errors import ComponentError

if TYPE_CHECKING:
    from collections.abc import Callable


Outcome = Literal[
    "caller_hung_up",
    "agent_hung_up",
    "said_goodbye",
    "transfer_requested",
    "idle",
    "max_length",
    "no_audio",
    "drained",
    "cancelled",
    "failed",
    "returned_to_dialplan",
]
"""How a call ended: by whom, or by which limit."""


@frozen
class Timings:
    """How long the steps of a turn took, each in ms from the last of the caller's speech; None: there was no such step.

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
    """What every event of a call says."""

    call_id: str
    """Which call: its unique ID, the same in all of its events."""
    at_s: float
    """Seconds since the call began: 0 in `CallBegan`, the call's length in `CallEnded`."""


@frozen
class CallBegan(_EventBase):
    """The call was answered."""

    info: CallInfo
    """Who rings whom."""
    set: str
    """The pipeline set's name."""
    version: int
    """The snapshot that the call keeps until it ends."""
    digest: str
    """That snapshot's digest."""
    pipeline: str
    """The pipeline's name."""
    stt: ComponentLabel
    """Speech-to-text, the first alternative."""
    llm: ComponentLabel
    """Language model, likewise."""
    tts: ComponentLabel
    """Text-to-speech, likewise."""
    recording: str = ""
    """The file that the call is recorded to; empty: it is not."""


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
    """False: it may still change."""


@frozen
class DtmfReceived(_EventBase):
    """The caller pressed a key."""

    digit: str
    """One of `0123456789*#ABCD`."""


@frozen
class ReplyStarted(_EventBase):
    """The first audio of a reply was written."""

    turn: int
    """Which turn, from 1."""
    response_ms: float | None
    """From the last of the caller's speech to this audio, endpointing included, in ms; None: nothing was said."""


@frozen
class TurnEnded(_EventBase):
    """One exchange is over."""

    turn: int
    """Which turn, from 1."""
    trigger: Literal["call_started", "utterance", "dtmf", "silence", "tool_results", "announcement"]
    """What was replied to; an announcement is what the call says by itself."""
    heard: str
    """Everything that the caller said and pressed since the turn before, in order, the trigger included."""
    said: str
    """What the caller heard of the reply."""
    interrupted: bool
    """True if the caller cut it short; False if it was heard whole, or broke off because a component failed."""
    response_ms: float | None
    """As in `ReplyStarted`."""
    timings: Timings = Timings()
    """How long each step took."""
    pressed: tuple[tuple[int, int], ...] = ()
    """Where keys stand in `heard`, as (begin, end): all else in it was said."""


@frozen
class ReplyResumed(_EventBase):
    """The reply goes on where it was interrupted: what interrupted it was no words, or only a sign of listening."""

    turn: int
    """Which turn, from 1."""


@frozen
class ReplyPrepared(_EventBase):
    """A reply that was begun before the caller's words were final was used, or thrown away."""

    used: bool
    """False: the words turned out to be others."""
    heard: str
    """What it was begun to."""


@frozen
class ComponentFailed(_EventBase):
    """A component did not do its work in this call."""

    role: Role
    """Which of the three."""
    error: ComponentError
    """What happened."""


@frozen
class RecordingFailed(_EventBase):
    """No more of the call is recorded; it goes on."""

    path: str
    """The file."""
    reason: str
    """Why."""


@frozen
class FailedOver(_EventBase):
    """What was done about a component's failure; what it was, the `ComponentFailed` before it says."""

    role: Role
    """Which of the three."""
    rung: Literal["retry", "alternate", "apology"]
    """The same component again, the next alternative, or words of regret and then the end."""
    component: str
    """Which one goes on; empty for an apology."""


@frozen
class ToolStarted(_EventBase):
    """A tool that the model called has begun."""

    tool_call_id: str
    """Which of the model's calls: its `ToolEnded` has the same."""
    name: str
    """The tool."""
    arguments: Mapping[str, Any]
    """What the model gave it; whether they fit is looked at next."""


@frozen
class ToolEnded(_EventBase):
    """A tool that the model called has ended, or was refused without being started."""

    tool_call_id: str
    """Which of the model's calls."""
    name: str
    """The tool."""
    ok: bool
    """False: it was refused, failed, took too long, or was cancelled."""
    result: str
    """What the model is told, shortened."""
    seconds: float
    """How long it took, in s."""
    error: BaseException | None = None
    """What the tool raised, if that was not a `ToolError`."""
    hint: str = ""
    """What an operator can do about a failure, if the tool knows; the model is not told."""


@frozen
class ComponentUsed(_EventBase):
    """What the call has used of a component, told for each that it used, right before `CallEnded`."""

    usage: ComponentUsage
    """All of the call's use of it."""


@frozen
class CallEnded(_EventBase):
    """The call is over: always the last event."""

    outcome: Outcome
    """How it ended."""
    turns: int
    """How many exchanges it had."""
    detail: str = ""
    """More about the outcome: the transfer's target, the transport's reason, the failure."""


CallEvent = (
    CallBegan
    | SpeechDetected
    | Transcribed
    | DtmfReceived
    | ReplyStarted
    | TurnEnded
    | ReplyResumed
    | ReplyPrepared
    | ComponentFailed
    | FailedOver
    | RecordingFailed
    | ToolStarted
    | ToolEnded
    | ComponentUsed
    | CallEnded
)

Observer: TypeAlias = "Callable[[CallEvent], None]"
"""What `open_call` takes."""
