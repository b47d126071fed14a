"""A worker's reloads: the leader's are agreed upon with the others, a follower carries out what it is told.

Theory of operation
===================

*Leading* changes nothing in how an engine reloads. Its sets wait in their history (`worker/agreement.py`), and its own
file waits here, in `agree_on_file`, between its second and its third step: everything is open then, and nothing is in
force. What the others need goes along: the settings as they were read, and the sets that were opened for them.

*Following* is being told: of the engine's file with its new sets, or of a version of one set. Those of different sets
are opened side by side, those of one set one after the other, in the order in which they were told. A follower does
not watch files and does not retry; who leads does, and so does the coordinator.

*Becoming the leader* is: watching files, and writing the serving versions to the disk once more, because the leader
before may have ended while it did.
"""

from __future__ import annotations

import pickle
from collections import defaultdict
from contextlib import asynccontextmanager
from functools import partial
from hashlib import sha256
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import trio
from attrs import evolve

from reference_engine.link.messages import (
    ChangeBegun,
    CommitChange,
    FilesReloaded,
    FollowingCaughtUp,
    KeepChange,
    LeadChanges,
    PrepareChange,
    ProposeChange,
    ReloadFiles,
    ReopenFiles,
    VersionLost,
    WithdrawChange,
)
from reference_engine.sets.served_set import ServedSet
from reference_engine.settings.changes import plan_engine_change
from reference_engine.worker.agreement import AgreedVersions, WorkerAgreement
from voicepipe import (
    ConfigError,
    Location,
    PipelineSetClosed,
    Problem,
    Rejected,
    Unchanged,
    decode_config,
    problems_as_data,
    read_in_thread,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from reference_engine.log.log import Log
    from reference_engine.reloads.reloading import Prepared, Reloader
    from reference_engine.sets.set_versions import SetVersions
    from reference_engine.sets.sets import Sets
    from reference_engine.settings.changes import EnginePlan
    from reference_engine.settings.settings import CurrentSettings, EngineSettings
    from reference_engine.watch.task_switch import TaskSwitch
    from reference_engine.worker.agreement import ChangeHere
    from reference_engine.worker.worker_link import WorkerLink
    from voicepipe import ReloadOutcome


class WorkerReloads:
    """The reloads of one worker of several.

    Args:
        link: the worker's end of the link.
        current: the settings in force.
        watches: the switch for watching files, off in a worker that follows.
        log: gets `changes.lead`.

    """

    def __init__(self, link: WorkerLink, *, current: CurrentSettings, watches: TaskSwitch, log: Log) -> None:
        self._reopen: Callable[[], None] = lambda: None
        self._agreement, self._link = WorkerAgreement(f"worker {link.start.number}", link.post), link
        self._current, self._watches, self._log = current, watches, log
        self._sets: Sets | None = None
        self._reloader: Reloader | None = None
        self._histories = WeakKeyDictionary[ServedSet, AgreedVersions]()
        self._locks: defaultdict[str, trio.Lock] = defaultdict(trio.Lock)
        self._told, self._received = trio.open_memory_channel[tuple[Any, bytes]](inf)
        self._agreement.on_lead = self._lead

    def history_of(self, served: ServedSet, history: SetVersions) -> AgreedVersions:
        """Returns the history of one opening of a set, by which all workers agree on its versions."""
        agreed = AgreedVersions(self._agreement, served.name, history, lambda: served.admitted)
        self._histories[served] = agreed
        return agreed

    def lost(self, name: str) -> bool:
        """Has a set that failed be told again what to serve; returns False if this worker leads, and sees to it."""
        if not self._agreement.leads:
            self._link.post(VersionLost(name))
        return not self._agreement.leads

    def watching(self) -> bool:
        """Returns whether this worker watches files, if the settings say so."""
        return self._agreement.leads

    def reopen_all(self) -> None:
        """Opens files of records again, in this worker and in all others."""
        self._reopen()
        self._link.post(ReopenFiles())

    async def start(self, sets: Sets, reloader: Reloader, reopen: Callable[[], None]) -> None:
        """Serves the first versions: what the files say, or what the others serve.

        Args:
            sets: the pipeline sets.
            reloader: reloads the engine's file.
            reopen: opens files of records again, for log rotation.

        Raises:
            ConfigError: this worker leads, and the files can't be served.

        """
        self._sets, self._reloader, self._reopen = sets, reloader, reopen
        reloader.agree, reloader.watching = self.agree_on_file, self.watching
        self._listen()
        await self._agreement.role_known.wait()
        if self._agreement.leads:
            settings = self._current.settings
            if settings.path is not None:
                async with self._propose_file(settings, "start", {}) as here:
                    await self._agreement.commit(here, _nothing)
            await sets.start()
        else:
            sets.follow()
            await self._agreement.caught_up.wait()
            for lock in tuple(self._locks.values()):  # what was committed last is being put in force
                async with lock:
                    pass

    def supervisor_gone(self) -> None:
        """Withdraws every change, because the supervisor has ended."""
        self._agreement.supervisor_gone()

    async def run(self) -> None:
        """Carries out what the supervisor asks for, until it is cancelled."""
        async with trio.open_nursery() as nursery:
            async for message, blob in self._received:
                if isinstance(message, ReloadFiles):
                    nursery.start_soon(self._reload, message)
                else:
                    nursery.start_soon(self._follow, message, blob)
                    await trio.lowlevel.checkpoint()  # it queues for the set's lock before the next one does

    @asynccontextmanager
    async def agree_on_file(
        self, new: EngineSettings, plan: EnginePlan, trigger: str, prepared: list[ServedSet]
    ) -> AsyncIterator[None]:
        """Gives the moment at which the engine's file may be put in force, because all workers are ready to.

        Raises:
            ConfigError: another worker is not ready; with its problems.

        """
        if not plan:
            yield
            return
        async with self._propose_file(new, trigger, {served.name: served for served in prepared}) as here:
            await self._agreement.commit(here, _nothing)
            yield

    @asynccontextmanager
    async def _propose_file(
        self, new: EngineSettings, trigger: str, prepared: Mapping[str, ServedSet]
    ) -> AsyncIterator[ChangeHere]:
        if new.path is None:
            raise AssertionError("an engine's file is read from a file")
        blob, opened = b"", dict[str, dict[str, Any]]()
        for name, served in prepared.items():
            if (first := self._histories[served].opened) is not None:
                part, config = first.read.encode(), first.read.config
                where = {"at": len(blob), "length": len(part), "file": str(config.path)}
                opened[name] = {"version": first.version, "digest": config.digest, **where}
                blob += part
        settings = settings_as_bytes(new, opened)
        digest = sha256(settings).hexdigest()
        proposal = ProposeChange(
            0,
            "engine",
            "",
            trigger,
            file=str(new.path),
            digest=digest,
            aside=len(settings),
            sets=tuple(new.pipeline_sets),
            opened=opened,
        )
        async with self._agreement.leading(proposal, blob + settings, new.path) as here:
            yield here

    def _listen(self) -> None:
        for kind in (
            LeadChanges,
            FollowingCaughtUp,
            PrepareChange,
            ChangeBegun,
            KeepChange,
            CommitChange,
            WithdrawChange,
        ):
            self._link.on(kind, lambda message, _blob: self._agreement.take(message))
        self._link.on(PrepareChange, lambda message, blob: self._told.send_nowait((message, blob)))
        self._link.on(ReloadFiles, lambda message, blob: self._told.send_nowait((message, blob)))
        self._link.on(ReopenFiles, lambda _message, _blob: self._reopen())

    def _lead(self) -> None:
        self._log.info("changes.lead", worker_leads=self._agreement.name)
        self._watches.set(self._current.settings.watch)
        if self._sets is not None:
            self._sets.last_known_good.keep_all()

    async def _reload(self, request: ReloadFiles) -> None:
        if self._reloader is not None:
            await self._reloader.reload(trigger=request.trigger)
        self._link.post(FilesReloaded(request.id))

    async def _follow(self, message: PrepareChange, blob: bytes) -> None:
        async with self._locks[message.set]:
            with self._agreement.following(message) as here:
                if here.withdrawn is not None:
                    return
                try:
                    follow = self._follow_file if message.kind == "engine" else self._follow_set
                    await follow(message, blob, here)
                except PipelineSetClosed:
                    self._agreement.is_ready(here)  # it was removed meanwhile, so there is nothing to do
                except ConfigError as error:
                    self._is_not_ready(message, here, error.problems)
                except Exception as error:
                    self._agreement.is_not_ready(here, [_defect(self._current, message.set, error)])
                    raise

    def _is_not_ready(self, message: PrepareChange, here: ChangeHere, problems: Sequence[Problem]) -> None:
        self._agreement.is_not_ready(here, problems)
        if message.committed and here.withdrawn is None:
            self._log.error(
                "worker.behind", set=message.set, version=message.version, problems=problems_as_data(problems)
            )

    async def _follow_set(self, message: PrepareChange, blob: bytes, here: ChangeHere) -> None:
        if self._sets is None or message.version is None or (served := self._sets.get(message.set)) is None:
            self._agreement.is_ready(here)  # the engine's file names it no more, so there is nothing to do
            return
        outcome = await self._serve(served, message, blob)
        if isinstance(outcome, Rejected):
            self._is_not_ready(message, here, outcome.problems)
        elif isinstance(outcome, Unchanged):
            self._agreement.is_ready(here)

    async def _serve(self, served: ServedSet, message: PrepareChange, blob: bytes) -> ReloadOutcome:
        if self._sets is None or message.version is None:
            raise AssertionError("a set is told a number")
        own = blob[: len(blob) - message.aside]
        read = await decode_config(own, environ=self._sets.environ)
        put_aside = None
        if message.aside:
            put_aside = await decode_config(blob[-message.aside :], environ=self._sets.environ)
        return await self._sets.serve(
            served,
            read,
            version=message.version,
            trigger=message.trigger,
            force=message.force,
            rolled_back_to=message.rolled_back_to,
            put_aside=put_aside,
        )

    async def _follow_file(self, message: PrepareChange, blob: bytes, here: ChangeHere) -> None:
        if self._reloader is None:
            raise AssertionError("changes are followed after the start")
        outcome = await self._reloader.follow(
            message.trigger, partial(self._prepare_file, message, blob), lambda *_change: self._when_all_are_ready(here)
        )
        if outcome.outcome == "rejected":
            self._is_not_ready(message, here, outcome.problems)

    @asynccontextmanager
    async def _when_all_are_ready(self, here: ChangeHere) -> AsyncIterator[None]:
        with here.scope:
            await self._agreement.commit(here)
        if here.scope.cancelled_caught:
            raise here.rejection()
        yield

    async def _prepare_file(self, message: PrepareChange, blob: bytes, prepared: list[ServedSet]) -> Prepared:
        """Opens the sets that the leader has opened for the engine's file; returns its settings."""
        if self._sets is None:
            raise AssertionError("changes are followed after the start")
        path = self._current.settings.path
        if path is None:
            raise AssertionError("an engine's file was read at the start")
        new, opened = await read_in_thread(path, partial(settings_of_bytes, blob[-message.aside :]))
        plan = plan_engine_change(self._current.settings, new, restarts=False)
        outcomes: dict[str, ReloadOutcome] = {}
        for name, where in {} if message.committed else opened.items():  # else each is told by itself
            served = self._sets.prepare(name, new.pipeline_sets[name])
            prepared.append(served)
            one = PrepareChange(message.change, "start", name, message.trigger, version=where["version"])
            outcome = outcomes[name] = await self._serve(served, one, blob[where["at"] :][: where["length"]])
            if isinstance(outcome, Rejected):
                raise ConfigError(outcome.problems)
        return new, plan, outcomes


def settings_as_bytes(settings: EngineSettings, opened: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Returns settings as they were read, for other workers, with what is known of sets that were opened for them."""
    return pickle.dumps((evolve(settings, document=None), opened))


def settings_of_bytes(data: bytes) -> tuple[EngineSettings, Mapping[str, Mapping[str, Any]]]:
    """Returns what `settings_as_bytes` made bytes of, in another worker."""
    settings, opened = pickle.loads(data)  # noqa: S301 - another worker of this engine wrote it
    return settings, opened


def _defect(current: CurrentSettings, name: str, error: Exception) -> Problem:
    """Returns the problem that a failure of this worker's own code is for the others."""
    path = current.settings.pipeline_sets.get(name) or current.settings.path or Path()
    message = f"preparing the change failed with {type(error).__name__}"
    return Problem(Location(path), "", message, "a defect in the engine: please report it")


async def _nothing() -> None:
    """Keeps nothing: the engine's file is on the disk."""
