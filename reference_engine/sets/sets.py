"""The engine's pipeline sets: those that serve, those that are not fit yet, and those on their way out."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

import trio

from reference_engine.sets.last_known_good import LastKnownGood
from reference_engine.sets.served_set import START, ServedSet
from reference_engine.settings.environment import read_environ
from reference_engine.upkeep.tasks import Told, keep_up
from voicepipe import (
    Applied,
    ComponentsUnavailable,
    ConfigError,
    PipelineSetClosed,
    open_pipeline_set,
    problems_as_data,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from reference_engine.log.log import Log
    from reference_engine.settings.settings import CurrentSettings
    from reference_engine.watch.task_switch import Switch
    from voicepipe import LoggingSettings, PipelineSet, Rejected, ReloadOutcome, Runtime, SetEvent


class Sets:
    """All of them, each kept by a task of its own.

    Attributes:
        serving: the sets that take calls, by name; always the same mapping.
        unfit: why the others don't, by name; likewise.
        leaving: sets that were removed, and that calls still hold.
        last_known_good: what is kept of those that serve.

    """

    def __init__(
        self,
        current: CurrentSettings,
        *,
        env_file: Path | None,
        runtime: Runtime,
        nursery: trio.Nursery,
        watches: Switch,
        logging: dict[str, LoggingSettings],
        log: Log,
    ) -> None:
        """Takes what they are opened with and kept by; `logging` is where their logging settings are entered."""
        self.serving: dict[str, PipelineSet] = {}
        self.unfit: dict[str, Rejected] = {}
        self.leaving: list[PipelineSet] = []
        self._named: dict[str, ServedSet] = {}
        self._current, self._env_file, self._runtime, self._nursery = current, env_file, runtime, nursery
        self._watches, self._logging, self._log = watches, logging, log
        self.last_known_good = LastKnownGood(lambda: current.settings.last_known_good, self.serving, log)
        self._observers: list[Told] = [Told(self.last_known_good.observe, log)]
        self._untold: dict[ServedSet, ReloadOutcome | None] = {}

    def tell(self, *observers: Callable[[SetEvent], None]) -> None:
        """Has what happens to the sets told to these too; what one of them raises touches nobody else."""
        self._observers += [Told(observe, self._log) for observe in observers]

    def get(self, name: str) -> ServedSet | None:
        """The set that the engine's file names so, whether it serves or not."""
        return self._named.get(name)

    def __iter__(self) -> Iterator[ServedSet]:
        return iter(tuple(self._named.values()))

    async def start(self) -> None:
        """Opens all sets of the engine's file, side by side.

        A set of which nothing opens is tried again with backoff, and holds no other back.

        Raises:
            ComponentsUnavailable: nothing opens of any set; with the problems of all of them.
            ConfigError: the files of some are not fit; likewise.

        """
        self._nursery.start_soon(keep_up, "last known good", self.last_known_good.keep, self._log)
        for name, path in self._current.settings.pipeline_sets.items():
            self.add(name, path)
        outcomes = await self.reload(self._named, trigger=START)
        rejected = [self.unfit[name] for name in outcomes if name in self.unfit]
        away = all(one.reason == "open" for one in rejected)
        if rejected and not (away and self.serving):
            problems = [problem for one in rejected for problem in one.problems]
            files = [file for one in rejected for file in one.files]
            raise ComponentsUnavailable(problems, files) if away else ConfigError(problems, files)
        for one in rejected:
            self._log.warning("set.not_open", set=one.set, problems=problems_as_data(one.problems))
        for name, pipelines in self.serving.items():
            if pipelines.degraded:
                version, missing = pipelines.current.version, problems_as_data(pipelines.degraded)
                self._log.warning("set.degraded", set=name, version=version, problems=missing)

    def add(self, name: str, path: Path) -> ServedSet:
        """Names a set, which a reload opens."""
        served = self.prepare(name, path)
        self.admit(served)
        return served

    def prepare(self, name: str, path: Path) -> ServedSet:
        """A set that can be opened, and that nobody but the caller knows of until it is admitted.

        What opening it comes to is told when it is admitted, unless it is rejected, which is told at once.
        """
        served = ServedSet(name, path, open_set=self._open, tell=self._tell, watches=self._watches, log=self._log)
        self._nursery.start_soon(partial(keep_up, f"pipeline set {name}", partial(self._keep, served), self._log))
        return served

    def admit(self, served: ServedSet) -> None:
        """Names a prepared set, in place of another of that name; it takes calls if it has been opened."""
        if served.name in self._named:
            self.remove(served.name)
        self._named[served.name] = served
        served.admit()
        if served in self._untold:
            self._tell(served, self._untold.pop(served))

    def discard(self, served: ServedSet) -> None:
        """Has a prepared set close, which no call has ever had."""
        self._untold.pop(served, None)
        served.remove()

    def remove(self, name: str) -> None:
        """Has a set take no more calls, and close when those that are up have ended."""
        served = self._named.pop(name)
        if served.pipelines is not None:
            self.leaving.append(served.pipelines)
        served.remove()
        self._sort_out()

    async def reload(self, names: Iterable[str], *, trigger: str, force: bool = False) -> dict[str, ReloadOutcome]:
        """Reloads some sets side by side; a set that was removed meanwhile is left out of what that came to."""
        asked = [served for name in names if (served := self._named.get(name)) is not None]
        return await self.reload_all(asked, trigger=trigger, force=force)

    async def reload_all(
        self, sets: Iterable[ServedSet], *, trigger: str, force: bool = False
    ) -> dict[str, ReloadOutcome]:
        """As `reload`, of sets that may only be prepared."""
        sets = tuple(sets)
        outcomes: dict[str, ReloadOutcome | None] = {served.name: None for served in sets}

        async def reload(served: ServedSet) -> None:
            with suppress(PipelineSetClosed):  # then it is on its way out, and has no outcome
                outcomes[served.name] = await served.reload(trigger=trigger, force=force)

        async with trio.open_nursery() as nursery:
            for served in sets:
                nursery.start_soon(reload, served)
        return {name: outcome for name, outcome in outcomes.items() if outcome is not None}

    def environ(self) -> Mapping[str, str]:
        """Where sets look up `${NAME}`, read anew."""
        return read_environ(self._env_file)

    @asynccontextmanager
    async def _open(self, name: str, path: Path) -> AsyncIterator[PipelineSet]:
        last_known_good = await self.last_known_good.sources(name, path)
        async with open_pipeline_set(
            path,
            name=name,
            runtime=self._runtime,
            environ=self.environ,
            observer=partial(self._observe, name),
            max_live_versions=self._current.settings.max_live_versions,
            last_known_good=last_known_good,
        ) as pipelines:
            yield pipelines

    async def _keep(self, served: ServedSet) -> None:
        try:
            await served.keep()
        finally:
            if served.pipelines in self.leaving:
                self.leaving.remove(served.pipelines)
            if served.name not in {*self._named, *(pipelines.name for pipelines in self.leaving)}:
                self._logging.pop(served.name, None)

    def _tell(self, served: ServedSet, outcome: ReloadOutcome | None) -> None:
        """Takes note of what opening a set came to."""
        if self._named.get(served.name) is not served:
            if served.pipelines is not None:
                self._untold[served] = outcome
            elif outcome is not None:
                self._observe(served.name, outcome)
            return
        if served.pipelines is not None:
            self._logging[served.name] = served.pipelines.current.config.logging
        self._sort_out()
        if served.pipelines is not None:
            self.last_known_good.started(served.pipelines)
        if outcome is not None:
            self._observe(served.name, outcome)

    def _observe(self, name: str, event: SetEvent) -> None:
        if isinstance(event, Applied):
            self._logging[name] = event.logging
        for tell in self._observers:
            tell(event)

    def _sort_out(self) -> None:
        """Brings the mappings up to date, in the order of the engine's file."""
        self.serving.clear()
        self.unfit.clear()
        for name, served in self._named.items():
            if served.pipelines is not None:
                self.serving[name] = served.pipelines
            elif served.rejected is not None:
                self.unfit[name] = served.rejected


def conceal_all(sets: Mapping[str, PipelineSet], current: CurrentSettings, runtime: Runtime, text: str) -> str:
    """The text without the secrets of any set that serves, opens or has served lately, and without the engine's own."""
    if (admin := current.settings.admin) is not None and admin.token:
        text = text.replace(str(admin.token), admin.token.source)
    for pipelines in sets.values():
        for settings in pipelines.current.config.pipelines.values():
            text = settings.secrets.conceal(text)
            break  # a set's pipelines share them
    return runtime.conceal(text)
