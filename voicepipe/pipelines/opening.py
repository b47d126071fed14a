"""Opens a pipeline set, with a first version or without."""

from __future__ import annotations

from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from voicepipe.components.registry import Registry, installed
from voicepipe.config.settings import TOOLS
from voicepipe.nurseries import open_hidden_nursery
from voicepipe.pipelines.change_worker import ChangeWorker
from voicepipe.pipelines.outcome import Retired, SetEvent
from voicepipe.pipelines.pipeline_set import PipelineSet
from voicepipe.pipelines.runtime import Runtime, open_runtime
from voicepipe.pipelines.set_options import SetOptions
from voicepipe.pipelines.versions import Versions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from voicepipe.pipelines.kept_versions import VersionHistory
    from voicepipe.pipelines.read_in_helper import Environ
    from voicepipe.pipelines.set_options import LastKnownGood, Sources
    from voicepipe.tools.functions import FunctionTool

OPEN_S = 30.0
"""The default time limit of opening the components of a version, in s."""

MAX_LIVE_VERSIONS = 10
"""The default of the most versions with open components."""


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
    last_known_good: LastKnownGood = None,
    history: VersionHistory | None = None,
    contents: Callable[[], Sources | None] | None = None,
    start: bool = True,
) -> AsyncIterator[PipelineSet]:
    """Opens a pipeline set, which serves the pipelines of its file.

    Leaving the context refuses new calls, and waits for calls that hold a version; on an error or a cancellation the
    set closes at once.

    Args:
        path: the YAML file.
        name: the set's name in logs and metrics.
        runtime: opens and shares components; None: the set has a runtime of its own.
        registry: the adapters that the file may name; None: all that are installed.
        environ: the variables for `${NAME}`, or a function that returns them for each reload and may raise
            `ConfigError`; None: the process's environment.
        tools: tools of your own, made with `voicepipe.tool`, which a pipeline may list under `tools:`. A name alone may
            be listed too, but is offered in no call.
        observer: called with each reload and each retired version, synchronously; what it raises is logged once.
        open_s: the time limit of opening the components of a version, in s.
        max_live_versions: the most versions with open components, the serving one and those that calls hold; at the
            limit a reload is rejected.
        last_known_good: the `SetConfig.sources` of a version that was served once, or an async function that gives
            them when they are needed; if the file can't be served and no version serves, the set serves them,
            `last_attempt` and the observer are told why, and the history says so.
        history: keeps the versions beyond the process: their numbers go on after a restart, and a rollback to a version
            of before is possible; a `VersionAgreement` makes several processes serve each version all together; None:
            numbers begin at 1.
        contents: returns contents of files by absolute path, which take the place of those on the disk whenever the
            set is read, as if they had been written there; None, or a function that returns None: nothing does. So a
            program can have its configuration elsewhere, in a database, and models beside the file.
        start: whether to serve a first version before the set is handed out. False: the set is handed out at once,
            without a version (`PipelineSet.version` is None), whatever its file says; `PipelineSet.start` or a reload
            gives it one.

    Raises:
        ConfigError: the file can't be served; it has every problem with its place. Not raised if `start` is False.
        ValueError: two tools have the same name, or a tool has the name of a built-in one.

    """
    tools = tuple(tools)
    names = tuple(tool if isinstance(tool, str) else tool.name for tool in tools)
    if twice := {name for name in names if [*TOOLS, *names].count(name) > 1}:
        raise ValueError(f"there are several tools of the name {', '.join(sorted(twice))}")
    options = SetOptions(
        path=Path(path),
        name=name,
        registry=registry or installed(),
        environ=environ,
        tool_names=names,
        functions={tool.name: tool for tool in tools if not isinstance(tool, str)},
        open_s=open_s,
        max_live_versions=max_live_versions,
        last_known_good=last_known_good,
        history=history,
        contents=contents,
    )
    async with nullcontext(runtime) if runtime is not None else open_runtime() as shared:
        observe = shared.reports.guard(observer or (lambda _event: None))
        versions = Versions(
            name,
            lambda version: observe(Retired(set=name, version=version)),
            (lambda: 0) if history is None else (lambda: history.highest),
        )
        worker = ChangeWorker(options, versions, shared, observe)
        async with _running(worker, versions):
            if start:
                await worker.start_or_raise()
            yield PipelineSet(options.name, versions, worker)


@asynccontextmanager
async def _running(worker: ChangeWorker, versions: Versions) -> AsyncIterator[None]:
    """Carries out changes for as long as the body runs, and, unless it raised, until the last call has ended."""
    failed = True
    try:
        async with open_hidden_nursery() as nursery:
            nursery.start_soon(worker.run)
            nursery.start_soon(versions.keep_apologies)
            try:
                yield
                failed = False
            finally:
                await versions.close(wait=not failed)
                nursery.cancel_scope.cancel()
    finally:
        versions.release_all()
        worker.abandon()
