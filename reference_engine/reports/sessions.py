"""Lists the calls that are up and the state of each, from their events."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, TypeAlias

from attrs import evolve, frozen

from voicepipe import (
    CallBegan,
    CallEnded,
    ReplyContinued,
    ReplyStarted,
    SpeechDetected,
    Transcribed,
    TransferEnded,
    TransferStarted,
    TurnEnded,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voicepipe import CallEvent

State: TypeAlias = Literal["listening", "hearing", "speaking", "transferring"]
"""`listening`: waits for the caller; `hearing`: the caller speaks or is answered; `speaking`: the agent speaks;
`transferring`: the caller waits until somebody takes the call."""

Words: TypeAlias = Transcribed | ReplyContinued | TurnEnded
"""An event that has words of a conversation."""


@frozen
class Session:
    """The state of one call that is up."""

    call_id: str
    """The engine's ID of the call; unique."""
    set: str
    """The pipeline set's name."""
    version: int
    """The version that the call keeps until it ends."""
    pipeline: str
    """The name of the pipeline that answers it."""
    caller: str
    """The caller's number; empty if unknown."""
    called: str
    """The dialled number; empty if unknown."""
    since: datetime
    """The time at which it was answered, in UTC."""
    state: State = "listening"
    """The state of the conversation."""
    turns: int = 0
    """The number of turns that have ended."""
    transport_id: str = ""
    """The transport's ID of the call: AudioSocket's UUID, which the dialplan makes and may repeat."""


class SessionStore:
    """The calls that are up, by `call_id`."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}
        self._words: dict[str, Words] = {}

    def observe(self, event: CallEvent) -> None:
        """Updates the event's call; an observer of calls."""
        if isinstance(event, CallBegan):
            self._sessions[event.call_id] = Session(
                call_id=event.call_id,
                set=event.set,
                version=event.version,
                pipeline=event.pipeline,
                caller=event.info.caller,
                called=event.info.called,
                since=datetime.now(UTC),
                transport_id=event.info.transport_id,
            )
        elif isinstance(event, CallEnded):
            self.forget(event.call_id)
        elif session := self._sessions.get(event.call_id):
            self._sessions[event.call_id] = _after(session, event)
            if isinstance(event, Words):
                self._words[event.call_id] = event

    def forget(self, call_id: str) -> None:
        """Removes a call that ended without an event; no-op if it is not there."""
        self._sessions.pop(call_id, None)
        self._words.pop(call_id, None)

    def get(self, call_id: str) -> Session | None:
        """Returns the call with this `call_id`, or None."""
        return self._sessions.get(call_id)

    def last_words(self, call_id: str) -> Words | None:
        """Returns the latest event of a call that has words; None: nothing was said yet, or there is no such call."""
        return self._words.get(call_id)

    def find(self, name: str) -> Session | None:
        """Returns the latest call with this `call_id` or `transport_id`, or None."""
        return self.get(name) or next(
            (session for session in reversed(self._sessions.values()) if session.transport_id == name), None
        )

    def counts(self) -> Counter[tuple[str, int]]:
        """Returns the number of calls of each version of each set, by (set, version)."""
        return Counter((session.set, session.version) for session in self)

    def __iter__(self) -> Iterator[Session]:
        return iter(tuple(self._sessions.values()))

    def __len__(self) -> int:
        return len(self._sessions)


def _after(session: Session, event: CallEvent) -> Session:
    if isinstance(event, SpeechDetected):
        return evolve(session, state="hearing")
    if isinstance(event, ReplyStarted):
        return evolve(session, state="speaking")
    if isinstance(event, TransferStarted):
        return evolve(session, state="transferring")
    if isinstance(event, TransferEnded):
        return evolve(session, state="listening")
    if isinstance(event, TurnEnded):
        return evolve(session, state="listening", turns=event.turn)
    return session
