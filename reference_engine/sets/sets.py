"""The engine's pipeline sets: those that its file names, with a version or without, and those on their way out."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import trio

from reference_engine.sets.last_known_good import LastKnownGood
from reference_engine.sets.served_set import RETRY, ServedSet
from reference_engine.settings.environment import read_environ
from reference_engine.upkeep.tasks import GuardedObserver, keep_up
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
    from reference_engine.settings.settings import CurrentSettings
    from reference_engine.watch.task_switch import Switch
    from voicepipe import LoggingSettings, PipelineSet, ReloadOutcome, Runtime, SetEvent


class Sets:
    """The pipeline sets of an engine, each kept open by a task of its own.

    Attributes:
        by_name: the sets that the engine's file names, in its order, with a version or without; always the same
            mapping.
        leaving: sets that were removed, and that calls still hold.
        last_known_good: keeps the files of those that serve.

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
        self.by_name: dict[str, PipelineSet] = {}
        self.leaving: list[PipelineSet] = []
        self._named: dict[str, ServedSet] = {}
        self._current, self._env_file, self._runtime, self._nursery = current, env_file, runtime, nursery
        self._watches, self._logging, self._log = watches, logging, log
        self.last_known_good = LastKnownGood(lambda: current.settings.last_known_good, self.by_name, log)
        self._observers: list[GuardedObserver] = [GuardedObserver(self.last_known_good.observe, log)]
        self._untold: dict[ServedSet, list[SetEvent]] = {}

    @property
    def serving(self) -> dict[str, PipelineSet]:
        """The sets that have a version, and take calls, by name."""
        return {name: pipelines for name, pipelines in self.by_name.items() if pipelines.version is not None}

    def tell(self, *observers: Callable[[SetEvent], None]) -> None:
        """Has what happens to the sets told to these too; what one of them raises touches nobody else."""
        self._observers += [GuardedObserver(observe, self._log) for observe in observers]

    def get(self, name: str) -> ServedSet | None:
        """The set that the engine's file names so, whether it has a version or not."""
        return self._named.get(name)

    def __iter__(self) -> Iterator[ServedSet]:
        return iter(tuple(self._named.values()))

    async def start(self) -> None:
        """Opens all sets of the engine's file, side by side.

        A set of which nothing opens is tried again with backoff, and holds no other back.

        Raises:
            ComponentsUnavailable: nothing opens of any set; with the problems of all of them.
            ConfigError: the files of some can't be served; with the problems of all of them.

        """
        self._nursery.start_soon(keep_up, "last known good", self.last_known_good.keep, self._log)
        for name, path in self._current.settings.pipeline_sets.items():
            self.add(name, path)
        outcomes = await self._ask_all(self._named.values(), self._start)
        rejected = [
            outcome for outcome in outcomes.values() if isinstance(outcome, Rejected) and outcome.version is None
        ]
        away = all(outcome.reason == "open" for outcome in rejected)
        if rejected and not (away and self.serving):
            problems = [problem for outcome in rejected for problem in outcome.problems]
            files = [file for outcome in rejected for file in outcome.files]
            raise ComponentsUnavailable(problems, files) if away else ConfigError(problems, files)
        for outcome in rejected:
            self._log.warning("set.not_open", set=outcome.set, problems=problems_as_data(outcome.problems))
        for name, pipelines in self.serving.items():
            if pipelines.degraded:
                version, missing = pipelines.version, problems_as_data(pipelines.degraded)
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
        served = ServedSet(
            name, path, open_set=self._open, on_open=self._list_sets, watches=self._watches, log=self._log
        )
        self._nursery.start_soon(partial(keep_up, f"pipeline set {name}", partial(self._keep, served), self._log))
        return served

    def admit(self, served: ServedSet) -> None:
        """Names a prepared set, in place of another of that name; it takes calls if it has a version."""
        if served.name in self._named:
            self.remove(served.name)
        self._named[served.name] = served
        served.admit()
        self._list_sets()
        for event in self._untold.pop(served, ()):
            self._observe(served, event)
        self._note_first_version(served)

    def discard(self, served: ServedSet) -> None:
        """Has a prepared set close, which no call has ever had."""
        self._untold.pop(served, None)
        served.remove()

    def remove(self, name: str) -> None:
        """Has a set take no more calls, and close when those that are up have ended."""
        served = self._named.pop(name)
        if served.pipelines is not None and served.version is not None:
            self.leaving.append(served.pipelines)
        served.remove()
        self._list_sets()

    async def reload(self, names: Iterable[str], *, trigger: str, force: bool = False) -> dict[str, ReloadOutcome]:
        """Reloads some sets side by side; a set that was removed meanwhile is left out of what that came to."""
        asked = [served for name in names if (served := self._named.get(name)) is not None]
        return await self.reload_all(asked, trigger=trigger, force=force)

    async def reload_all(
        self, sets: Iterable[ServedSet], *, trigger: str, force: bool = False
    ) -> dict[str, ReloadOutcome]:
        """As `reload`, of sets that may only be prepared."""
        return await self._ask_all(sets, lambda served: served.reload(trigger=trigger, force=force))

    async def _ask_all(
        self, sets: Iterable[ServedSet], ask: Callable[[ServedSet], Awaitable[ReloadOutcome]]
    ) -> dict[str, ReloadOutcome]:
        sets = tuple(sets)
        outcomes: dict[str, ReloadOutcome | None] = {served.name: None for served in sets}

        async def ask_one(served: ServedSet) -> None:
            with suppress(PipelineSetClosed):  # then it is on its way out, and has no outcome
                outcomes[served.name] = await ask(served)

        async with trio.open_nursery() as nursery:
            for served in sets:
                nursery.start_soon(ask_one, served)
        return {name: outcome for name, outcome in outcomes.items() if outcome is not None}

    async def _start(self, served: ServedSet) -> ReloadOutcome:
        outcome = await served.start()
        self._note_first_version(served)
        return outcome

    def environ(self) -> Mapping[str, str]:
        """Where sets look up `${NAME}`, read anew."""
        return read_environ(self._env_file)

    def _open(self, served: ServedSet) -> AbstractAsyncContextManager[PipelineSet]:
        return open_pipeline_set(
            served.path,
            name=served.name,
            runtime=self._runtime,
            environ=self.environ,
            observer=partial(self._observe, served),
            max_live_versions=self._current.settings.max_live_versions,
            last_known_good=lambda: self.last_known_good.sources(served.name, served.path),
            start=False,
        )

    async def _keep(self, served: ServedSet) -> None:
        try:
            await served.keep()
        finally:
            if served.pipelines in self.leaving:
                self.leaving.remove(served.pipelines)
            if served.name not in {*self._named, *(pipelines.name for pipelines in self.leaving)}:
                self._logging.pop(served.name, None)

    def _observe(self, served: ServedSet, event: SetEvent) -> None:
        """Takes in what a set tells its observer, and tells those who look on."""
        if served.dropped:
            return
        if not served.admitted and not isinstance(event, Rejected):
            self._untold.setdefault(served, []).append(event)
            return
        if isinstance(event, Rejected) and event.trigger == RETRY and event.reason == "open":
            return  # that it was tried again in vain is not worth another record
        if isinstance(event, Applied):
            self._logging[event.set] = event.logging
        for tell in self._observers:
            tell(event)
        self._note_first_version(served)

    def _note_first_version(self, served: ServedSet) -> None:
        """Enters what the log and the store of files need of a set as soon as it has a version."""
        pipelines = served.pipelines
        if pipelines is not None and pipelines.version is not None and served.admitted and not served.noted:
            served.noted = True
            self._logging[served.name] = pipelines.current.config.logging
            self.last_known_good.started(pipelines)

    def _list_sets(self) -> None:
        """Brings `by_name` up to date, in the order of the engine's file."""
        self.by_name.clear()
        self.by_name.update(
            (name, served.pipelines) for name, served in self._named.items() if served.pipelines is not None
        )


def conceal_all(sets: Mapping[str, PipelineSet], current: CurrentSettings, runtime: Runtime, text: str) -> str:
    """The text without the secrets of any set that serves, opens or has served lately, and without the engine's own."""
    if (admin := current.settings.admin) is not None and admin.token:
        text = text.replace(str(admin.token), admin.token.source)
    for pipelines in sets.values():
        if pipelines.version is not None:
            settings = next(iter(pipelines.current.config.pipelines.values()))  # a set's pipelines share their secrets
            text = settings.secrets.conceal(text)
    return runtime.conceal(text)
