"""The pages Calls and of one call: the history with its filters, and what happened on a call and why."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import trio
import yaml
from attrs import frozen
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, PlainTextResponse, RedirectResponse
from starlette.routing import Route

from reference_engine.pages.access import PREFIX
from reference_engine.pages.call_filters import SPANS, STATES, AskedCalls, read_filter
from reference_engine.pages.call_story import StoryLine, story_of
from reference_engine.pages.call_verdict import Verdict, verdict_of
from reference_engine.pages.call_words import OUTCOMES, ROLES, outcome_words
from reference_engine.pages.filters import UNKNOWN
from reference_engine.pages.live import LiveParts
from reference_engine.pages.recordings import FoundRecording, find_recording, recording_directories
from reference_engine.pages.shell import PageLink, Shell
from reference_engine.pages.timeline import CallTimeline, timeline_of
from reference_engine.records.call_text import why_no_cost
from reference_engine.records.differences import ComparedVersion, difference_of
from reference_engine.records.history import CallDetail, CallPage
from reference_engine.records.reading import Reader, RecordsUnavailable
from voicepipe import effective_config

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from sqlalchemy import Connection
    from starlette.requests import Request
    from starlette.responses import Response

    from reference_engine.pages.parts import PageParts
    from reference_engine.pages.records_of_pages import PageRecords
    from reference_engine.records.history import CallSummary, StoredConfiguration
    from voicepipe import SetConfig

CALLS = 50
"""The calls of one page of the list."""

MAX_WATCHED = 16
"""The most calls that are up of which pages are kept up to date; the page of a further one stands still."""


@frozen(kw_only=True)
class ShownCall:
    """A call as its page shows it, made from its record in a thread."""

    detail: CallDetail
    """Its record."""
    verdict: Verdict
    """Why it ended."""
    timeline: CallTimeline
    """Its picture."""
    story: tuple[StoryLine, ...]
    """What happened, in order."""
    recording: FoundRecording
    """Its recording."""


class CallsPage:
    """The content of the pages.

    Args:
        shell: what all pages share.
        parts: the parts of the engine that are shown.
        records: where calls are read.

    """

    def __init__(self, shell: Shell, parts: PageParts, records: PageRecords) -> None:
        self._shell, self._parts, self._records = shell, parts, records
        self._watched: dict[str, LiveParts] = {}

    async def show_calls(self, request: Request) -> Response:
        """Answers with a page of the list."""
        if call_id := request.query_params.get("call", "").strip():
            return RedirectResponse(f"{PREFIX}/calls/{quote(call_id, safe='')}", HTTPStatus.SEE_OTHER)
        asked = read_filter(request.query_params, datetime.now(UTC))
        found, problem = await self._find(asked)
        status = HTTPStatus.OK if not problem else HTTPStatus.SERVICE_UNAVAILABLE
        return await self._shell.page(
            request,
            "calls.html",
            status,
            asked=asked,
            found=found,
            problem=problem,
            has_database=self._records.reader is not None,
            in_file=self._records.in_file,
            spans={name: words for name, (words, _) in SPANS.items()},
            states=STATES,
            outcomes=OUTCOMES,
            sets=tuple(sorted(self._parts.sets.serving)),
            set_choices=_choices(self._parts.sets.serving),
            pipelines=_choices(self._pipelines()),
            **WORDS,
        )

    async def show_call(self, request: Request) -> Response:
        """Answers with the page of a call."""
        shown = await self._read(request)
        call_id = shown.detail.summary.call_id
        return await self._shell.page(request, "call.html", call_id=call_id, **_values(shown))

    async def send_updates(self, request: Request) -> Response:
        """Answers with the page of a call that is up, again and again as it changes."""
        shown = await self._read(request)
        call_id = shown.detail.summary.call_id
        if shown.detail.summary.state != "up":
            return PlainTextResponse("the call is over", HTTPStatus.NO_CONTENT)
        if call_id not in self._watched:
            self._watched = {name: live for name, live in self._watched.items() if live.watchers}
            if len(self._watched) >= MAX_WATCHED:
                reason = f"the pages of {len(self._watched)} calls are kept up to date already"
                return PlainTextResponse(reason, HTTPStatus.SERVICE_UNAVAILABLE, {"retry-after": "60"})
            self._watched[call_id] = LiveParts(lambda: self._make(call_id))
        return self._watched[call_id].answer(lambda: self._shell.access.visitor_of(request).sees)

    async def show_configuration(self, request: Request) -> Response:
        """Answers with the configuration that a call ran on, as it was kept by its digest."""
        shown = await self._read(request)
        summary = shown.detail.summary
        found = await self._configuration_of(summary)
        mine, others = await trio.to_thread.run_sync(as_yaml, found.config, summary.pipeline)
        return await self._shell.page(
            request, "call_configuration.html", call=summary, found=found, mine=mine, others=others
        )

    async def show_difference(self, request: Request) -> Response:
        """Answers with what differs between what a call ran on and what its set serves now."""
        shown = await self._read(request)
        call = shown.detail.summary
        ran_on = await self._configuration_of(call)
        pipelines = self._parts.sets.serving.get(call.set)
        text, serving = "", None
        if pipelines is not None and pipelines.current is not None:
            serving = pipelines.version
            compare = partial(_compared, call, ran_on, pipelines.current.config, serving, pipelines.current.digest)
            text = self._parts.conceal(await trio.to_thread.run_sync(compare))
        return await self._shell.page(request, "call_difference.html", call=call, text=text, serving=serving)

    async def send_recording(self, request: Request) -> Response:
        """Answers with the recording of a call, or with the part of it that a player asks for."""
        shown = await self._read(request)
        if shown.recording.path is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, _RECORDING_IS[shown.recording.state])
        headers = {"accept-ranges": "bytes", "cache-control": "private, no-store"}
        return FileResponse(shown.recording.path, media_type="audio/wav", headers=headers)

    async def _configuration_of(self, summary: CallSummary) -> StoredConfiguration:
        """Returns what a call ran on.

        Raises:
            HTTPException: it is not kept (404), or the database is away (503).

        """
        reader = self._records.reader
        found = None if reader is None else await reader.run(partial(_find_configuration, digest=summary.digest))
        if isinstance(found, RecordsUnavailable):
            raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, found.problem)
        if found is None:
            reason = f"The configuration with the digest {summary.digest} is not kept in the database of records."
            raise HTTPException(HTTPStatus.NOT_FOUND, reason)
        return found

    async def _find(self, asked: AskedCalls) -> tuple[CallPage, str]:
        """Returns a page of calls, and why there is none; empty: there may just be none that matches."""
        nothing = CallPage(calls=(), next=None)
        if (reader := self._records.reader) is None:
            return nothing, ""
        try:
            found = await reader.find_calls(asked.filter, asked.after, CALLS)
        except ValueError:
            raise HTTPException(HTTPStatus.BAD_REQUEST, "This address is of no page of calls.") from None
        return (nothing, found.problem) if isinstance(found, RecordsUnavailable) else (found, "")

    async def _read(self, request: Request) -> ShownCall:
        """Returns the call that a request names.

        Raises:
            HTTPException: there is none (404), or the database is away (503).

        """
        call_id = request.path_params["call"].replace("\0", "")
        if (reader := self._records.reader) is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, "This engine keeps no database of records: see the page Calls.")
        shown = await _shown(reader, call_id, recording_directories(self._parts.sets))
        if isinstance(shown, RecordsUnavailable):
            raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, shown.problem)
        if shown is None:
            reason = "There is no record of this call: it was never made, or it was deleted (`keep`, `records forget`)."
            raise HTTPException(HTTPStatus.NOT_FOUND, reason)
        return shown

    async def _make(self, call_id: str) -> Mapping[str, str]:
        reader = self._records.reader
        shown = None if reader is None else await _shown(reader, call_id, recording_directories(self._parts.sets))
        if shown is None or isinstance(shown, RecordsUnavailable):
            return {}
        return {"call": await self._shell.render("call_content.html", call_id=call_id, **_values(shown))}

    def _pipelines(self) -> set[str]:
        current = (pipelines.current for pipelines in self._parts.sets.serving.values())
        return {name for snapshot in current if snapshot is not None for name in snapshot.pipelines}


async def _shown(reader: Reader, call_id: str, directories: tuple[Path, ...]) -> ShownCall | RecordsUnavailable | None:
    """Returns a call as it is shown; its picture is made in a thread, since it may have hundreds of turns."""
    detail = await reader.find_call(call_id)
    if detail is None or isinstance(detail, RecordsUnavailable):
        return detail

    def make() -> ShownCall:
        return ShownCall(
            detail=detail,
            verdict=verdict_of(detail),
            timeline=timeline_of(detail),
            story=story_of(detail),
            recording=find_recording(detail.recording, directories),
        )

    return await trio.to_thread.run_sync(make)


def _choices(names: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Returns names as choices: each is its own text."""
    return tuple((name, name) for name in sorted(names))


