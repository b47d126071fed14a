"""The content of the page Now as plain data: of this process, read back from JSON, and of several workers together."""

from __future__ import annotations

from datetime import UTC, datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, Literal

from attrs import evolve, frozen
from cattrs import Converter

from reference_engine.log.masked_values import KnownValues, Mask
from reference_engine.log.private_words import redacted
from reference_engine.reports.json_types import as_data
from reference_engine.reports.latencies import Latency
from reference_engine.reports.reload_history import PastReload
from voicepipe import LoggingSettings, Transcribed, TurnEnded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from reference_engine.pages.parts import PageParts
    from reference_engine.reports.sessions import Session, Words

MAX_CALLS = 100
"""The most calls that are listed; the longest are shown."""

MAX_WORDS = 160
"""The most characters of the last words."""


@frozen
class LastWords:
    """The last words of a call, as they may be shown."""

    speaker: Literal["caller", "agent"]
    """Who said them."""
    text: str
    """The words, from their end if they are many."""
    going_on: bool
    """Whether more may follow."""


@frozen(kw_only=True)
class CallRow:
    """A call that is up, as it is listed."""

    call_id: str
    """The engine's ID of the call."""
    since: datetime
    """The time at which it was answered."""
    caller: str
    """The caller's number, unless it is masked."""
    called: str
    """The called number, unless it is masked."""
    state: str
    """The state of the conversation."""
    draining: bool
    """Whether it was asked to say goodbye."""
    words: LastWords | None
    """The last words; None: there are none, or they are not shown."""
    pipeline: str
    """The pipeline."""
    set: str
    """The pipeline set."""
    version: int
    """The version."""
    worker: int | None = None
    """The worker that has it; None: there is only this process."""


@frozen(kw_only=True)
class VersionRow:
    """A version that serves, or that calls hold."""

    set: str
    """The pipeline set."""
    version: int
    """Its number."""
    state: str
    """Whether new calls get it."""
    calls: int
    """The number of calls that hold it."""
    active_pipeline: str
    """The pipeline that answers unless a route chooses another."""
    applied_at: datetime
    """The time at which it began to serve."""
    trigger: str
    """The cause of the reload that made it."""
    digest: str
    """Its digest."""
    removed: bool
    """Whether the engine's file names the set no longer."""


@frozen(kw_only=True)
class ComponentRow:
    """A component that the next call may use."""

    set: str
    """The pipeline set."""
    role: str
    """The role that it is used in."""
    name: str
    """Its name."""
    adapter: str
    """The adapter's name."""
    model: str | None
    """The model or the voice."""
    was_open: bool
    """Whether it has been opened."""
    state: Literal["closed", "half_open", "open"]
    """The circuit breaker's state."""
    successes: int
    """The number of attempts that succeeded."""
    failures: int
    """The number of attempts that failed."""
    latency: Latency | None
    """Its latency in the last turns."""
    message: str
    """Why calls skip it; empty: they don't."""
    again: datetime | None
    """When it is tried again."""


@frozen(kw_only=True)
class NowContent:
    """All that the page shows."""

    state: Literal["starting", "ready", "paused", "draining"]
    """The state of the engine."""
    number: int
    """The number of calls that are up."""
    has_history: bool
    """Whether a call has a page, once it is in a database of records."""
    max_calls: int | None
    """The most calls; None: there is no limit."""
    calls: tuple[CallRow, ...]
    """The calls, the longest first; at most `MAX_CALLS`."""
    sets: int
    """The number of pipeline sets."""
    unserved: tuple[str, ...]
    """The sets that have no version that serves."""
    versions: tuple[VersionRow, ...]
    """The versions that serve or that calls hold."""
    components: tuple[ComponentRow, ...]
    """The components that the next call may use."""
    reloads: tuple[PastReload, ...]
    """The last reloads, the latest first."""
    workers: int = 0
    """The number of workers that have answered; 0: there is only this process."""
    unanswered: tuple[int, ...] = ()
    """The workers that have not answered, whose calls are missing."""


