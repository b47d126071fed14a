"""The pipeline sets of an engine: adds, reloads and removes them, and tells observers what happens to them.

A set is in one of three places. `prepare` makes one that only the caller knows of; `admit` enters it under its name, in
`by_name`; `remove` takes it out, and if calls hold one of its versions it is in `leaving` until they have ended. Each
set has a task of its own from `prepare` on (`ServedSet.keep`).

Observers are told about a prepared set only once it is admitted: `_untold` keeps its events until then, and `discard`
drops them. The exception is a rejection, which is told at once: it is the reason why the set will not be admitted.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Protocol

import trio

from reference_engine.records.version_recording import VersionRecorder
from reference_engine.sets.last_known_good import LastKnownGood
from reference_engine.sets.served_set import RETRY, ServedSet
from reference_engine.sets.set_versions import VersionKeeping
from reference_engine.settings.environment import read_environ
from reference_engine.upkeep.tasks import GuardedObserver, restart_on_failure
from voicepipe import (
    Applied,
    ComponentsUnavailable,
    ConfigError,
    PipelineSetClosed,
    Rejected,
    open_pipeline_set,
    problems_as_data,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from reference_engine.log.log import Log
    from reference_engine.sets.set_versions import SetVersions
    from reference_engine.settings.settings import CurrentSettings
    from reference_engine.watch.task_switch import TaskSwitch
    from voicepipe import (
        LoggingSettings,
        PipelineSet,
        ReadConfig,
        ReloadOutcome,
        Runtime,
        SetEvent,
        VersionHistory,
    )


class SetsOfWorkers(Protocol):
    """How the sets of one worker agree with those of the others."""

    def history_of(self, served: ServedSet, history: SetVersions) -> VersionHistory:
        """Returns the history of one opening of a set, by which all workers agree on its versions."""

    def lost(self, name: str) -> bool:
        """Returns whether somebody else gives a set a version again that a defect has ended."""


class SetSource(Protocol):
    """Has sets read from elsewhere than their files, such as from what a fleet has decided."""

    def decides(self, name: str) -> bool:
        """Returns True if a set is read from here."""
        ...

    def contents(self, name: str) -> Mapping[Path, bytes] | None:
        """Returns files by absolute path that take the place of those on the disk; None: nothing does."""
        ...

    def history(self, name: str, own: VersionHistory) -> VersionHistory:
        """Returns the history for one opening of a set, which may refuse versions; `own` is what it would have."""
        ...


class Sets:
    """The pipeline sets of an engine, each kept open by a task of its own.

    Args:
        current: the settings in force.
        env_file: the file of variables for `${NAME}`; None: the environment only.
        runtime: opens components, and shares them among sets.
        nursery: runs the tasks of the sets.
        watches: the switch for watching files.
        logging: gets the logging settings of each set that serves, by its name.
        log: gets the records of sets.
        recorder: records the versions that serve; None: there is no database of records.
        workers: how several workers agree on versions; None: this process is the whole engine.
        source: what sets are read from instead of their files; None: nothing.

    Attributes:
        by_name: the sets that the engine's file names, in its order, with a version or without; one mapping for life,
            so that other parts may keep a reference to it.
        leaving: removed sets that calls still hold.
        last_known_good: copies the files of the sets that serve.

    """

    def __init__(
        self,
        current: CurrentSettings,
        *,
        env_file: Path | None,
        runtime: Runtime,
        nursery: trio.Nursery,
        watches: TaskSwitch,
        logging: dict[str, LoggingSettings],
        log: Log,
        recorder: VersionRecorder | None = None,
        workers: SetsOfWorkers | None = None,
        source: SetSource | None = None,
    ) -> None:
        self.by_name: dict[str, PipelineSet] = {}
        self.leaving: list[PipelineSet] = []
        self._named: dict[str, ServedSet] = {}
        self._current, self._env_file, self._runtime, self._nursery = current, env_file, runtime, nursery
        self._watches, self._logging, self._log = watches, logging, log
        self._recorder = VersionRecorder(None) if recorder is None else recorder
        self._workers = workers
        self._source = source
        self._versions = VersionKeeping(lambda: current.settings.last_known_good, self._recorder.highest, log)
        self.last_known_good = LastKnownGood(self._versions, self.by_name, log)
        self._observers: list[GuardedObserver] = []
        self._untold: dict[ServedSet, list[SetEvent]] = {}

    @property
    def serving(self) -> dict[str, PipelineSet]:
        """The sets that have a version, and so take calls, by name."""
        return {name: pipelines for name, pipelines in self.by_name.items() if pipelines.version is not None}

    def add_observers(self, *observers: Callable[[SetEvent], None]) -> None:
        """Adds observers of all sets; what one raises is logged, and the others are called all the same."""
        self._observers += [GuardedObserver(observe, self._log) for observe in observers]

    def get(self, name: str) -> ServedSet | None:
        """Returns the set of that name, with a version or without; None if the engine's file names none."""
        return self._named.get(name)

    def __iter__(self) -> Iterator[ServedSet]:
        return iter(tuple(self._named.values()))

    async def start(self) -> None:
        """Opens all sets of the engine's file side by side; returns when each has a version or is rejected.

        If some sets serve and the components of others don't open, the others are tried again with backoff. A set that
        is read from `source` may be rejected: that is logged, and it has no version yet.

        Raises:
            ComponentsUnavailable: all files are valid, but no set has components that open; with all problems.
            ConfigError: the files of a set are invalid; with the problems of all rejected sets.

        """
        self.follow()
        outcomes = await self._request_all(self._named.values(), self._start)
        without = [
            outcome for outcome in outcomes.values() if isinstance(outcome, Rejected) and outcome.version is None
        ]
        # What others have decided may be mended by them while the engine runs.
        rejected = [outcome for outcome in without if not self._is_decided(outcome.set)]
        unavailable = all(outcome.reason == "open" for outcome in rejected)
        if rejected and not (unavailable and self.serving):
            problems = [problem for outcome in rejected for problem in outcome.problems]
            files = [file for outcome in rejected for file in outcome.files]
            raise ComponentsUnavailable(problems, files) if unavailable else ConfigError(problems, files)
        for outcome in without:
            self._log.warning("set.not_open", set=outcome.set, problems=problems_as_data(outcome.problems))
        for name, pipelines in self.serving.items():
            if pipelines.degraded:
                version, missing = pipelines.version, problems_as_data(pipelines.degraded)
                self._log.warning("set.degraded", set=name, version=version, problems=missing)

    def follow(self) -> None:
        """Adds all sets of the engine's file without versions, which another worker will tell."""
        self._nursery.start_soon(restart_on_failure, "last known good", self.last_known_good.keep, self._log)
        self._nursery.start_soon(restart_on_failure, "versions", self._recorder.run, self._log)
        for name, path in self._current.settings.pipeline_sets.items():
            self.add(name, path)

    def add(self, name: str, path: Path) -> ServedSet:
        """Adds a set without a version; a reload gives it one."""
        served = self.prepare(name, path)
        self.admit(served)
        return served

    def prepare(self, name: str, path: Path) -> ServedSet:
        """Returns a new set that only the caller knows of; to be admitted or discarded."""
        served = ServedSet(
            name,
            path,
            open_set=self._open,
            on_open=self._list_sets,
            watches=self._watches,
            log=self._log,
            lost=(lambda _name: False) if self._workers is None else self._workers.lost,
        )
        self._nursery.start_soon(
            partial(restart_on_failure, f"pipeline set {name}", partial(self._keep, served), self._log)
        )
        return served

    def admit(self, served: ServedSet) -> None:
        """Enters a prepared set under its name, in place of another of that name; with a version it takes calls."""
        if served.name in self._named:
            self.remove(served.name)
        self._named[served.name] = served
        served.admit()
        self._list_sets()
        for event in self._untold.pop(served, ()):
            self._observe(served, event)
        self._note_first_version(served)

    def discard(self, served: ServedSet) -> None:
        """Closes a prepared set, and drops what observers were not told of it yet."""
        self._untold.pop(served, None)
        served.remove()

    def remove(self, name: str) -> None:
        """Removes a set: it takes no more calls, and closes when those that hold it have ended."""
        served = self._named.pop(name)
        if served.pipelines is not None and served.version is not None:
            self.leaving.append(served.pipelines)
        served.remove()
        self._list_sets()

    async def reload(self, names: Iterable[str], *, trigger: str, force: bool = False) -> dict[str, ReloadOutcome]:
        """Reloads sets side by side; returns their outcomes by name, without sets that were removed meanwhile."""
        sets = [served for name in names if (served := self._named.get(name)) is not None]
        return await self.reload_all(sets, trigger=trigger, force=force)

    async def reload_all(
        self, sets: Iterable[ServedSet], *, trigger: str, force: bool = False
    ) -> dict[str, ReloadOutcome]:
        """Reloads sets side by side that may be prepared ones; returns their outcomes by name."""
        return await self._request_all(sets, lambda served: served.reload(trigger=trigger, force=force))

    async def _request_all(
        self, sets: Iterable[ServedSet], request: Callable[[ServedSet], Awaitable[ReloadOutcome]]
    ) -> dict[str, ReloadOutcome]:
        sets = tuple(sets)
        outcomes: dict[str, ReloadOutcome | None] = {served.name: None for served in sets}

        async def request_one(served: ServedSet) -> None:
            with suppress(PipelineSetClosed):  # it was removed, and has no outcome
                outcomes[served.name] = await request(served)

        async with trio.open_nursery() as nursery:
            for served in sets:
                nursery.start_soon(request_one, served)
        return {name: outcome for name, outcome in outcomes.items() if outcome is not None}

    async def _start(self, served: ServedSet) -> ReloadOutcome:
        outcome = await served.start()
        self._note_first_version(served)
        return outcome

    async def serve(
        self,
        served: ServedSet,
        read: ReadConfig,
        *,
        version: int,
        trigger: str,
        force: bool = False,
        rolled_back_to: int | None = None,
        put_aside: ReadConfig | None = None,
    ) -> ReloadOutcome:
        """Has a set serve what another worker has read, as `PipelineSet.serve` does; its first version is noted."""
        outcome = await served.serve(
            read,
            version=version,
            trigger=trigger,
            force=force,
            rolled_back_to=rolled_back_to,
            put_aside=put_aside,
        )
        self._note_first_version(served)
        return outcome

    def environ(self) -> Mapping[str, str]:
        """Returns the variables for `${NAME}`, read again from the environment and the file."""
        return read_environ(self._env_file)

    def _open(self, served: ServedSet) -> AbstractAsyncContextManager[PipelineSet]:
        source, own = self._source, self._versions.of(served.name)
        history: VersionHistory = own
        if self._workers is not None:
            history = self._workers.history_of(served, own)
        elif source is not None:
            history = source.history(served.name, own)
        return open_pipeline_set(
            served.path,
            name=served.name,
            runtime=self._runtime,
            environ=self.environ,
            observer=partial(self._observe, served),
            max_live_versions=self._current.settings.max_live_versions,
            last_known_good=lambda: self._last_known_good(served),
            history=history,
            contents=None if source is None else lambda: source.contents(served.name),
            start=False,
        )

    def _is_decided(self, name: str) -> bool:
        return self._source is not None and self._source.decides(name)

    async def _last_known_good(self, served: ServedSet) -> Mapping[Path, bytes] | None:
        """Returns the files to serve if those of a set are invalid; none if others decide what it serves."""
        if self._is_decided(served.name):
            return None
        return await self.last_known_good.sources(served.name, served.path)

    @property
    def paths(self) -> Mapping[str, Path]:
        """The YAML files of the sets in force, by name."""
        return self._current.settings.pipeline_sets

    async def highest(self, name: str) -> int:
        """Returns the highest number that a set of this engine is known to have used."""
        history = self._versions.of(name)
        await history.load()
        return history.highest

    async def _keep(self, served: ServedSet) -> None:
        try:
            await served.keep()
        finally:
            if served.pipelines in self.leaving:
                self.leaving.remove(served.pipelines)
            if served.name not in {*self._named, *(pipelines.name for pipelines in self.leaving)}:
                self._logging.pop(served.name, None)

    def _observe(self, served: ServedSet, event: SetEvent) -> None:
        """Passes an event of a set to the observers, or keeps it while the set is only prepared."""
        if served.dropped:
            return
        if not served.admitted and not isinstance(event, Rejected):
            self._untold.setdefault(served, []).append(event)
            return
        if isinstance(event, Rejected) and event.trigger == RETRY and event.reason == "open":
            return  # an unsuccessful retry needs no further record
        if isinstance(event, Applied):
            self._logging[event.set] = event.logging
            self._record_version(served, event.version)
        for observer in self._observers:
            observer(event)
        self._note_first_version(served)

    def _note_first_version(self, served: ServedSet) -> None:
        """Enters a set's logging settings and has its files copied, once per opening, as soon as it has a version."""
        pipelines = served.pipelines
        if pipelines is not None and pipelines.version is not None and served.admitted and not served.noted:
            served.noted = True
            self._logging[served.name] = pipelines.current.config.logging
            self.last_known_good.started(pipelines)
            self._record_version(served, pipelines.version)

    def _record_version(self, served: ServedSet, number: int) -> None:
        """Has a version recorded, before a call gets it."""
        if (pipelines := served.pipelines) is not None:
            for record in pipelines.history:
                if record.version == number and not record.earlier_run:
                    self._recorder.observe(pipelines, record)

    def _list_sets(self) -> None:
        """Updates `by_name`, in the order of the engine's file."""
        self.by_name.clear()
        self.by_name.update(
            (name, served.pipelines) for name, served in self._named.items() if served.pipelines is not None
        )


def conceal_all(sets: Mapping[str, PipelineSet], current: CurrentSettings, runtime: Runtime, text: str) -> str:
    """Returns the text without secrets: of sets that serve, open or served lately, and of the engine's file."""
    if (admin := current.settings.admin) is not None and admin.token:
        text = text.replace(str(admin.token), admin.token.source)
    for pipelines in sets.values():
        if pipelines.version is not None:
            settings = next(iter(pipelines.current.config.pipelines.values()))  # a set's pipelines share their secrets
            text = settings.secrets.conceal(text)
    return runtime.conceal(text)
