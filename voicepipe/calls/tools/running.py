"""Runs the tools that a model calls: beside the conversation, each to its end.

Two lives
    A reply and its tools have different lives. The reply's scope is cancelled when the caller interrupts; a booking
    that has begun must not be. So tools run in the call's nursery, and a reply only begins them, once it counts
    (`Replies` says when that is).

    Three things may end a tool before its time: its own timeout, an interruption if it is declared cancellable, and the
    end of the process. The end of the call is none of them: `finish` waits. If `finish` itself is cancelled, because
    the process is ending, tools get `GRACE_S` more.

Batches
    The tools that one reply calls are a batch, and run at the same time. Each result goes to the conversation as it
    comes, where its call is, since no API takes a call without its result. When the last has come, turn-taking is told
    (`ToolsEnded`), and the model is asked to reply to the results.

    Not every result asks for a reply. A tool that was stopped by an interruption has a result in the conversation, but
    the caller is already talking about something else. Nor is there a reply if the model has called tools
    `MOST_TOOL_ROUNDS` times in a row.

A tool's task
    `_run` brackets everything between `ToolStarted` and `ToolEnded`, so that each call of a tool ends exactly once, in
    the conversation, in the record and for turn-taking, whatever happens. What may happen:

    - it was refused: it is not offered in this reply, or its arguments don't fit; no function is called;
    - the function returned: the result is its text;
    - it raised `ToolError`: the model is told its words, the operator its hint;
    - it raised anything else: the model is told the type only, since the text may hold a secret, and the log the rest;
    - its time was over, or it was stopped: the scope was cancelled, and `stopped` tells which;
    - a cancellation from outside, which passes on.

    A tool that is not cancellable runs shielded: nothing but its timeout and `finish` cancels it.

Fillers
    "One moment, please" is said at most once a batch, when a tool that declares a filler has run for `filler_after_ms`
    since its reply was heard: before that the caller is still listening to the reply.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from attrs import define, evolve, field, frozen

from voicepipe.calls.call_trace import NO_TRACE
from voicepipe.calls.events import ToolEnded, ToolStarted
from voicepipe.calls.turns import events as turns
from voicepipe.calls.turns.events import Ending
from voicepipe.components.requests import ToolCall
from voicepipe.components.templates import Template
from voicepipe.components.trace_context import TraceContext
from voicepipe.errors import ComponentError, ToolError
from voicepipe.nurseries import leaves_of, uncancelled
from voicepipe.tools.functions import FunctionTool, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from voicepipe.calls.call_trace import CallTrace
    from voicepipe.calls.conversation import Conversation
    from voicepipe.calls.observing import EventEmitter
    from voicepipe.calls.tasks import Tasks
    from voicepipe.calls.tools.toolbox import Toolbox
    from voicepipe.calls.turns.events import Event
    from voicepipe.components.requests import Tool
    from voicepipe.tools.context import ToolContext

CANCELLED = "cancelled: the caller interrupted"
"""The result of a tool that was cancelled during the call."""

CALL_ENDED = "cancelled: the call ended"
"""The result of a tool that was cancelled at the end of the call, or after it."""

GRACE_S = 2.0
"""The time that running tools have left, in s, when the call is cancelled: the process is ending."""

MOST_REPORTED = 200
"""The most characters of a result that `ToolEnded` reports."""


@frozen
class CalledTools:
    """The tools that a reply called, and began."""

    calls: tuple[ToolCall, ...] = ()
    """The calls that get a result."""
    ending: Ending | None = None
    """The end of the call once the reply has been heard; None: it goes on."""


@define(eq=False)
class _Run:
    """One call of a tool: running, or refused."""

    call: ToolCall
    tool: FunctionTool | None
    fault: str
    trace: TraceContext | None = None
    scope: trio.CancelScope = field(factory=trio.CancelScope)
    stopped: str = ""  # the result of a tool that is stopped


@frozen
class _ToolResult:
    """The result of one call of a tool."""

    ok: bool
    text: str
    error: BaseException | None = None
    hint: str = ""


@define(eq=False)
class _Batch:
    """The tools that one reply called."""

    runs: tuple[_Run, ...]
    replied_to: bool
    results: dict[str, str] = field(factory=dict)  # those to reply to
    failed: set[str] = field(factory=set)  # the ids of `results` whose tools failed
    running: set[str] = field(factory=set)
    heard: trio.Event = field(factory=trio.Event)


class ToolRuns:
    """Runs the tools of one call, in the call's nursery.

    Args:
        toolbox: the tools that may be called.
        context: returns the call, as the function of a tool sees it at that moment, by the tool's name.
        conversation: gets the results.
        tasks: the call's.
        emit: reports events to the observer.
        happened: feeds an event to turn-taking.
        refused: called when the model calls a tool that it was not offered.
        waits: called with True when tools have begun, and with False when the last has ended.
        trace: the call's, in which each run of a tool is a span.

    """

    def __init__(
        self,
        *,
        toolbox: Toolbox,
        context: Callable[[str], ToolContext],
        conversation: Conversation,
        tasks: Tasks,
        emit: EventEmitter,
        happened: Callable[[Event], None],
        refused: Callable[[ComponentError], None],
        waits: Callable[[bool], None] = lambda _tools_run: None,
        trace: CallTrace = NO_TRACE,
    ) -> None:
        self._toolbox, self._context, self._conversation = toolbox, context, conversation
        self._tasks, self._emit, self._happened, self._refused = tasks, emit, happened, refused
        self._waits, self._trace = waits, trace
        self._batches: set[_Batch] = set()
        self._last: _Batch | None = None
        self._ids: set[str] = set()
        self._progress = trio.lowlevel.ParkingLot()  # of `finish`, until a batch ends

    @property
    def running(self) -> bool:
        """True if any tool has not ended."""
        return bool(self._batches)

    def begin(self, calls: Iterable[ToolCall], offered: Iterable[Tool]) -> CalledTools:
        """Begins the tools that a reply calls; of several tools that end the call, the last decides.

        Args:
            calls: the tools that the model calls.
            offered: the tools that it may call in this reply.

        """
        ending: Ending | None = None
        runs: list[_Run] = []
        names = {tool.name for tool in offered}
        for requested in calls:
            call = self._with_unique_id(requested)
            tool = self._toolbox.get(call.name) if call.name in names else None
            if tool is None:
                self._refuse(call)
                runs.append(_Run(call, None, f"there is no tool {call.name} now"))
            elif isinstance(tool, FunctionTool):
                runs.append(_Run(call, tool, "", self._trace.next_span()))
            elif fault := tool.check(call.arguments):
                runs.append(_Run(call, None, fault))
            else:
                ending = tool.ending(call.arguments)
        if runs:
            self._start(_Batch(tuple(runs), replied_to=not self._conversation.tools_exhausted))
        return CalledTools(tuple(run.call for run in runs), ending)

    def reply_ended(self) -> None:
        """Notes that the reply that called the last tools is over: the caller waits for them from now on."""
        if self._last is not None:
            self._last.heard.set()

    def interrupt(self, result: str = CANCELLED) -> None:
        """Cancels the running tools that are declared cancellable, with this result: the caller interrupts."""
        for batch in self._batches:
            for run in batch.runs:
                if run.tool is not None and run.tool.cancellable and run.call.id in batch.running:
                    run.stopped = run.stopped or result
                    run.scope.cancel()
                    # The next reply may be asked for before its task has noticed.
                    self._conversation.tool_ended(run.call.id, run.stopped)

    async def finish(self) -> None:
        """Cancels what is cancellable, and waits for the other tools, each up to its own timeout.

        If this is cancelled, tools may go on for `GRACE_S`, and are cancelled then.
        """
        self.interrupt(CALL_ENDED)
        try:
            await self._ended()
        except trio.Cancelled:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + GRACE_S):
                await self._ended()
            for batch in self._batches:
                for run in batch.runs:
                    run.stopped = run.stopped or CALL_ENDED
                    run.scope.cancel()
            with trio.CancelScope(shield=True):
                await self._ended()
            raise

    async def _ended(self) -> None:
        while self._batches:
            await self._progress.park()

    def _with_unique_id(self, call: ToolCall) -> ToolCall:
        """Returns the call with an ID that is unique in this conversation: small servers number each reply's from 0."""
        name, number = call.id, len(self._ids)
        while not name or name in self._ids:
            name, number = f"{call.id or call.name}-{number}", number + 1
        self._ids.add(name)
        return call if name == call.id else evolve(call, id=name)

    def _refuse(self, call: ToolCall) -> None:
        self._refused(
            ComponentError(
                f"called the tool {call.name!r}, which this call does not offer",
                retryable=False,
                hint=f"list {call.name} under the pipeline's `tools:`, and check that the transport supports it",
            )
        )

    def _start(self, batch: _Batch) -> None:
        batch.running = {run.call.id for run in batch.runs}
        self._batches.add(batch)
        self._last = batch
        self._waits(True)
        self._happened(turns.ToolsBegan())
        for run in batch.runs:
            self._tasks.start_soon(self._run, run, batch)
        if any(run.tool is not None and run.tool.filler for run in batch.runs):
            self._tasks.start_soon(self._fill, batch)

    async def _run(self, run: _Run, batch: _Batch) -> None:
        result = _ToolResult(ok=False, text=f"error: {run.fault}" if run.fault else CALL_ENDED)
        began = trio.current_time()
        try:
            if run.tool is not None:
                call = run.call
                self._emit(
                    ToolStarted,
                    tool_call_id=call.id,
                    name=call.name,
                    arguments=call.arguments,
                    span_id=self._trace.id_of(run.trace),
                )
                result = await self._call(run, run.tool)
        finally:
            self._end(run, batch, result, trio.current_time() - began)

    def _end(self, run: _Run, batch: _Batch, result: _ToolResult, seconds: float) -> None:
        call = run.call
        self._conversation.tool_ended(call.id, result.text)
        self._emit(
            ToolEnded,
            tool_call_id=call.id,
            name=call.name,
            ok=result.ok,
            result=_shortened(result.text),
            seconds=seconds,
            error=result.error,
            hint=result.hint,
        )
        batch.running.discard(call.id)
        if not run.stopped and batch.replied_to:
            batch.results[call.id] = result.text
            if not result.ok:
                batch.failed.add(call.id)
        if not batch.running:
            self._batches.discard(batch)
            self._progress.unpark_all()
            if not self._batches:
                self._waits(False)
            self._happened(turns.ToolsEnded(batch.results, frozenset(batch.failed)))

    async def _call(self, run: _Run, tool: FunctionTool) -> _ToolResult:
        """Runs the function of a tool, which is the program's code: whatever it raises becomes the result."""
        arguments, text = run.call.arguments, ""
        run.scope.shield = not tool.cancellable
        run.scope.deadline = trio.current_time() + tool.timeout_s
        try:
            if fault := tool.check(arguments):
                return _ToolResult(ok=False, text=f"error: {fault}")
            with run.scope:
                text = text_of(await tool.function(arguments, evolve(self._context(tool.name), trace=run.trace)))
        except BaseException as error:
            failure = uncancelled(error)
            if not isinstance(failure, Exception | SystemExit):
                raise
            return _failed(failure)
        if not run.scope.cancelled_caught:
            return _ToolResult(ok=True, text=text)
        late = f"error: {tool.name} did not answer within {tool.timeout_s:g} s"
        return _ToolResult(ok=False, text=run.stopped or late)

    async def _fill(self, batch: _Batch) -> None:
        """Has a filler said, once, if its tool still runs `filler_after_ms` after the reply has been heard."""
        await batch.heard.wait()
        heard_at = trio.current_time()
        slow = [(run.tool, run.call.id) for run in batch.runs if run.tool is not None and run.tool.filler]
        for tool, call_id in sorted(slow, key=lambda tool_and_id: tool_and_id[0].filler_after_ms):
            await trio.sleep_until(heard_at + tool.filler_after_ms / 1000)
            if call_id in batch.running:
                self._happened(turns.ToolSlow(Template(tool.filler)))
                return


def _failed(failure: Exception | SystemExit) -> _ToolResult:
    """Returns the result of a tool that raised: a `ToolError`'s words, or a defect's type and the rest for the log."""
    first = next(leaves_of(failure))
    if isinstance(first, ToolError):
        return _ToolResult(ok=False, text=f"error: {first}", hint=first.hint)
    return _ToolResult(ok=False, text=f"error: the tool failed ({type(first).__name__})", error=failure)


def _shortened(result: str) -> str:
    text = " ".join(result.split())
    return text if len(text) <= MOST_REPORTED else text[: MOST_REPORTED - 1] + "…"