def _find_configuration(connection: Connection, digest: str) -> StoredConfiguration | None:
    from reference_engine.records.provenance import find_configuration  # noqa: PLC0415 - SQLAlchemy takes 0.2 s to import

    return find_configuration(connection, digest)


def _compared(
    call: CallSummary, ran_on: StoredConfiguration, config: SetConfig, version: int | None, digest: str
) -> str:
    """Returns how what a call ran on differs from what its set serves now, in words."""
    before = ComparedVersion(f"this call ({call.set}, version {call.version})", ran_on.digest, ran_on.config)
    name = f"what serves now ({call.set}, version {version})"
    now = ComparedVersion(name, digest, effective_config(config, texts=True))
    return "".join(difference_of(before, now, call.pipeline))


def as_yaml(config: Mapping[str, Any], pipeline: str) -> tuple[str, str]:
    """Returns a pipeline of a configuration as YAML, and all the rest of it; the pipeline may be missing."""
    pipelines = config.get("pipelines", {})
    mine = {pipeline: pipelines[pipeline]} if pipeline in pipelines else {}
    others = {**config, "pipelines": {name: value for name, value in pipelines.items() if name != pipeline}}
    first, rest = (
        yaml.dump(part, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True, width=110)
        for part in (mine, others)
    )
    return first if mine else "", rest


