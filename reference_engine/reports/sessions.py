"""The calls that are up and what each is doing, kept up to date by an observer of their events."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, TypeAlias

from attrs import evolve, frozen

from voicepipe import CallBegan, CallEnded, ReplyStarted, SpeechDetected, TurnEnded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voicepipe import CallEvent

State: TypeAlias = Literal["listening", "hearing", "speaking"]
"""Waiting for the caller; the caller speaks, or was heard and the reply is being made; the reply is being spoken."""


@frozen
class Session:
    """One call as it stands."""

    call_id: str
    """Unique; the engine's own."""
    set: str
    """The pipeline set's name."""
    version: int
    """The version that the call keeps until it ends."""
    pipeline: str
    """The pipeline's name."""
    caller: str
    """The number that dials; empty if unknown."""
    called: str
    """The number that was dialled; empty if unknown."""
    since: datetime
    """When it was answered, in UTC."""
    state: State = "listening"
    """What is going on."""
    turns: int = 0
    """How many exchanges have ended."""
    transport_id: str = ""
    """The transport's own name for it: AudioSocket's UUID, as the dialplan made it."""


class SessionStore:
    """The calls that are up, by id; a call that ended is gone."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}

    def observe(self, event: CallEvent) -> None:
        """Updates the call of the event."""
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

    def forget(self, call_id: str) -> None:
        """Drops a call that ended without an event; no-op if it is not there."""
        self._sessions.pop(call_id, None)

    def get(self, call_id: str) -> Session | None:
        """That call, or None."""
        return self._sessions.get(call_id)

    def find(self, name: str) -> Session | None:
        """The call that has this for its own ID or for its transport's, or None; of several the latest."""
        return self.get(name) or next(
            (session for session in reversed(self._sessions.values()) if session.transport_id == name), None
        )

    def counts(self) -> Counter[tuple[str, int]]:
        """How many calls each version of each set has, by (set, version)."""
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
    if isinstance(event, TurnEnded):
        return evolve(session, state="listening", turns=event.turn)
    return session
