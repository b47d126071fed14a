"""Carries out the changes of a pipeline set, one at a time; the head of `pipeline_set.py` explains how."""

from __future__ import annotations

import logging
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import trio
from attrs import evolve

from voicepipe.clock.clock import load_of_clocks
from voicepipe.errors import ConfigError, Location, PipelineSetClosed, Problem
from voicepipe.pipelines.attempts import Attempt, as_config_error, neither_served
from voicepipe.pipelines.change_queue import ChangeQueue, ChangeRequest
from voicepipe.pipelines.kept_versions import KeptVersion, VersionAgreement
from voicepipe.pipelines.lease import Lease
from voicepipe.pipelines.losses import check_losses
from voicepipe.pipelines.outcome import Applied, ReloadOutcome, SetEvent, Unchanged
from voicepipe.pipelines.plan import plan_change
from voicepipe.pipelines.read_config import ReadConfig
from voicepipe.pipelines.read_in_helper import explain_settings, load, load_with_answer
from voicepipe.pipelines.version_to_keep import version_to_keep

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path
    from typing import NoReturn

    from voicepipe.config.settings import SetConfig
    from voicepipe.pipelines.runtime import Runtime
    from voicepipe.pipelines.set_options import SetOptions, Sources
    from voicepipe.pipelines.versions import Versions

_log = logging.getLogger("voicepipe")

START = "start"
"""The trigger of a start."""

LAST_KNOWN_GOOD = "last known good"
"""The trigger of a first version that is not what the files say."""


