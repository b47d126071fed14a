"""A pipeline set: one YAML file's pipelines over time, replaced while calls are up."""

from __future__ import annotations

from collections import deque
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, final

import trio
from attrs import define, evolve, field

from voicepipe.config import load_config
from voicepipe.errors import ConfigError, Location, PipelineSetClosed, Problem
from voicepipe.nurseries import open_hidden_nursery
from voicepipe.pipelines.opening import Holding
from voicepipe.pipelines.outcome import Applied, Outcome, Rejected, Retired, Unchanged, VersionRecord
from voicepipe.pipelines.plan import Plan, plan_change, reachable_components
from voicepipe.pipelines.runtime import Runtime, open_runtime
from voicepipe.pipelines.snapshot import Snapshot
from voicepipe.registry import Registry, installed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from voicepipe.config.settings import SetConfig

SetEvent: TypeAlias = Outcome | Retired
"""What a pipeline set tells its observer."""

HISTORY = 10
"""How many versions are remembered."""

OPEN_S = 30.0
"""How long components may take to open before a version is given up."""


@define(eq=False)
class _Version:
    snapshot: Snapshot
    holding: Holding
    applied_at: datetime
    trigger: str
    plan: Plan
    pins: int = 0
    retired: bool = False


@define(eq=False)
class _Request:
    """A reload that was asked for and has not begun to read."""

    trigger: str
    done: trio.Event = field(factory=trio.Event)
    outcome: Outcome | None = None


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
        environ: Mapping[str, str] | None,
        observer: Callable[[SetEvent], None] | None,
        open_s: float,
    ) -> None:
        self.path = path
        """The YAML file."""
        self.name = name
        """As logs and metrics call it."""
        self.last_attempt: Outcome | None = None
        """How the latest reload went; None before the first."""
        self._runtime, self._registry, self._environ, self._open_s = runtime, registry, environ, open_s
        self._observe = observer or (lambda _event: None)
        self._serving: _Version | None = None
        self._history: deque[_Version] = deque()
        self._closing = False
        self._unpinned = trio.Event()
        self._pending: _Request | None = None
        self._asked = trio.Event()

    @property
    def current(self) -> Snapshot:
        """The version that the next call gets."""
        return self._version.snapshot

    @property
    def history(self) -> tuple[VersionRecord, ...]:
        """The latest versions and all that calls still hold, oldest first."""
        return tuple(
            VersionRecord(
                version=version.snapshot.version,
                digest=version.snapshot.digest,
                active_pipeline=version.snapshot.config.active_pipeline,
                applied_at=version.applied_at,
                trigger=version.trigger,
                plan=version.plan,
                calls=version.pins,
                state="serving" if version is self._serving else "retired" if version.retired else "draining",
            )
            for version in self._history
        )

    @contextmanager
    def pin(self) -> Iterator[Snapshot]:
        """Holds the serving version for one call: whatever is reloaded meanwhile, its components stay open.

        Raises:
            PipelineSetClosed: the set is closing and takes no more calls.

        """
        if self._closing:
            raise PipelineSetClosed(f"pipeline set {self.name!r} is closing")
        version = self._version
        version.pins += 1
        try:
            yield version.snapshot
        finally:
            version.pins -= 1
            if version.pins == 0:
                if version is not self._serving:
                    self._retire(version)
                self._unpinned.set()

    async def reload(self, *, trigger: str = "api") -> Outcome:
        """Reads the files and, if they are good and say something new, serves them from the next call on.

        Requests are answered by a reload that began reading after they came; those that wait share one. What
        the files hold never raises: it comes back as `Rejected`. Cancelling one waiter does not cancel the reload.

        Args:
            trigger: what asked for it, for logs and the history.

        Raises:
            PipelineSetClosed: the set is closing.

        """
        if self._closing:
            raise PipelineSetClosed(f"pipeline set {self.name!r} is closing")
        request = self._pending
        if request is None:
            request = self._pending = _Request(trigger)
            self._asked.set()
        await request.done.wait()
        if request.outcome is None:
            raise PipelineSetClosed(f"pipeline set {self.name!r} closed before the reload was done")
        return request.outcome

    @property
    def _version(self) -> _Version:
        if self._serving is None:
            raise AssertionError("a pipeline set is handed out only once it serves")
        return self._serving

    async def _start(self) -> None:
        """Serves the first version, or raises `ConfigError`."""
        config = await self._load()
        holding = Holding(self._runtime)
        await holding.open(config, self._registry, self._open_s)
        self._swap(config, holding, plan_change(None, config), trigger="start")

    async def _serve_reloads(self) -> None:
        """Runs the reloads that are asked for, one at a time."""
        while True:
            await self._asked.wait()
            self._asked = trio.Event()
            request, self._pending = self._pending, None
            if request is None:
                continue
            try:
                request.outcome = self.last_attempt = await self._attempt(request.trigger)
                self._observe(request.outcome)
            finally:
                request.done.set()

    async def _attempt(self, trigger: str) -> Outcome:
        began = trio.current_time()
        serving = self._version

        def attempt() -> dict[str, Any]:
            return {
                "set": self.name,
                "version": self._version.snapshot.version,
                "trigger": trigger,
                "at": datetime.now(UTC),
                "seconds": trio.current_time() - began,
            }

        digest: str | None = None
        try:
            config = await self._load()
            digest = config.digest
            if digest == serving.snapshot.digest and _keys(config) == _keys(serving.snapshot.config):
                return Unchanged(digest=digest, **attempt())
            holding = Holding(self._runtime)
            await holding.open(config, self._registry, self._open_s)
        except ConfigError as error:
            return Rejected(digest=digest, problems=error.problems, **attempt())
        plan = plan_change(serving.snapshot.config, config)
        self._swap(config, holding, plan, trigger)
        return Applied(digest=digest, plan=self._version.plan, logging=config.logging, **attempt())

    async def _load(self) -> SetConfig:
        try:
            return await trio.to_thread.run_sync(
                lambda: load_config(self.path, registry=self._registry, environ=self._environ), abandon_on_cancel=True
            )
        except ConfigError:
            raise
        # An adapter's `check` is somebody else's code, and a reload must never end the process.
        except (Exception, SystemExit) as error:
            raise ConfigError([_defect(self.path, error)]) from error

    def _swap(self, config: SetConfig, holding: Holding, plan: Plan, trigger: str) -> None:
        """Makes a new version serve: one reference changes, and the old one retires when its calls have ended."""
        old = self._serving
        number = old.snapshot.version + 1 if old else 1
        self._serving = _Version(
            snapshot=holding.snapshot(config, self._registry, name=self.name, version=number),
            holding=holding,
            applied_at=datetime.now(UTC),
            trigger=trigger,
            plan=evolve(plan, degraded=tuple(holding.problems.values())),
        )
        self._history.append(self._serving)
        if old is not None and old.pins == 0:
            self._retire(old)
        self._forget()

    def _retire(self, version: _Version) -> None:
        version.retired = True
        version.holding.let_go()
        self._observe(Retired(set=self.name, version=version.snapshot.version))
        self._forget()

    def _forget(self) -> None:
        while len(self._history) > HISTORY and self._history[0].retired:
            self._history.popleft()

    async def _close(self, *, wait: bool) -> None:
        """Refuses new calls; waits for those that are up, unless it is too late for that."""
        self._closing = True
        while wait and any(version.pins for version in self._history):
            self._unpinned = trio.Event()
            await self._unpinned.wait()

    def _let_go(self) -> None:
        for version in self._history:
            if not version.retired:
                version.retired = True
                version.holding.let_go()
        if self._pending is not None:
            self._pending.done.set()


