"""A call's record: its turns with their times, tools, failures, use of components, what steered it, and its end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from attrs import asdict, evolve, field, frozen

from voicepipe.calls.events import (
    CallBegan,
    CallEnded,
    CallSteered,
    ComponentFailed,
    ComponentUsed,
    Consent,
    FailedOver,
    RecordingConsent,
    RecordingFailed,
    ReplyPrepared,
    Timings,
    ToolEnded,
    TransferEnded,
    TurnEnded,
)
from voicepipe.calls.usage import ComponentUsage
from voicepipe.components.labels import ComponentLabel, Role
from voicepipe.components.requests import CallInfo

if TYPE_CHECKING:
    from voicepipe.calls.events import CallEvent


@frozen
class TurnRecord:
    """One turn, as it was heard."""

    at_s: float
    """The time of its end, in s since the call began."""
    turn: int
    """The turn's number, from 1."""
    trigger: str
    """The cause of the reply, as in `TurnEnded.trigger`."""
    heard: str
    """Everything that the caller said and pressed since the turn before, in order."""
    said: str
    """The part of the reply that the caller heard."""
    interrupted: bool
    """True if the caller cut it short."""
    timings: Timings
    """The times of the turn's steps."""
    pressed: tuple[tuple[int, int], ...] = ()
    """The spans of keys in `heard`, as (begin, end): the rest was said."""
    heard_from_s: float | None = None
    """When the caller began to speak, in s since the call began; None: nothing was said."""
    heard_until_s: float | None = None
    """When the caller had spoken, likewise."""
    said_from_s: float | None = None
    """When the agent was first heard, likewise; None: nothing of the reply was."""
    said_until_s: float | None = None
    """When the agent was last heard, likewise."""


@frozen
class FailureRecord:
    """One failure of a component, or the step after the one before."""

    at_s: float
    """The time, in s since the call began."""
    role: Role
    """The component's role."""
    component: str
    """The component that failed, or that goes on; empty for an apology."""
    what: str
    """`failed`, or the rung that was taken: `retry`, `alternate`, `apology`."""
    message: str = ""
    """The reason of the failure."""
    answered: str = ""
    """The provider's own words, such as the body of its refusal, shortened; empty: there were none."""
    hint: str = ""
    """A remedy; empty: none is known."""


@frozen
class ToolRecord:
    """One call of a tool."""

    at_s: float
    """The time of its end, in s since the call began."""
    name: str
    """The tool."""
    ok: bool
    """False: it was refused, failed, took too long, or was cancelled."""
    result: str
    """The result that the model got, shortened."""
    seconds: float
    """The time that it took, in s."""


@frozen
class SteeringRecord:
    """One thing that the program, a tool or an operator had the call do."""

    at_s: float
    """The time at which it was asked for, in s since the call began."""
    action: str
    """What was asked for, as in `CallSteered.action`."""
    text: str
    """The words, the fact, the file, the target or the language, as in `CallSteered.text`."""
    variables: Mapping[str, str] = field(factory=dict)
    """The variables that were changed, with their new values."""
    by: str = "program"
    """Who asked for it, as in `CallSteered.by`."""


@frozen
class TransferRecord:
    """One transfer, whether somebody took it or not."""

    at_s: float
    """The time of its end, in s since the call began."""
    target: str
    """The number or extension."""
    failure: str
    """Why nobody took it; empty: it succeeded."""
    seconds: float
    """The time that it took, in s."""


@frozen(kw_only=True)
class CallRecord:
    """All there is to know about a call that has ended."""

    call_id: str
    """Unique."""
    began: datetime
    """The time at which it was answered, UTC."""
    duration_s: float
    """The length, in s."""
    info: CallInfo
    """The numbers of both parties, and the variables of the call as they were at its end."""
    set: str
    """The pipeline set's name."""
    version: int
    """The version that the call kept."""
    digest: str
    """The version's digest."""
    pipeline: str
    """The pipeline's name."""
    components: dict[Role, ComponentLabel]
    """By role: the first alternative."""
    outcome: str
    """The way in which it ended, as in `CallEnded.outcome`."""
    detail: str
    """Details of the outcome, as in `CallEnded.detail`."""
    recording: str
    """The path of its recording; empty if it was not recorded."""
    recording_failed: str = ""
    """Why there is no recording, or no more of it; empty: it is whole."""
    consent: Consent | None = None
    """The caller's consent to the recording, as in `RecordingConsent.consent`; None: nobody told or asked them."""
    turns: tuple[TurnRecord, ...] = ()
    """The turns, in order."""
    tools: tuple[ToolRecord, ...] = ()
    """The tools that ran, in the order in which they ended."""
    discarded_replies: int = 0
    """Replies that were begun before the caller's words were final, and thrown away: what `preemptive` cost."""
    cost: float | None = None
    """What its components cost by the file's `prices`, as far as that is known; None: nothing is known."""
    cost_is_least: bool = False
    """True if it costs more: some figure or price is not known."""
    currency: str | None = None
    """The currency of `cost`; None: the file has no prices."""
    usage: tuple[ComponentUsage, ...] = ()
    """The use of each component, the alternatives that were tried included."""
    failures: tuple[FailureRecord, ...] = ()
    """The failures, and the step after each, in order."""
    steered: tuple[SteeringRecord, ...] = ()
    """What the program, tools and operators had the call do, in order."""
    transfers: tuple[TransferRecord, ...] = ()
    """The transfers, in order."""
    metadata: Mapping[str, Any] = field(factory=dict)
    """`Call.metadata` at the end of the call."""

    def as_data(self) -> dict[str, Any]:
        """Returns the record as plain data for JSON: times in ISO 8601, other numbers to three digits, costs to nine.

        Values of `metadata` that JSON can't represent are text.
        """
        data = asdict(evolve(self, metadata={}), value_serializer=_plain)
        data["metadata"] = _as_json(dict(self.metadata))
        return data


