"""A pipeline set: one YAML file's pipelines over time, replaced while calls are up."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, final

import trio
from attrs import evolve

from voicepipe.components.registry import Registry, installed
from voicepipe.config.settings import TOOLS
from voicepipe.errors import ConfigError, PipelineSetClosed, without_frames
from voicepipe.nurseries import open_hidden_nursery
from voicepipe.pipelines.changes import Attempt, ChangeRequest, defective, neither
from voicepipe.pipelines.loading import load
from voicepipe.pipelines.losses import check_losses
from voicepipe.pipelines.opening import Lease
from voicepipe.pipelines.outcome import Applied, ReloadOutcome, Retired, Unchanged, VersionRecord
from voicepipe.pipelines.plan import plan_change
from voicepipe.pipelines.runtime import Runtime, open_runtime
from voicepipe.pipelines.versions import Versions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping

    from voicepipe.config.settings import SetConfig
    from voicepipe.errors import Problem
    from voicepipe.pipelines.loading import Environ
    from voicepipe.pipelines.snapshot import Snapshot
    from voicepipe.tools.functions import FunctionTool

SetEvent: TypeAlias = ReloadOutcome | Retired
"""What a pipeline set tells its observer."""

OPEN_S = 30.0
"""How long components may take to open before a version is given up."""

MAX_LIVE_VERSIONS = 10
"""How many versions may have components open at once, unless told otherwise."""

LAST_KNOWN_GOOD = "last known good"
"""The trigger of a first version that is not what the files say."""


@final
class PipelineSet:
    """One YAML file's pipelines, over time; made by `open_pipeline_set`.

    Calls pin a version and keep it; `reload` reads the file again and replaces the serving version by one
    reference swap, or leaves it alone.
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
    ) -> None:
        self.path = path
        """The YAML file."""
        self.name = name
        """As logs and metrics call it."""
        self.max_live_versions = max_live_versions
        """How many versions may have components open at once; at the limit a change is rejected."""
        self.last_attempt: ReloadOutcome | None = None
        """How the latest reload or rollback went; None before the first.

        After a start with the last known good sources: how the attempt to serve the files went.
        """
        self._runtime, self._registry, self._open_s = runtime, registry, open_s
        self._environ, self._tools = environ, tuple(map(_name_of, tools))
        self._functions = {tool.name: tool for tool in tools if not isinstance(tool, str)}
        self._observe = runtime.reports.guard(observer or (lambda _event: None))
        self._versions = Versions(name, lambda version: self._observe(Retired(set=name, version=version)))
        self._requests: list[ChangeRequest] = []
        self._asked = trio.Event()
        self._read: tuple[Any, ...] | None = None  # what the files said when they were last read; None: rubbish
        self._left: tuple[Any, ...] | None = None  # what they said when they were rolled back from
        self._rolled_back_to: int | None = None

    @property
    def current(self) -> Snapshot:
        """The version that the next call gets."""
        return self._versions.serving.snapshot

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
        return self._versions.serving.lease.degraded

    @property
    def last_known_good(self) -> bool:
        """Whether the serving version is not what the files said at the start, but what they had said before."""
        return self._versions.serving.trigger == LAST_KNOWN_GOOD

    def config_of(self, version: int) -> SetConfig:
        """What a version in the history was built from.

        Raises:
            UnknownVersion: it is not remembered any more.

        """
        return self._versions.config_of(version)

    @contextmanager
    def pin(self) -> Iterator[Snapshot]:
        """Holds the serving version for one call: whatever is reloaded meanwhile, its components stay open.

        Raises:
            PipelineSetClosed: the set is closing and takes no more calls.

        """
        with self._versions.pin() as snapshot:
            yield snapshot

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
        # Only the last one: what was asked for before a rollback does not stand for what is asked for after it.
        if self._requests and self._requests[-1].to is None:
            self._requests[-1].force |= force
            return await self._answer(self._requests[-1])
        return await self._answer(ChangeRequest(trigger, force=force))

    async def rollback(self, to: int | None = None, *, trigger: str = "api") -> ReloadOutcome:
        """Serves what an earlier version served, as a new version, from what was kept of it.

        It holds until files that say something else than they do now are served, or serve already.

        Args:
            to: that version's number; None: the one before the serving one.
            trigger: what asked for it, for logs and the history.

        Raises:
            UnknownVersion: it is not remembered any more.
            PipelineSetClosed: the set is closing.

        """
        if to is None:
            to = self.current.version - 1
        return await self._answer(ChangeRequest(trigger, to=to, config=self._versions.config_of(to)))

    async def _answer(self, request: ChangeRequest) -> ReloadOutcome:
        if self._versions.closing:
            raise PipelineSetClosed(f"pipeline set {self.name!r} is closing")
        if request not in self._requests:
            self._requests.append(request)
            self._asked.set()
        await request.done.wait()
        if request.outcome is None:
            raise PipelineSetClosed(f"pipeline set {self.name!r} closed before the reload was done")
        return request.outcome

    async def _start(self, last_known_good: Mapping[Path, bytes] | None) -> None:
        """Serves the first version, or raises `ConfigError`."""
        attempt = Attempt(self.name, trigger="start")
        try:
            await self._serve_first(attempt)
        except ConfigError as refused:
            if not last_known_good:
                raise
            try:
                await self._serve_first(Attempt(self.name, LAST_KNOWN_GOOD), last_known_good)
            except ConfigError as error:
                raise neither(refused, error, self.path) from None
            self.last_attempt = attempt.rejected(refused, self.current.version)
            self._observe(self.last_attempt)

    async def _serve_first(self, attempt: Attempt, contents: Mapping[Path, bytes] | None = None) -> None:
        config = await load(
            self.path, self._registry, self._environ, self._tools, beside_calls=False, contents=contents
        )
        attempt.digest, attempt.files, attempt.stage = config.digest, config.files, "open"
        lease = Lease(self._runtime, self._functions)
        snapshot = await lease.open(config, self._registry, self._open_s, name=self.name, version=1, in_part=True)
        plan = evolve(plan_change(None, config), degraded=lease.degraded)
        self._versions.serve(snapshot, lease, plan, attempt.trigger)
        self._read = None if contents else _served(config)

    async def _serve_requests(self) -> None:
        """Carries out the changes that are asked for, one at a time."""
        while True:
            await self._asked.wait()
            self._asked = trio.Event()
            while self._requests:
                request = self._requests.pop(0)
                try:
                    request.outcome = self.last_attempt = await self._attempt(request)
                    self._observe(request.outcome)
                finally:
                    request.done.set()
                self._versions.retire_unused()

    async def _attempt(self, request: ChangeRequest) -> ReloadOutcome:
        """Prepares what is to serve, and commits it if it can be served."""
        attempt = Attempt(self.name, request.trigger, to=request.to)
        lease: Lease | None = None
        try:
            config = request.config or await self._read_files()
            attempt.digest, attempt.files = config.digest, config.files
            if self._unchanged(config, request):
                self._versions.serving.lease.hurry()
                return Unchanged(
                    digest=self.current.digest,
                    rolled_back_to=self._rolled_back_to,
                    degraded=self.degraded,
                    **attempt.outcome(self.current.version),
                )
            serving = self._versions.serving
            old, unopened = serving.snapshot.config, serving.lease.unopened
            # In a thread: it takes 10 ms if 250 pipelines change, and calls are up.
            plan = await trio.to_thread.run_sync(partial(plan_change, old, config, unopened=unopened))
            lease, snapshot = await self._prepare(config, attempt)
            attempt.stage = "open"
            may_lose = request.to is not None or request.force
            plan = evolve(plan, degraded=check_losses(serving.snapshot, config, lease, may_lose=may_lose))
            self._versions.serve(snapshot, lease, plan, request.trigger)
        except Exception as error:  # noqa: BLE001 - a defect in a reload ends neither the set nor its calls
            if lease is not None and lease is not self._versions.serving.lease:
                lease.release()
            # The thread that read the file has frames that know the error: what only the garbage collector frees.
            refused = without_frames(error) if isinstance(error, ConfigError) else defective(self.path, error)
            return attempt.rejected(refused, self.current.version)
        self._rolled_back_to = request.to
        self._left = self._read if request.to is not None else None
        return Applied(
            digest=config.digest,
            plan=self._versions.serving.plan,
            logging=config.logging,
            rolled_back_to=self._rolled_back_to,
            **attempt.outcome(self.current.version),
        )

    async def _read_files(self) -> SetConfig:
        self._read = None
        config = await load(self.path, self._registry, self._environ, self._tools, beside_calls=True)
        self._read = _served(config)
        return config

    async def _prepare(self, config: SetConfig, attempt: Attempt) -> tuple[Lease, Snapshot]:
        """Opens what a new version needs, if there may be one more."""
        attempt.stage = "limit"
        self._versions.check_limit(self.max_live_versions, self.path)
        attempt.stage = "open"
        lease, kept = Lease(self._runtime, self._functions), self._versions.serving.lease.components
        version = self._versions.next
        snapshot = await lease.open(
            config, self._registry, self._open_s, name=self.name, version=version, kept=tuple(kept)
        )
        attempt.stage = "limit"
        try:
            # A call may have come meanwhile, and hold the serving version.
            self._versions.check_limit(self.max_live_versions, self.path)
        except ConfigError:
            lease.release()
            raise
        return lease, snapshot

    def _unchanged(self, config: SetConfig, request: ChangeRequest) -> bool:
        """Whether there is nothing to do; files that say what is served end a rollback."""
        says = _served(config)
        if request.to is None and self._rolled_back_to is not None and says == self._left and not request.force:
            return True
        same: bool = says == _served(self.current.config)
        if same and request.to is None:
            self._rolled_back_to = self._left = None
        return same

    async def _close(self, *, wait: bool) -> None:
        await self._versions.close(wait=wait)

    def _release(self) -> None:
        self._versions.release()
        for request in self._requests:
            request.done.set()