_RECORDING_IS = {
    "none": "This call was not recorded.",
    "gone": "The recording was deleted.",
    "elsewhere": "No pipeline of this engine records to the directory of this recording.",
}


def outcome_level(summary: CallSummary) -> str:
    """Returns how bad a call's outcome is, for the colour of its pill: `good`, `warn`, `bad` or `info`."""
    if summary.state == "up":
        return "info"
    if summary.state == "lost" or summary.outcome in {"failed", "no_audio"}:
        return "bad"
    return "warn" if summary.failed or summary.outcome in {"idle", "max_length", "cancelled"} else "good"


def cost_words(cost: float | None, currency: str | None, is_least: bool = False) -> str:
    """Returns a cost: `0.0123 EUR`, or `at least 0.0123 EUR`; a dash if nothing of it is known."""
    if cost is None:
        return UNKNOWN
    digits = 0 if cost == 0 else 4 if cost < 1 else 2
    return f"{'at least ' if is_least else ''}{cost:,.{digits}f} {currency or ''}".strip()


WORDS: Mapping[str, Any] = {"outcome_words": outcome_words, "outcome_level": outcome_level, "cost_words": cost_words}
"""Functions that the templates use."""


def _values(shown: ShownCall) -> dict[str, Any]:
    detail = shown.detail
    return {
        "detail": detail,
        "metadata": {
            name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            for name, value in detail.metadata.items()
        },
        "call": detail.summary,
        "verdict": shown.verdict,
        "line": shown.timeline,
        "story": shown.story,
        "recording": shown.recording,
        "recording_is": _RECORDING_IS.get(shown.recording.state, ""),
        "why_no_cost": why_no_cost(detail).replace("`", ""),
        "roles": ROLES,
        **WORDS,
    }


def add_calls(shell: Shell, parts: PageParts, records: PageRecords) -> None:
    """Adds the pages to the shell."""
    page = CallsPage(shell, parts, records)
    shell.add(
        PageLink("Calls", "/calls"),
        Route("/calls", page.show_calls, methods=["GET"]),
        Route("/calls/{call}", page.show_call, methods=["GET"]),
        Route("/calls/{call}/configuration", page.show_configuration, methods=["GET"]),
        Route("/calls/{call}/difference", page.show_difference, methods=["GET"]),
        Route("/calls/{call}/updates", page.send_updates, methods=["GET"]),
        Route("/calls/{call}/recording", page.send_recording, methods=["GET"]),
    )