def _keys(config: SetConfig) -> list[str]:
    return [component.key for component in reachable_components(config)]


def _defect(path: Path, error: BaseException) -> Problem:
    return Problem(
        where=Location(path),
        path="",
        message=f"reading it failed with {type(error).__name__}: {error}",
        hint="a defect in voicepipe or in an adapter's check: please report it",
    )


@asynccontextmanager
async def open_pipeline_set(
    path: str | Path,
    *,
    name: str = "main",
    runtime: Runtime | None = None,
    registry: Registry | None = None,
    environ: Mapping[str, str] | None = None,
    observer: Callable[[SetEvent], None] | None = None,
    open_s: float = OPEN_S,
) -> AsyncIterator[PipelineSet]:
    """A pipeline set that serves its file's pipelines.

    Leaving it refuses new calls and waits for those that hold a version; on an error or a cancellation it
    closes at once.

    Args:
        path: the YAML file.
        name: what logs and metrics call the set.
        runtime: where components are opened and shared; None: one of its own.
        registry: the adapters that the file may name; None: all that are installed.
        environ: where `${NAME}` is looked up; None: the process's environment.
        observer: told about each reload and each retired version, synchronously.
        open_s: how long components may take to open, in seconds.

    Raises:
        ConfigError: the file can't be served; it tells every problem with its place.

    """
    if runtime is None:
        async with (
            open_runtime() as own,
            open_pipeline_set(
                path, name=name, runtime=own, registry=registry, environ=environ, observer=observer, open_s=open_s
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
        observer=observer,
        open_s=open_s,
    )
    await pipelines._start()  # noqa: SLF001 - its other half
    failed = True
    try:
        async with open_hidden_nursery() as nursery:
            nursery.start_soon(pipelines._serve_reloads)  # noqa: SLF001
            try:
                yield pipelines
                failed = False
            finally:
                await pipelines._close(wait=not failed)  # noqa: SLF001
                nursery.cancel_scope.cancel()
    finally:
        pipelines._let_go()  # noqa: SLF001