class Now:
    """The page's content.

    Args:
        parts: the parts of the engine that it shows.

    """

    def __init__(self, parts: PageParts) -> None:
        self._parts = parts

    def content(self) -> NowContent:
        """Returns what this process has to show at this moment."""
        sessions = sorted(self._parts.sessions, key=lambda session: session.since)
        return NowContent(
            state=self._parts.readiness.state,
            number=len(sessions),
            has_history=(place := self._parts.current.settings.records) is not None and place.is_database,
            max_calls=self._parts.current.settings.max_calls,
            calls=tuple(map(self._call, sessions[:MAX_CALLS])),
            sets=len(self._parts.current.settings.pipeline_sets),
            unserved=tuple(served.name for served in self._parts.sets if served.version is None),
            versions=tuple(self._versions()),
            components=tuple(self._components()),
            reloads=tuple(self._parts.reloads),
        )

    def _call(self, session: Session) -> CallRow:
        active = self._parts.answerer.find(session.call_id)
        logging = self._parts.answerer.logging_of(session.set) or LoggingSettings()
        mask = Mask(KnownValues(active.call.info if active is not None else None), logging.mask)
        words = self._parts.sessions.last_words(session.call_id)
        return CallRow(
            call_id=session.call_id,
            since=session.since,
            caller=mask.number("caller", session.caller),
            called=mask.number("called", session.called),
            state=session.state,
            draining=active is not None and active.draining,
            words=None if words is None else shown_words(words, logging, mask),
            pipeline=session.pipeline,
            set=session.set,
            version=session.version,
        )

    def _versions(self) -> Iterator[VersionRow]:
        leaving = self._parts.sets.leaving
        for pipelines in (*self._parts.sets.serving.values(), *leaving):
            for record in reversed(pipelines.history):
                if record.state != "retired":
                    yield VersionRow(
                        set=pipelines.name,
                        version=record.version,
                        state=record.state,
                        calls=record.calls,
                        active_pipeline=record.active_pipeline,
                        applied_at=record.applied_at,
                        trigger=record.trigger,
                        digest=record.digest,
                        removed=pipelines in leaving,
                    )

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
                yield ComponentRow(
                    set=name,
                    role=health.role,
                    name=health.name,
                    adapter=health.adapter,
                    model=health.model,
                    was_open=health.was_open,
                    state=health.state,
                    successes=health.successes,
                    failures=health.failures,
                    latency=self._parts.latencies.of(name, health.role, health.name),
                    message=message,
                    again=again,
                )


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


_CONVERTER: Final = Converter()
_CONVERTER.register_structure_hook(datetime, lambda text, _kind: datetime.fromisoformat(text))


def content_as_data(content: NowContent) -> dict[str, Any]:
    """Returns the content as a JSON object."""
    return as_data(content)


def content_of_data(data: Mapping[str, Any]) -> NowContent:
    """Returns the content of a JSON object that `content_as_data` has made."""
    return _CONVERTER.structure(data, NowContent)


def content_of_workers(answer: Mapping[str, Any]) -> NowContent:
    """Returns what the page shows of all workers, of the supervisor's answer to `GET /-/now`."""
    contents = {each["worker"]: content_of_data(each["now"]) for each in answer["workers"]}
    return evolve(merge_contents(contents), unanswered=tuple(answer.get("unanswered", ())))


def merge_contents(contents: Mapping[int, NowContent]) -> NowContent:
    """Returns the content of several workers by their numbers, of which there is at least one.

    Calls are joined. A version has the calls of all, and a component the attempts of all and the worst state. Latencies
    are means, weighted by the number of turns; reloads are those of the worker that has seen most.
    """
    several = len(contents) > 1
    calls = [evolve(call, worker=number if several else None) for number, of in contents.items() for call in of.calls]
    known = list(contents.values())
    states = [of.state for of in known]
    unserved = set.intersection(*(set(of.unserved) for of in known))
    return evolve(
        known[0],
        state=next(state for state in ("ready", "starting", "paused", "draining") if state in states),
        number=sum(of.number for of in known),
        calls=tuple(sorted(calls, key=attrgetter("since"))[:MAX_CALLS]),
        unserved=tuple(name for of in known[:1] for name in of.unserved if name in unserved),
        versions=tuple(_versions(version for of in known for version in of.versions)),
        components=tuple(_components(of.components for of in known)),
        reloads=max((of.reloads for of in known), key=len),
        workers=len(known) if several else 0,
    )


def _versions(versions: Iterable[VersionRow]) -> list[VersionRow]:
    merged: dict[tuple[str, int], VersionRow] = {}
    for version in versions:
        have = merged.setdefault(key := (version.set, version.version), version)
        if have is not version:
            serves = have if have.state == "serving" else version
            merged[key] = evolve(serves, calls=have.calls + version.calls)
    order = list(dict.fromkeys(name for name, _number in merged))
    return sorted(merged.values(), key=lambda version: (order.index(version.set), -version.version))


def _components(components: Iterable[Iterable[ComponentRow]]) -> list[ComponentRow]:
    merged: dict[tuple[str, str, str, int], ComponentRow] = {}
    for of_worker in components:
        places: dict[tuple[str, str, str], int] = {}
        for each in of_worker:  # two components of a set may have one name, so they are told apart by their order
            place = each.set, each.role, each.name
            places[place] = places.get(place, 0) + 1
            have = merged.setdefault(key := (*place, places[place]), each)
            if have is not each:
                merged[key] = _together(have, each)
    return list(merged.values())


def _together(component: ComponentRow, other: ComponentRow) -> ComponentRow:
    """Returns a component as two workers have it."""
    worse = max(component, other, key=lambda each: (not each.was_open, _STATES.index(each.state), each.message != ""))
    return evolve(
        worse,
        successes=component.successes + other.successes,
        failures=component.failures + other.failures,
        latency=_mean(component.latency, other.latency),
    )


_STATES: Final = ("closed", "half_open", "open")


def _mean(latency: Latency | None, other: Latency | None) -> Latency | None:
    if latency is None or other is None:
        return latency or other
    turns = latency.turns + other.turns
    share, rest = latency.turns / turns, other.turns / turns
    median_ms = latency.median_ms * share + other.median_ms * rest
    return Latency(median_ms, latency.p95_ms * share + other.p95_ms * rest, turns)
