"""A pipeline set: the pipelines of one YAML file over time, replaced while calls are up.

Theory of operation
===================

*Versions.* What a set serves is a `Snapshot`: immutable, numbered from 1. `Versions` knows the one that serves, those
that calls still hold, and the latest ones for a rollback. A call pins the serving version for as long as it lasts. All
that a change does to calls is to replace one reference, so a call sees a version whole or not at all.

A set may have no version yet. `open_pipeline_set` then either raises what is wrong (the default), or, with
`start=False`, hands the set out all the same. The reference engine does that, for one bad file must not keep its other
sets from serving. Such a set differs in nothing else: a start, a reload and a retry are requests like any other.

*Requests.* Starts, reloads and rollbacks are requests in one queue (`ChangeQueue`). One task per set
(`ChangeWorker.run`) carries them out, one at a time. Whoever asks waits for the outcome of a request:

    reload ──┐ shared
    reload ──┴──> queue ──> worker ──> read ──> limit ──> open ──> commit ──> Applied
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

*History.* With a `VersionHistory` a version is kept before it serves, and its number is used once, whatever ends the
process; see `kept_versions.py`. Versions of earlier processes are in the history of the set, and can be gone back to.

*Two phases.* Several processes that serve one set agree on each version by a `VersionAgreement`, which is a history
too: one of them reads and decides, the others get what it read (`serve`), and all wait in `keep` until each is ready.

*Last known good.* While no version serves and the files can't be served, the sources of an earlier run are served
instead, if the program has some. The outcome is `Rejected` all the same, and says which version serves.

*Failure.* Whatever an attempt raises becomes a `Rejected`: a `ConfigError` as it is, anything else as a defect, with
its traceback in the log. What an observer raises is logged. So the worker ends only by a defect outside of an
attempt; that ends the set, in the manner of an exception in a nursery.

*Cancellation.* Cancelling one who waits cancels nothing but the waiting. Leaving `open_pipeline_set` refuses new pins
and requests, and waits for the calls that are up, while requests that were made before are still carried out. On an
error or a cancellation nothing is waited for. In the end the worker is cancelled, which releases the lease of the
attempt under way, requests that have no outcome raise `PipelineSetClosed`, and all versions release theirs.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, final

from attrs import evolve

from voicepipe.pipelines.change_queue import ChangeRequest, DecidedVersion
from voicepipe.pipelines.change_worker import LAST_KNOWN_GOOD, START
from voicepipe.pipelines.kept_versions import KeptVersion

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from voicepipe.config.settings import SetConfig
    from voicepipe.errors import Problem
    from voicepipe.pipelines.change_worker import ChangeWorker
    from voicepipe.pipelines.outcome import ReloadOutcome, VersionRecord
    from voicepipe.pipelines.read_config import ReadConfig
    from voicepipe.pipelines.snapshot import Snapshot
    from voicepipe.pipelines.versions import Versions


@final
class PipelineSet:
    """The pipelines of one YAML file over time; `open_pipeline_set` makes one.

    A call pins a version and keeps it. `reload` reads the file again and replaces the serving version by one reference
    swap, or leaves it as it is.
    """

    def __init__(self, name: str, versions: Versions, worker: ChangeWorker) -> None:
        self.name = name
        """The set's name in logs and metrics."""
        self._versions, self._worker = versions, worker

    @property
    def path(self) -> Path:
        """The YAML file. Another one may be assigned: the next reload reads it."""
        return self._worker.options.path

    @path.setter
    def path(self, path: Path) -> None:
        self._worker.options = evolve(self._worker.options, path=path)

    @property
    def max_live_versions(self) -> int:
        """The most versions with open components; at the limit a change is rejected. Another limit may be assigned."""
        return self._worker.options.max_live_versions

    @max_live_versions.setter
    def max_live_versions(self, most: int) -> None:
        self._worker.options = evolve(self._worker.options, max_live_versions=most)

    @property
    def last_attempt(self) -> ReloadOutcome | None:
        """The outcome of the latest reload or rollback; None before the first.

        A start counts only if its files were rejected.
        """
        return self._worker.last_attempt

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
        """The number of versions with open components: the serving one and those that calls hold."""
        return self._versions.live

    @property
    def degraded(self) -> tuple[Problem, ...]:
        """The problems of the serving version: components that are not open yet, apologies that are not recorded."""
        serving = self._versions.serving
        return () if serving is None else serving.lease.degraded

    @property
    def last_known_good(self) -> bool:
        """Whether the serving version is from the last known good sources, because the files were refused."""
        serving = self._versions.serving
        return serving is not None and serving.trigger == LAST_KNOWN_GOOD

    def config_of(self, version: int) -> SetConfig:
        """Returns the configuration that a version in the history was built from.

        Raises:
            UnknownVersion: the version is not remembered, or is of an earlier process: see `read_config_of`.

        """
        return self._versions.config_of(version)

    async def read_config_of(self, version: int) -> SetConfig:
        """Returns the configuration of a version in the history; that of an earlier process is read again.

        Its files are the kept ones, and secrets have the values of today.

        Raises:
            UnknownVersion: the version is not remembered.
            ConfigError: its files can't be read any more, or are not valid today.

        """
        found = self._versions.find(version)
        return await self._worker.read_kept(found) if isinstance(found, KeptVersion) else found

    async def read(self) -> SetConfig:
        """Returns the configuration of the files as they are now, as a reload would read it; nothing changes by it.

        Raises:
            ConfigError: a reload would be rejected, with all problems of the files.

        """
        return await self._worker.read()

    async def explain(self, version: int, pipeline: str) -> dict[str, Any]:
        """Returns all settings of a pipeline of a version, each with its value and where it was set.

        They are what `voicepipe explain --format json` prints: `components` with their `options`, and `settings`, each
        with `path`, `value` and `origin`, and with `file`, `line` and `column` unless it is a default. Secrets are
        shown as they are written. The version's own sources are read again for that, beside calls.

        Args:
            version: the version, of the history.
            pipeline: the pipeline's name.

        Raises:
            UnknownVersion: the version is not remembered.
            ConfigError: its sources can't be read any more.

        """
        return await self._worker.explain(await self.read_config_of(version), pipeline)

    @contextmanager
    def pin(self) -> Iterator[Snapshot]:
        """Pins the serving version for one call: its components stay open, whatever is reloaded meanwhile.

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
        return await self._worker.ask(ChangeRequest(START, starts=True))

    async def reload(self, *, trigger: str = "api", force: bool = False) -> ReloadOutcome:
        """Reads the files, and serves them from the next call on if they are valid and have changed.

        A request is answered by a reload that began to read after it; requests that wait share one. Problems of the
        files are returned as `Rejected`, not raised. Cancelling one who waits does not cancel the reload.

        Args:
            trigger: the name of what asked for it, for logs and the history.
            force: whether to end a rollback although the files have not changed since, and to serve without a component
                that works now if its successor of the same name does not open.

        Raises:
            PipelineSetClosed: the set is closing.

        """
        return await self._worker.ask(ChangeRequest(trigger, force=force))

    async def serve(
        self,
        read: ReadConfig,
        *,
        version: int,
        trigger: str = "api",
        force: bool = False,
        rolled_back_to: int | None = None,
        put_aside: ReadConfig | None = None,
    ) -> ReloadOutcome:
        """Serves a configuration that was read elsewhere, under a number that was decided elsewhere.

        Several processes, or machines, serve the same version so; see `VersionAgreement`. No file is read, and it is
        not asked whether anything has changed: `Unchanged` means that a version of that number serves already. The
        first version may be served so as well, after `start=False`, and is no news to the observer then. Cancelling one
        who waits cancels no change.

        Args:
            read: the configuration, from `read_config` or `decode_config`.
            version: its number, which must be higher than that of all versions of other configurations.
            trigger: the name of what asked for it, for logs and the history.
            force: whether to serve without a component that works now if its successor of the same name does not open.
            rolled_back_to: the earlier version whose configuration it is; None: it is what the files say.
            put_aside: with `rolled_back_to`, what the files say: a reload that reads just that does not end the
                rollback. None: they are invalid.

        Raises:
            PipelineSetClosed: the set is closing.

        """
        decided = DecidedVersion(version, read, put_aside)
        starts = self.version is None
        request = ChangeRequest(trigger, force=force, starts=starts, to=rolled_back_to, decided=decided)
        return await self._worker.ask(request)

    async def rollback(self, to: int | None = None, *, trigger: str = "api") -> ReloadOutcome:
        """Serves the configuration of an earlier version, as a new version; no file is read.

        The rollback lasts until the files change and are reloaded. A version of an earlier process is served from the
        files that the set's `VersionHistory` has kept.

        Args:
            to: the number of the earlier version; None: the one before the serving version.
            trigger: the name of what asked for it, for logs and the history.

        Raises:
            UnknownVersion: the version is not remembered, or no version serves yet.
            PipelineSetClosed: the set is closing.

        """
        if to is None:
            to = self._versions.before_serving()
        found = self._versions.find(to)
        if isinstance(found, KeptVersion):
            return await self._worker.ask(ChangeRequest(trigger, to=to, kept=found))
        return await self._worker.ask(ChangeRequest(trigger, to=to, config=found))