def _served(config: SetConfig) -> tuple[Any, ...]:
    """All that calls and logs get of a configuration; the digest alone doesn't tell when a secret's value changed."""
    answering = {name: config.pipelines[name] for name in config.reachable}
    return config.digest, config.active_pipeline, config.routes, config.logging, answering


def _name_of(tool: str | FunctionTool) -> str:
    return tool if isinstance(tool, str) else tool.name


@asynccontextmanager
async def open_pipeline_set(
    path: str | Path,
    *,
    name: str = "main",
    runtime: Runtime | None = None,
    registry: Registry | None = None,
    environ: Environ = None,
    tools: Iterable[str | FunctionTool] = (),
    observer: Callable[[SetEvent], None] | None = None,
    open_s: float = OPEN_S,
    max_live_versions: int = MAX_LIVE_VERSIONS,
    last_known_good: Mapping[Path, bytes] | None = None,
) -> AsyncIterator[PipelineSet]:
    """A pipeline set that serves its file's pipelines.

    Leaving it refuses new calls and waits for those that hold a version; on an error or a cancellation it
    closes at once.

    Args:
        path: the YAML file.
        name: what logs and metrics call the set.
        runtime: where components are opened and shared; None: one of its own.
        registry: the adapters that the file may name; None: all that are installed.
        environ: where `${NAME}` is looked up, or a function that gives it anew for each reload and may raise
            `ConfigError`; None: the process's environment.
        tools: those of your own, which a pipeline's `tools:` may list by name: functions under `voicepipe.tool`. A
            name alone is one that the file may have, and no call.
        observer: told about each reload and each retired version, synchronously; what it raises is logged once.
        open_s: how long components may take to open, in seconds.
        max_live_versions: how many versions may have components open at once, the serving one and those that
            calls hold; at the limit a reload is rejected.
        last_known_good: the `SetConfig.sources` of a version that was served once; if the file can't be served, the
            set starts with them, `last_attempt` and the observer are told why, and the history says so.

    Raises:
        ConfigError: the file can't be served; it tells every problem with its place.
        ValueError: two tools have one name, or a built-in one's.

    """
    tools = tuple(tools)
    names = [*TOOLS, *map(_name_of, tools)]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"there are several tools of the name {', '.join(sorted(twice))}")
    if runtime is None:
        async with (
            open_runtime() as own,
            open_pipeline_set(
                path,
                name=name,
                runtime=own,
                registry=registry,
                environ=environ,
                tools=tools,
                observer=observer,
                open_s=open_s,
                max_live_versions=max_live_versions,
                last_known_good=last_known_good,
            ) as pipelines,
        ):
            yield pipelines
        return
    pipelines = PipelineSet(
        Path(path),
        name,
        runtime,
        registry=registry or installed(),
        environ=environ,
        tools=tools,
        observer=observer,
        open_s=open_s,
        max_live_versions=max_live_versions,
    )
    await pipelines._start(last_known_good)  # noqa: SLF001 - its other half
    failed = True
    try:
        async with open_hidden_nursery() as nursery:
            nursery.start_soon(pipelines._serve_requests)  # noqa: SLF001
            nursery.start_soon(pipelines._versions.keep_apologies)  # noqa: SLF001
            try:
                yield pipelines
                failed = False
            finally:
                await pipelines._close(wait=not failed)  # noqa: SLF001
                nursery.cancel_scope.cancel()
    finally:
        pipelines._release()  # noqa: SLF001