class ChangeWorker:
    """Carries out the starts, reloads and rollbacks of one pipeline set, in the order in which they were asked for.

    Args:
        options: the set's file, and what it may name and take.
        versions: the set's versions, which changes add to.
        runtime: opens and shares the components.
        observe: called with the outcome of each change that is news; must not raise.

    """

    def __init__(
        self, options: SetOptions, versions: Versions, runtime: Runtime, observe: Callable[[SetEvent], None]
    ) -> None:
        self.last_attempt: ReloadOutcome | None = None
        """The outcome of the latest reload or rollback, or of a start whose files were rejected; None before that."""
        self.options = options
        """Options of the next change."""
        self._versions = versions
        self._runtime, self._observe = runtime, observe
        self._open_s = options.open_s
        self._queue = ChangeQueue()
        # The configuration of the files, so that a reload knows whether they have changed; None: they were refused.
        self._files_last_read: ReadConfig | None = None
        self._files_at_rollback: tuple[Any, ...] | None = None
        self._rolled_back_to: int | None = None
        self._has_past = False

    async def ask(self, request: ChangeRequest) -> ReloadOutcome:
        """Queues a change, and returns its outcome. Cancelling the waiting does not cancel the change.

        Raises:
            PipelineSetClosed: the set is closing, or closed before the change was carried out.

        """
        name = self.options.name
        if self._versions.closing:
            raise PipelineSetClosed(f"pipeline set {name!r} is closing")
        request = self._queue.add(request)
        await request.done.wait()
        if request.outcome is None:
            raise PipelineSetClosed(f"pipeline set {name!r} closed before the reload was done")
        return request.outcome

    async def start_or_raise(self) -> None:
        """Serves a first version; raises the `ConfigError` that says why there is none."""
        request = ChangeRequest(START, starts=True)
        await self.ask(request)
        if request.refused is not None and self._versions.serving is None:
            raise request.refused

    async def run(self) -> NoReturn:
        """Carries out changes, one at a time, until it is cancelled. Runs once, in a task of its own."""
        while True:
            request = await self._queue.next()
            try:
                request.outcome = outcome = await self._carry_out(request)
                if not request.starts or request.refused is not None:
                    self.last_attempt = outcome
                # A start that serves its files is no news, and one that serves nothing is reported to its caller.
                if not request.starts or (request.refused is not None and self._versions.serving is not None):
                    self._observe(outcome)
            finally:
                request.done.set()
            self._versions.retire_unused()

    async def read(self) -> SetConfig:
        """Returns the configuration of the files as they are now; nothing changes by it."""
        return (await self._load()).config

    async def explain(self, config: SetConfig, pipeline: str) -> dict[str, Any]:
        """Returns the settings of a pipeline of a version's configuration, with the origin of each."""
        options = self.options
        return await explain_settings(
            config,
            pipeline,
            options.registry,
            options.environ,
            options.tool_names,
            template=self._runtime.reading_template,
        )

    def abandon(self) -> None:
        """Wakes all who wait for a change that has not begun: the set is closed."""
        self._queue.abandon()

    async def _carry_out(self, request: ChangeRequest) -> ReloadOutcome:
        attempt = Attempt(self.options.name, request.trigger, to=request.to)
        try:
            return await self._change(request, attempt)
        except Exception as error:  # noqa: BLE001 - a defect in a reload ends neither the set nor its calls
            refused = as_config_error(error, self.options.path)
        if self._versions.serving is None and request.decided is None:
            refused = await self._serve_last_known_good(refused)
        request.refused = refused
        serving = self._versions.serving
        return attempt.rejected(refused, None if serving is None else serving.snapshot.version)

    async def _change(self, request: ChangeRequest, attempt: Attempt) -> ReloadOutcome:
        """Serves the requested configuration, unless it is served already; raises if that is not possible."""
        await self._load_past()
        held = None
        if (decided := request.decided) is not None:
            read = decided.read
            self._files_last_read = read if request.to is None else decided.put_aside
        elif request.kept is not None:
            read = await self._read_kept(request.kept)
        elif request.config is not None:
            read = self._versions.read_of(request.config)
        else:
            read = await self._read_files()
            held = await self._held_rollback(read.config)
        config = read.config
        attempt.digest, attempt.files = config.digest, config.files
        if self._unchanged(config, request):
            serving = self._versions.current
            await self._forget_rollback()
            serving.lease.hurry()
            return Unchanged(
                version=serving.snapshot.version,
                digest=serving.snapshot.digest,
                rolled_back_to=self._rolled_back_to,
                degraded=serving.lease.degraded,
                **attempt.outcome(),
            )
        rolled_back_to = request.to
        if held is None or not await self._serve_held(held, attempt):
            may_lose = request.force or (request.to is not None and decided is None)
            await self._replace(read, attempt, may_lose=may_lose, number=decided.number if decided else None)
        else:
            rolled_back_to, config = held.rolled_back_to, self._versions.current.snapshot.config
        self._note_rollback(rolled_back_to)
        serving = self._versions.current
        return Applied(
            version=serving.snapshot.version,
            digest=config.digest,
            plan=serving.plan,
            logging=config.logging,
            rolled_back_to=self._rolled_back_to,
            **attempt.outcome(),
        )

    async def _serve_last_known_good(self, refused: ConfigError) -> ConfigError:
        """Serves the last known good sources instead of refused files; returns the error of the files."""
        try:
            kept = self.options.last_known_good
            if not (sources := await kept() if callable(kept) else kept):
                return refused
            await self._load_past()
            read = await self._load(sources)
            await self._replace(read, Attempt(self.options.name, LAST_KNOWN_GOOD), may_lose=True)
        except Exception as error:  # noqa: BLE001 - as for the files
            return neither_served(refused, as_config_error(error, self.options.path), self.options.path)
        self._files_last_read = None
        return refused

    async def _read_files(self) -> ReadConfig:
        self._files_last_read = None
        self._files_last_read = read = await self._load()
        return read

    def _note_rollback(self, to: int | None) -> None:
        """Notes that a rollback holds, and the files that it put aside, or that none does."""
        self._rolled_back_to = to
        files = self._files_last_read if to is not None else None
        self._files_at_rollback = None if files is None else _served(files.config)

    async def read_kept(self, kept: KeptVersion) -> SetConfig:
        """Returns the configuration of a version of an earlier process, from its kept files.

        Raises:
            ConfigError: the files can't be read, or are not valid today.

        """
        return (await self._read_kept(kept)).config

    async def _read_kept(self, kept: KeptVersion) -> ReadConfig:
        if self.options.history is None:
            raise AssertionError("versions of earlier processes come from a history")
        try:
            sources = await self.options.history.sources(kept.version)
        except (LookupError, OSError) as error:
            message = f"the files of version {kept.version} are not kept any more: {error}"
            raise ConfigError([Problem(Location.of_whole(kept.path), "", message)]) from error
        return await self._load(sources, kept.path)

    async def _load_past(self) -> None:
        """Learns of the versions of earlier processes, once."""
        if self.options.history is not None and not self._has_past:
            self._versions.go_on(await self.options.history.load())
            self._has_past = True

    async def _held_rollback(self, files: SetConfig) -> KeptVersion | None:
        """Returns the rollback that held when the process before ended, if the files still say what it put aside."""
        last = self._versions.last_of_past
        if last is None or last.put_aside is None:
            return None
        if await trio.to_thread.run_sync(last.fingerprint.matches, files):
            return None
        return last if await trio.to_thread.run_sync(last.put_aside.matches, files) else None

    async def _serve_held(self, held: KeptVersion, attempt: Attempt) -> bool:
        """Serves a rollback of before the restart again; returns False if that is not possible any more."""
        try:
            read = await self._read_kept(held)
            attempt.digest, attempt.files = read.config.digest, read.config.files
            await self._replace(read, attempt, may_lose=True, held=held)
        except ConfigError as error:
            _log.warning("version %d can't be served again, so the files are: %s", held.version, error.problems[0])
            return False
        return True

    async def _forget_rollback(self) -> None:
        """Has it kept that a rollback holds no more, after the files came to say what serves."""
        serving = self._versions.current
        if self._rolled_back_to is None and serving.kept is not None and serving.kept.put_aside is not None:
            kept, config = evolve(serving.kept, put_aside=None), serving.snapshot.config
            async with self._agreeing(kept, serving.read or ReadConfig(config), None, may_lose=True):
                await self._keep(kept, config)
            serving.kept = kept

    async def _load(self, contents: Sources | None = None, path: Path | None = None) -> ReadConfig:
        options = self.options
        if contents is None and options.contents is not None:
            contents = options.contents()
        arguments = path or options.path, options.registry, options.environ, options.tool_names
        if isinstance(options.history, VersionAgreement):  # other processes need it as it was read
            return ReadConfig(
                *await load_with_answer(*arguments, template=self._runtime.reading_template, contents=contents)
            )
        calls, _speaking = load_of_clocks()  # other sets may have some while this one has no version
        beside_calls = self._versions.serving is not None or calls > 0
        template = self._runtime.reading_template if beside_calls else None
        return ReadConfig(await load(*arguments, template=template, contents=contents))

    async def _replace(
        self,
        read: ReadConfig,
        attempt: Attempt,
        *,
        may_lose: bool,
        held: KeptVersion | None = None,
        number: int | None = None,
    ) -> None:
        """Opens a new version, and makes it the serving one; if it raises, nothing has changed."""
        serving, config, history = self._versions.serving, read.config, self.options.history
        old, unopened = (serving.snapshot.config, serving.lease.unopened) if serving else (None, ())
        # In a thread, because it takes 10 ms if 250 pipelines change, and calls are up.
        plan = await trio.to_thread.run_sync(partial(plan_change, old, config, unopened=unopened))
        put_aside = None if attempt.to is None and held is None else self._files_last_read
        kept = None
        if history is not None:
            files = None if put_aside is None else put_aside.config
            kept = await version_to_keep(self._versions, config, attempt, plan, held=held, files=files, number=number)
        number = number or (self._versions.next if kept is None else kept.version)
        limit = partial(self._versions.check_limit, self.options.max_live_versions, self.options.path)
        attempt.stage = "limit"
        limit()
        lease = Lease(self._runtime, self.options.functions)
        attempt.stage = "open"
        async with self._agreeing(kept, read, put_aside, may_lose=may_lose) as agreed:
            with ExitStack() as undo:
                undo.callback(lease.release)
                snapshot = await lease.open(
                    config,
                    self.options.registry,
                    self._open_s,
                    name=self.options.name,
                    version=number,
                    kept=tuple(serving.lease.components) if serving else (),
                    lacking=serving.lease.lacking(serving.snapshot.config) if serving else (),
                    in_part=serving is None,
                )
                degraded = lease.degraded
                if serving is not None:
                    degraded = check_losses(serving.snapshot, config, lease, may_lose=may_lose)
                attempt.stage = "limit"  # a call may have pinned the serving version meanwhile
                limit()
                if kept is not None:
                    attempt.stage = "open"
                    await self._keep(kept, config)
                    if not agreed:  # else others serve it already
                        attempt.stage = "limit"
                        limit()
                plan = evolve(plan, degraded=degraded)
                back_to = attempt.to if kept is None else kept.rolled_back_to
                self._versions.serve(
                    snapshot, lease, plan, attempt.trigger, rolled_back_to=back_to, kept=kept, read=read
                )
                undo.pop_all()

    @asynccontextmanager
    async def _agreeing(
        self, kept: KeptVersion | None, read: ReadConfig, put_aside: ReadConfig | None, *, may_lose: bool
    ) -> AsyncIterator[bool]:
        """Gives whether other processes take part in the change that is made inside."""
        history = self.options.history
        if kept is None or not isinstance(history, VersionAgreement):
            yield False
            return
        async with history.change(kept, read, put_aside, may_lose=may_lose):
            yield True

    async def _keep(self, kept: KeptVersion, config: SetConfig) -> None:
        if self.options.history is not None:
            await self.options.history.keep(kept, config.sources)

    def _unchanged(self, config: SetConfig, request: ChangeRequest) -> bool:
        """Returns True if the configuration is served already; files that have it end a rollback."""
        serving = self._versions.serving
        if serving is None:
            return False
        if request.decided is not None:
            if same := request.decided.number == serving.snapshot.version:
                self._note_rollback(request.to)
            return same
        wanted = _served(config)
        if (
            request.to is None
            and self._rolled_back_to is not None
            and wanted == self._files_at_rollback
            and not request.force
        ):
            return True
        same = bool(wanted == _served(serving.snapshot.config))
        if same and request.to is None:
            self._rolled_back_to = self._files_at_rollback = None
        return same


def _served(config: SetConfig) -> tuple[Any, ...]:
    """Returns all that calls and logs see of a configuration; its digest alone ignores new values of secrets."""
    pipelines = {name: config.pipelines[name] for name in config.reachable}
    return config.digest, config.active_pipeline, config.routes, config.logging, config.redact, pipelines