def _plain(_instance: Any, of: Any, value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return round(value, 3) if isinstance(value, float) and (of is None or of.name != "cost") else value


def _as_json(value: Any) -> Any:
    """Returns a value of the program's as JSON has it; what JSON can't represent is text."""
    try:
        return json.loads(json.dumps(value, default=str, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        if isinstance(value, Mapping):
            return {str(name): _as_json(item) for name, item in value.items() if item is not value}
        return str(value)


class CallRecorder:
    """An observer that makes a call's record; one for each call."""

    def __init__(self) -> None:
        self.record: CallRecord | None = None
        """The record; None until the call has ended."""
        self._began: CallBegan | None = None
        self._at = datetime.now(UTC)
        self._turns: list[TurnRecord] = []
        self._tools: list[ToolRecord] = []
        self._failures: list[FailureRecord] = []
        self._usage: list[ComponentUsage] = []
        self._steered: list[SteeringRecord] = []
        self._transfers: list[TransferRecord] = []
        self._consent: Consent | None = None
        self._recording = self._recording_failed = ""
        self._discarded_replies = 0

    def observe(self, event: CallEvent) -> None:  # noqa: C901, PLR0912 - a case for each event
        """Adds an event of the call."""
        match event:
            case CallBegan():
                self._began, self._at, self._recording = event, datetime.now(UTC), event.recording
            case TurnEnded():
                self._turns.append(
                    TurnRecord(
                        at_s=event.at_s,
                        turn=event.turn,
                        trigger=event.trigger,
                        heard=event.heard,
                        said=event.said,
                        interrupted=event.interrupted,
                        timings=event.timings,
                        pressed=event.pressed,
                        heard_from_s=event.heard_from_s,
                        heard_until_s=event.heard_until_s,
                        said_from_s=event.said_from_s,
                        said_until_s=event.said_until_s,
                    )
                )
            case ToolEnded():
                self._tools.append(ToolRecord(event.at_s, event.name, event.ok, event.result, event.seconds))
            case ComponentFailed():
                error = event.error
                self._failures.append(
                    FailureRecord(
                        event.at_s,
                        event.role,
                        error.component,
                        "failed",
                        error.message,
                        error.answered,
                        error.hint,
                    )
                )
            case FailedOver():
                self._failures.append(FailureRecord(event.at_s, event.role, event.component, event.rung))
            case ReplyPrepared():
                self._discarded_replies += not event.used
            case CallSteered():
                self._steered.append(SteeringRecord(event.at_s, event.action, event.text, event.variables, event.by))
            case TransferEnded():
                self._transfers.append(TransferRecord(event.at_s, event.target, event.failure, event.seconds))
            case ComponentUsed():
                self._usage.append(event.usage)
            case RecordingConsent():
                self._consent, self._recording = event.consent, event.recording
            case RecordingFailed():
                self._recording_failed = event.reason
            case CallEnded():
                self.record = self._ended(event)
            case _:
                pass

    def _ended(self, event: CallEnded) -> CallRecord | None:
        began = self._began
        if began is None:
            return None
        return CallRecord(
            call_id=event.call_id,
            began=self._at,
            duration_s=event.at_s,
            info=self._info(began),
            set=began.set,
            version=began.version,
            digest=began.digest,
            pipeline=began.pipeline,
            components={"stt": began.stt, "llm": began.llm, "tts": began.tts},
            outcome=event.outcome,
            detail=event.detail,
            recording=self._recording,
            recording_failed=self._recording_failed,
            consent=self._consent,
            turns=tuple(self._turns),
            tools=tuple(self._tools),
            discarded_replies=self._discarded_replies,
            cost=event.cost,
            cost_is_least=event.cost_is_least,
            currency=event.currency,
            usage=tuple(self._usage),
            failures=tuple(self._failures),
            steered=tuple(self._steered),
            transfers=tuple(self._transfers),
            metadata=event.metadata,
        )

    def _info(self, began: CallBegan) -> CallInfo:
        """Returns what is known of the call, with the variables as they were at its end."""
        changed = {name: value for steered in self._steered for name, value in steered.variables.items()}
        return evolve(began.info, variables={**began.info.variables, **changed}) if changed else began.info
