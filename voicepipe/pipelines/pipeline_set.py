"""A pipeline set: the pipelines of one YAML file over time, replaced while calls are up.

Theory of operation
===================

*Versions.* What a set serves is a `Snapshot`: immutable, numbered from 1. `Versions` knows the one that serves, those
that calls still hold, and the latest ones for a rollback. A call pins the serving version for as long as it lasts. All
that a change does to calls is to replace one reference, so a call sees a version whole or not at all.

A set may have no version yet. `open_pipeline_set` then either raises what is wrong (the default), or, with
`start=False`, hands the set out all the same. The reference engine does that, for one bad file must not keep its other
sets from serving. Such a set differs in nothing else: a start, a reload and a retry are requests like any other.

*Requests.* Starts, reloads and rollbacks are requests in one queue (`ChangeQueue`). One helper task per set
(`_serve_requests`) carries them out, one at a time. Whoever asks waits for the outcome of a request:

    reload ──┐ shared
    reload ──┴──> queue ──> helper ──> read ──> limit ──> open ──> commit ──> Applied
    rollback ───> queue                 └──> nothing new ──> Unchanged
                                             any exception ──> Rejected

A reload must begin to read after it was asked for, because a file may have been written just before. So a reload joins
one that waits in the queue, and never the one under way: a hundred reloads during a reload make one more. It doesn't
join a reload that waits before a rollback, for what was asked for last must be carried out last.

*Reading.* `load` reads the file with everything that it names, once. While a version serves or calls are up, a helper
process does that, because parsing in this process would delay the audio of calls. Else a thread does.

*Plan and unchanged.* If what calls and logs would get equals what serves (`_served`), the request is `Unchanged`:
nothing is opened, and components that are not open are tried at once. Else `plan_change` compares both configurations;
the plan is for people, and decides nothing.

*Leases.* A version holds its components by a `Lease`. Opening one acquires each component by its key from the runtime,
which has one component for each key: a component that did not change is the same object in both versions, and is open
already. What is new is opened beside the calls. The first version may lack components, as long as one pipeline has all
its roles. A later one needs something in each role of each pipeline, and what works now must not get lost
(`check_losses`), unless the request is forced or a rollback.

*Limit.* Versions that calls hold keep their components open, so there may be `max_live_versions` at most. That is
checked before anything is opened, and again after it, because a call may have pinned the serving version meanwhile.

*Commit.* `Versions.serve` is the only step that calls can notice. There is no `await` from the last check to it.
Everything before it can fail or be cancelled, and then the new lease is released and nothing has happened.

*Retirement.* A version that doesn't serve is retired when its last pin goes: its lease is released, and the runtime
closes the components that no other lease has. The observer is told `Retired`. There is no deadline for that here.

*Rollback.* It serves the configuration that was kept of an earlier version, as a new version; no file is read. From
then on the set remembers what the files said (`_left`). A reload that reads just that again is `Unchanged`, so that a
SIGHUP or a watcher doesn't undo the rollback. Files that say something else, files that say what serves, or
`force=True` end it.

*Last known good.* While no version serves and the files can't be served, the sources of an earlier run are served
instead, if the program has some. The outcome is `Rejected` all the same, and says which version serves.

*Failure.* Whatever an attempt raises becomes a `Rejected`: a `ConfigError` as it is, anything else as a defect, with
its traceback in the log. What an observer raises is logged. So the helper task ends only by a defect outside of an
attempt; that ends the set, in the manner of an exception in a nursery.

*Cancellation.* Cancelling one who waits cancels nothing but the waiting. Leaving `open_pipeline_set` refuses new pins
and requests, and waits for the calls that are up, while requests that were made before are still carried out. On an
error or a cancellation nothing is waited for. In the end the helper is cancelled, which releases the lease of the
attempt under way, requests that have no outcome raise `PipelineSetClosed`, and all versions release theirs.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, final

import trio
from attrs import evolve

from voicepipe.clock.clock import load_of_clocks
from voicepipe.errors import ConfigError, PipelineSetClosed
from voicepipe.nurseries import open_hidden_nursery
from voicepipe.pipelines.attempts import Attempt, as_config_error, neither_served
from voicepipe.pipelines.change_queue import ChangeQueue, ChangeRequest
from voicepipe.pipelines.lease import Lease
from voicepipe.pipelines.losses import check_losses
from voicepipe.pipelines.outcome import Applied, ReloadOutcome, Retired, Unchanged, VersionRecord
from voicepipe.pipelines.plan import plan_change
from voicepipe.pipelines.read_in_helper import load
from voicepipe.pipelines.versions import Versions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
    from pathlib import Path

    from voicepipe.components.registry import Registry
    from voicepipe.config.settings import SetConfig
    from voicepipe.errors import Problem
    from voicepipe.pipelines.read_in_helper import Environ
    from voicepipe.pipelines.runtime import Runtime
    from voicepipe.pipelines.snapshot import Snapshot
    from voicepipe.tools.functions import FunctionTool

    Sources: TypeAlias = Mapping[Path, bytes]
    """Contents of files by absolute path, as in `SetConfig.sources`."""

    LastKnownGood: TypeAlias = Sources | Callable[[], Awaitable[Sources | None]] | None
    """Sources of a version that was served once, or a function that gives them when they are needed; None: there are
    none."""

SetEvent: TypeAlias = ReloadOutcome | Retired
"""What a pipeline set tells its observer."""

START = "start"
"""The trigger of a start."""

LAST_KNOWN_GOOD = "last known good"
"""The trigger of a first version that is not what the files say."""


@final
class PipelineSet:
    """The pipelines of one YAML file over time; `open_pipeline_set` makes one.

    A call pins a version and keeps it. `reload` reads the file again and replaces the serving version by one reference
    swap, or leaves it as it is.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        runtime: Runtime,
        *,
        registry: Registry,
        environ: Environ,
        tools: tuple[str | FunctionTool, ...],
        observer: Callable[[SetEvent], None] | None,
        open_s: float,
        max_live_versions: int,
        last_known_good: LastKnownGood,
    ) -> None:
        self.path = path
        """The YAML file."""
        self.name = name
        """As logs and metrics call it."""
        self.max_live_versions = max_live_versions
        """How many versions may have components open at once; at the limit a change is rejected."""
        self.last_attempt: ReloadOutcome | None = None
        """How the latest reload or rollback went; None before the first.

        A start counts only if its files were rejected.
        """
        self._runtime, self._registry, self._open_s = runtime, registry, open_s
        self._environ, self._tools = environ, tuple(map(name_of, tools))
        self._functions = {tool.name: tool for tool in tools if not isinstance(tool, str)}
        self._last_known_good = last_known_good
        self._observe = runtime.reports.guard(observer or (lambda _event: None))
        self._versions = Versions(name, lambda version: self._observe(Retired(set=name, version=version)))
        self._queue = ChangeQueue()
        self._read: tuple[Any, ...] | None = None  # what the files said when they were last read; None: rubbish
        self._left: tuple[Any, ...] | None = None  # what they said when they were rolled back from
        self._rolled_back_to: int | None = None

    @property
    def current(self) -> Snapshot:
        """The version that the next call gets.

        Raises:
            UnknownVersion: no version serves yet, which can only be if the set was opened with `start=False`.

        """
        return self._versions.current.snapshot

    @property
    def version(self) -> int | None:
        """The number of the version that the next call gets; None: no version serves yet."""
        serving = self._versions.serving
        return None if serving is None else serving.snapshot.version

    @property
    def history(self) -> tuple[VersionRecord, ...]:
        """The latest versions and all that calls still hold, oldest first."""
        return self._versions.records()

    @property
    def live_versions(self) -> int:
        """How many versions have components open: the serving one and those that calls hold."""
        return self._versions.live

    @property
    def degraded(self) -> tuple[Problem, ...]:
        """What the serving version lacks by now: components that are still tried, apologies that were not spoken."""
        serving = self._versions.serving
        return () if serving is None else serving.lease.degraded

    @property
    def last_known_good(self) -> bool:
        """Whether the serving version is not what the files said at the start, but what they had said before."""
        serving = self._versions.serving
        return serving is not None and serving.trigger == LAST_KNOWN_GOOD

    def config_of(self, version: int) -> SetConfig:
        """The configuration that a version in the history was built from.

        Raises:
            UnknownVersion: it is not remembered any more.

        """
        return self._versions.config_of(version)

    @contextmanager
    def pin(self) -> Iterator[Snapshot]:
        """Holds the serving version for one call: whatever is reloaded meanwhile, its components stay open.

        Raises:
            PipelineSetClosed: the set is closing and takes no more calls.
            UnknownVersion: no version serves yet, which can only be if the set was opened with `start=False`.

        """
        with self._versions.pin() as snapshot:
            yield snapshot

    async def start(self) -> ReloadOutcome:
        """Serves a first version; `open_pipeline_set` does that by itself unless it is told `start=False`.

        A start is a reload that is not news: the observer is told of it, and `last_attempt` is it, only if the files
        were rejected and the last known good sources are served instead. If no version serves then, `last_attempt`
        alone says why. Cancelling one who waits does not cancel the start.

        Raises:
            PipelineSetClosed: the set is closing.

        """
        return await self._answer(ChangeRequest(START, starts=True))

    async def reload(self, *, trigger: str = "api", force: bool = False) -> ReloadOutcome:
        """Reads the files and, if they are good and say something new, serves them from the next call on.

        Requests are answered by a reload that began reading after they came; those that wait share one. What
        the files hold never raises: it comes back as `Rejected`. Cancelling one waiter does not cancel the reload.

        Args:
            trigger: what asked for it, for logs and the history.
            force: leave a rollback, although the files still say what was rolled back from; and serve without a
                component that works now if its successor of the same name does not open.

        Raises:
            PipelineSetClosed: the set is closing.

        """
        return await self._answer(ChangeRequest(trigger, force=force))

    async def rollback(self, to: int | None = None, *, trigger: str = "api") -> ReloadOutcome:
        """Serves what an earlier version served, as a new version, from what was kept of it.

        It holds until files that say something else than they do now are served, or serve already.

        Args:
            to: that version's number; None: the one before the serving one.
            trigger: what asked for it, for logs and the history.

        Raises:
            UnknownVersion: it is not remembered any more, or no version serves yet.
            PipelineSetClosed: the set is closing.

        """
        if to is None:
            to = self.current.version - 1
        return await self._answer(ChangeRequest(trigger, to=to, config=self._versions.config_of(to)))

    async def _answer(self, request: ChangeRequest) -> ReloadOutcome:
        if self._versions.closing:
            raise PipelineSetClosed(f"pipeline set {self.name!r} is closing")
        request = self._queue.add(request)
        await request.done.wait()
        if request.outcome is None:
            raise PipelineSetClosed(f"pipeline set {self.name!r} closed before the reload was done")
        return request.outcome

    async def _start_or_raise(self) -> None:
        """Serves a first version, or raises the `ConfigError` that says why not."""
        request = ChangeRequest(START, starts=True)
        await self._answer(request)
        if request.refused is not None and self.version is None:
            raise request.refused

    async def _serve_requests(self) -> None:
        """Carries out the changes that are asked for, one at a time; until it is cancelled."""
        while True:
            request = await self._queue.next()
            try:
                request.outcome = outcome = await self._carry_out(request)
                if not request.starts or request.refused is not None:
                    self.last_attempt = outcome
                # Nobody need be told of a start that serves its files, and one that serves nothing is its caller's.
                if not request.starts or (request.refused is not None and self.version is not None):
                    self._observe(outcome)
            finally:
                request.done.set()
            self._versions.retire_unused()

    async def _carry_out(self, request: ChangeRequest) -> ReloadOutcome:
        attempt = Attempt(self.name, request.trigger, to=request.to)
        try:
            return await self._change(request, attempt)
        except Exception as error:  # noqa: BLE001 - a defect in a reload ends neither the set nor its calls
            refused = as_config_error(error, self.path)
        if self.version is None:
            refused = await self._serve_last_known_good(refused)
        request.refused = refused
        return attempt.rejected(refused, self.version)

    async def _change(self, request: ChangeRequest, attempt: Attempt) -> ReloadOutcome:
        """Serves what is asked for, unless it serves already; raises what keeps it from that."""
        config = request.config or await self._read_files()
        attempt.digest, attempt.files = config.digest, config.files
        if self._unchanged(config, request):
            serving = self._versions.current
            serving.lease.hurry()
            return Unchanged(
                version=serving.snapshot.version,
                digest=serving.snapshot.digest,
                rolled_back_to=self._rolled_back_to,
                degraded=self.degraded,
                **attempt.outcome(),
            )
        await self._replace(config, attempt, may_lose=request.to is not None or request.force)
        self._rolled_back_to = request.to
        self._left = self._read if request.to is not None else None
        return Applied(
            version=self.current.version,
            digest=config.digest,
            plan=self._versions.current.plan,
            logging=config.logging,
            rolled_back_to=self._rolled_back_to,
            **attempt.outcome(),
        )

    async def _serve_last_known_good(self, refused: ConfigError) -> ConfigError:
        """Serves the last known good sources in place of files that were refused; returns why files are not served."""
        try:
            kept = self._last_known_good
            if not (sources := await kept() if callable(kept) else kept):
                return refused
            beside_calls = self._calls_may_be_up
            config = await load(
                self.path, self._registry, self._environ, self._tools, beside_calls=beside_calls, contents=sources
            )
            await self._replace(config, Attempt(self.name, LAST_KNOWN_GOOD), may_lose=True)
        except Exception as error:  # noqa: BLE001 - as for the files
            return neither_served(refused, as_config_error(error, self.path), self.path)
        self._read = None
        return refused

    async def _read_files(self) -> SetConfig:
        self._read = None
        beside_calls = self._calls_may_be_up
        config = await load(self.path, self._registry, self._environ, self._tools, beside_calls=beside_calls)
        self._read = _served(config)
        return config

    @property
    def _calls_may_be_up(self) -> bool:
        calls, _speaking = load_of_clocks()  # other sets may have some while this one has no version
        return self.version is not None or calls > 0

    async def _replace(self, config: SetConfig, attempt: Attempt, *, may_lose: bool) -> None:
        """Opens what a new version needs, and has it serve; if it raises, nothing has changed."""
        serving = self._versions.serving
        old, unopened = (serving.snapshot.config, serving.lease.unopened) if serving else (None, ())
        # In a thread: it takes 10 ms if 250 pipelines change, and calls are up.
        plan = await trio.to_thread.run_sync(partial(plan_change, old, config, unopened=unopened))
        attempt.stage = "limit"
        self._versions.check_limit(self.max_live_versions, self.path)
        lease = Lease(self._runtime, self._functions)
        try:
            attempt.stage = "open"
            snapshot = await lease.open(
                config,
                self._registry,
                self._open_s,
                name=self.name,
                version=self._versions.next,
                kept=tuple(serving.lease.components) if serving else (),
                in_part=serving is None,
            )
            attempt.stage = "limit"  # a call may have pinned the serving version meanwhile
            self._versions.check_limit(self.max_live_versions, self.path)
            attempt.stage = "open"
            degraded = lease.degraded
            if serving is not None:
                degraded = check_losses(serving.snapshot, config, lease, may_lose=may_lose)
            self._versions.serve(snapshot, lease, evolve(plan, degraded=degraded), attempt.trigger)
        except BaseException:
            lease.release()
            raise

    def _unchanged(self, config: SetConfig, request: ChangeRequest) -> bool:
        """Whether there is nothing to do; files that say what is served end a rollback."""
        if self.version is None:
            return False
        says = _served(config)
        if request.to is None and self._rolled_back_to is not None and says == self._left and not request.force:
            return True
        same: bool = says == _served(self.current.config)
        if same and request.to is None:
            self._rolled_back_to = self._left = None
        return same

    @asynccontextmanager
    async def _serve(self, *, start: bool) -> AsyncIterator[None]:
        """Carries out requests for as long as the body runs, and then until the last call has ended."""
        failed = True
        try:
            async with open_hidden_nursery() as nursery:
                nursery.start_soon(self._serve_requests)
                nursery.start_soon(self._versions.keep_apologies)
                try:
                    if start:
                        await self._start_or_raise()
                    yield
                    failed = False
                finally:
                    await self._versions.close(wait=not failed)
                    nursery.cancel_scope.cancel()
        finally:
            self._versions.release_all()
            self._queue.abandon()


def _served(config: SetConfig) -> tuple[Any, ...]:
    """All that calls and logs get of a configuration; the digest alone doesn't tell when a secret's value changed."""
    answering = {name: config.pipelines[name] for name in config.reachable}
    return config.digest, config.active_pipeline, config.routes, config.logging, answering


def name_of(tool: str | FunctionTool) -> str:
    """The name by which `tools:` lists a tool."""
    return tool if isinstance(tool, str) else tool.name
