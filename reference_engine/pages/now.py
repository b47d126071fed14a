"""The page Now: calls that are up, versions, components and the last reloads, kept up to date while it is looked at."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from attrs import frozen
from starlette.routing import Route

from reference_engine.log.masked_values import KnownValues, Mask
from reference_engine.log.private_words import redacted
from reference_engine.pages.live import LiveParts
from reference_engine.pages.shell import PageLink, Shell
from reference_engine.reports.latencies import Latency
from reference_engine.reports.sessions import Session
from voicepipe import ComponentHealth, LoggingSettings, Transcribed, TurnEnded, VersionRecord

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from reference_engine.pages.parts import PageParts
    from reference_engine.reports.reload_history import PastReload
    from reference_engine.reports.sessions import Words

MAX_CALLS = 100
"""The most calls that are listed; the longest are shown."""

MAX_WORDS = 160
"""The most characters of the last words."""

PARTS = ("summary", "calls", "versions", "components", "reloads")
"""The parts of the page that are updated, each with a template `now_NAME.html`."""


@frozen
class LastWords:
    """The last words of a call, as they may be shown."""

    speaker: Literal["caller", "agent"]
    """Who said them."""
    text: str
    """The words, from their end if they are many."""
    going_on: bool
    """Whether more may follow."""


@frozen
class CallRow:
    """A call that is up, as it is listed."""

    session: Session
    """The call."""
    caller: str
    """The caller's number, unless it is masked."""
    called: str
    """The called number, unless it is masked."""
    words: LastWords | None
    """The last words; None: there are none, or they are not shown."""
    draining: bool
    """Whether it was asked to say goodbye."""


@frozen
class VersionRow:
    """A version that serves, or that calls hold."""

    set: str
    """The pipeline set."""
    record: VersionRecord
    """The version."""
    removed: bool
    """Whether the engine's file names the set no longer."""


@frozen
class ComponentRow:
    """A component that the next call may use."""

    set: str
    """The pipeline set."""
    health: ComponentHealth
    """Its health."""
    latency: Latency | None
    """Its latency in the last turns."""
    message: str
    """Why calls skip it; empty: they don't."""
    again: datetime | None
    """When it is tried again."""


class Now:
    """The page's content.

    Args:
        parts: the parts of the engine that it shows.

    """

    def __init__(self, parts: PageParts) -> None:
        self._parts = parts

    def content(self) -> dict[str, Any]:
        """Returns the values of the templates, as they are at this moment."""
        sessions = sorted(self._parts.sessions, key=lambda session: session.since)
        versions = tuple(self._versions())
        return {
            "state": self._parts.readiness.state,
            "number": len(sessions),
            "has_history": (place := self._parts.current.settings.records) is not None and place.is_database,
            "max_calls": self._parts.current.settings.max_calls,
            "calls": tuple(map(self._call, sessions[:MAX_CALLS])),
            "sets": len(self._parts.current.settings.pipeline_sets),
            "unserved": tuple(served.name for served in self._parts.sets if served.version is None),
            "versions": versions,
            "components": tuple(self._components()),
            "reloads": (reloads := tuple(self._parts.reloads)),
            "last_reload": last_reload(reloads),
        }

    def _call(self, session: Session) -> CallRow:
        active = self._parts.answerer.find(session.call_id)
        logging = self._parts.answerer.logging_of(session.set) or LoggingSettings()
        mask = Mask(KnownValues(active.call.info if active is not None else None), logging.mask)
        words = self._parts.sessions.last_words(session.call_id)
        return CallRow(
            session,
            mask.number("caller", session.caller),
            mask.number("called", session.called),
            None if words is None else shown_words(words, logging, mask),
            active is not None and active.draining,
        )

    def _versions(self) -> Iterator[VersionRow]:
        leaving = self._parts.sets.leaving
        for pipelines in (*self._parts.sets.serving.values(), *leaving):
            for record in reversed(pipelines.history):
                if record.state != "retired":
                    yield VersionRow(pipelines.name, record, pipelines in leaving)

    def _components(self) -> Iterator[ComponentRow]:
        now = datetime.now(UTC)
        for name, pipelines in self._parts.sets.serving.items():
            for health in pipelines.current.components:
                message = ""
                if (error := health.error) is not None:
                    answered = f"; answered: {error.answered}" if error.answered else ""
                    hint = f" ({error.hint})" if error.hint else ""
                    message = self._parts.conceal(f"{error.message}{answered}{hint}")
                again = datetime.fromtimestamp(round(now.timestamp() + health.retry_s), UTC) if health.retry_s else None
                latency = self._parts.latencies.of(name, health.role, health.name)
                yield ComponentRow(name, health, latency, message, again)


def last_reload(reloads: Sequence[PastReload]) -> PastReload | None:
    """Returns the outcome that matters, of those that are given from the latest on; None: there was none.

    A set whose last reload was rejected matters more than another that was reloaded after it.
    """
    latest: dict[str, PastReload] = {}
    for reload in reloads:
        latest.setdefault(reload.what, reload)
    rejected = (reload for reload in latest.values() if reload.outcome == "rejected")
    return next(rejected, reloads[0] if reloads else None)


def shown_words(words: Words, logging: LoggingSettings, mask: Mask) -> LastWords | None:
    """Returns the words of an event as the logging settings of its set allow; None: they are not to be shown."""
    if logging.transcripts == "off":
        return None
    if isinstance(words, TurnEnded):
        text, by_agent, going_on = words.said or _heard(words, logging), bool(words.said), False
    elif isinstance(words, Transcribed):
        text, by_agent, going_on = words.text, False, not words.final
    else:
        text, by_agent, going_on = words.text, True, True
    text = " ".join(mask.text(text).split())
    if logging.transcripts != "full":
        text = redacted(text)
    if len(text) > MAX_WORDS:
        text = f"…{text[-MAX_WORDS:]}"
    return LastWords("agent" if by_agent else "caller", text, going_on) if text else None


def _heard(turn: TurnEnded, logging: LoggingSettings) -> str:
    heard = turn.heard
    for begins, ends in turn.pressed if logging.dtmf == "masked" else ():
        heard = f"{heard[:begins]}{'*' * (ends - begins)}{heard[ends:]}"
    return heard


def add_now(shell: Shell, parts: PageParts) -> None:
    """Adds the page to the shell."""
    now = Now(parts)

    async def make() -> dict[str, str]:
        content = now.content()
        made = {}
        for name in PARTS:
            made[name] = await shell.render(f"now_{name}.html", **content)
        return made

    live = LiveParts(make)

    async def show(request: Request) -> Response:
        return await shell.page(request, "now.html", server_time=datetime.now(UTC), **now.content())

    async def send_updates(request: Request) -> Response:
        return live.answer(lambda: shell.access.visitor_of(request).sees)

    shell.add(PageLink("Now", "/now"), Route("/now", show), Route("/now/events", send_updates))
