"""Reloads: the engine's file first, then its sets side by side, whatever became of that file."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Literal

import trio

from reference_engine.reloads.coalescing import Coalesced
from reference_engine.reloads.outcomes import EngineOutcome, Reloaded
from reference_engine.settings.changes import EnginePlan, plan_engine_change
from reference_engine.settings.environment import environ_state
from reference_engine.upkeep.tasks import GuardedObserver, keep_up
from reference_engine.watch.watching import reload_on_changes
from voicepipe import ConfigError, Location, Problem, Rejected, absolute_path, read_in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from reference_engine.log.log import Log
    from reference_engine.sets.served_set import ServedSet
    from reference_engine.sets.sets import Sets
    from reference_engine.settings.environment import EnvironState
    from reference_engine.settings.run_options import RunOptions
    from reference_engine.settings.settings import CurrentSettings, EngineSettings
    from reference_engine.watch.task_switch import Switch
    from voicepipe import AudioSocketListener, ReloadOutcome


class Reloading:
    """Reads the engine's file and those of its sets again when it is asked to.

    Attributes:
        last_attempt: how the engine's file fared last; None before its first reload, and if there is none.

    """

    def __init__(
        self,
        options: RunOptions,
        environ: Mapping[str, str],
        current: CurrentSettings,
        *,
        sets: Sets,
        listeners: Mapping[str, AudioSocketListener],
        watches: Switch,
        observers: Sequence[Callable[[EngineOutcome], None]],
        reopen: Callable[[], None] = lambda: None,
        log: Log,
    ) -> None:
        """Takes what was asked for on the command line, what is in force, and what a change of that acts on.

        `observers` are told how the engine's file fares, each time. `reopen` is called at each reload
        that somebody asks for: files that were rotated are opened anew.
        """
        self.last_attempt: EngineOutcome | None = None
        self._options, self._current, self._sets = options, current, sets
        self._listeners, self._watches = listeners, watches
        self._observers, self._log = [GuardedObserver(observe, log) for observe in observers], log
        self._reopen = reopen
        self._file = Coalesced(self._read_file)
        self._environ: EnvironState = environ
        self._refused: tuple[Path, ...] = ()  # what the engine's file could not be read from

    async def serve(self) -> None:
        """Does what is asked for, and, where that is wanted, follows the engine's file; until it is cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep_up, "reload of the engine's file", self._file.serve, self._log)
            nursery.start_soon(
                keep_up, "watch of the engine's file", partial(self._watches.while_on, self._watch), self._log
            )

    async def reload(self, *, trigger: str, force: bool = False) -> Reloaded:
        """Reads everything again.

        Requests that come while the engine's file or a set is read share the next reading of it. A set that is slow
        to open holds no other back.
        """
        self._reopen()
        engine = await self._file.ask(trigger) if self._current.settings.path is not None else None
        known = dict(engine.opened) if engine else {}
        names = tuple(self._current.settings.pipeline_sets)
        known |= await self._sets.reload([name for name in names if name not in known], trigger=trigger, force=force)
        return Reloaded(engine, tuple(known[name] for name in names if name in known))

    async def _read_file(self, trigger: str) -> EngineOutcome:
        """Reads the engine's file, and puts in force what it says if all of that can be."""
        began = trio.current_time()
        opened: dict[str, ReloadOutcome] = {}
        plan = EnginePlan()
        problems: tuple[Problem, ...] = ()
        prepared: list[ServedSet] = []
        try:
            new = await read_in_thread(self._options.file, self._options.load_again)
            plan = plan_engine_change(self._current.settings, new)
            if plan.restart:
                raise ConfigError(plan.restart)  # noqa: TRY301 - one fate for all that is wrong with it
            opened = await self._open_for_listeners(new, plan, trigger, prepared)
            self._put_in_force(new, plan, prepared)
        except ConfigError as error:
            outcome: Literal["applied", "unchanged", "rejected"] = "rejected"
            plan, problems, self._refused = EnginePlan(), error.problems, error.files
        except Exception as error:  # noqa: BLE001 - a reload never ends the process, whatever the file holds
            self._log.error("upkeep.failed", task="reload of the engine's file", reason=_named(error), exc_info=error)
            outcome, plan, problems = "rejected", EnginePlan(), (_defect(self._options.file, error),)
        else:
            outcome = "applied" if plan else "unchanged"
            self._refused = ()
        finally:
            for served in prepared:
                self._sets.discard(served)
        self.last_attempt = EngineOutcome(
            outcome=outcome,
            trigger=trigger,
            at=datetime.now(UTC),
            seconds=trio.current_time() - began,
            plan=plan,
            problems=problems,
            opened=opened,
        )
        for tell in self._observers:
            tell(self.last_attempt)
        return self.last_attempt

    async def _open_for_listeners(
        self, new: EngineSettings, plan: EnginePlan, trigger: str, prepared: list[ServedSet]
    ) -> dict[str, ReloadOutcome]:
        """Opens those sets that do not serve yet and that are to answer calls: without them no call would be.

        Sets that are not in force yet, and those that are to have another file, are entered in `prepared`: nobody
        knows of them until the file is put in force, and those that are in force stay as they are.

        Raises:
            ConfigError: some can't be served; nothing of the file is put in force then.

        """
        moved = [listener for listener in new.listeners if listener.name in plan.listeners_answered]
        needed = dict.fromkeys(listener.set for listener in moved if listener.set not in self._sets.serving)
        to_open: list[ServedSet] = []
        for name in needed:
            served = self._sets.get(name)
            if served is None or served.path != new.pipeline_sets[name]:
                served = self._sets.prepare(name, new.pipeline_sets[name])
                prepared.append(served)
            to_open.append(served)
        outcomes = await self._sets.reload_all(to_open, trigger=trigger)
        problems = [
            problem
            for listener in moved
            if isinstance(outcome := outcomes.get(listener.set), Rejected)
            for problem in (_unanswered(new, new.listeners.index(listener)), *outcome.problems)
        ]
        if problems:
            raise ConfigError(problems)
        return outcomes

    def _put_in_force(self, new: EngineSettings, plan: EnginePlan, prepared: list[ServedSet]) -> None:
        """From here on there is nothing that could fail, and no step between that a call could see."""
        self._current.settings = new
        for name in plan.listeners_closed:
            self._listeners[name].close()
        for name in plan.sets_removed:
            self._sets.remove(name)
        while prepared:
            self._sets.admit(prepared.pop())
        for name in plan.sets_added:
            if self._sets.get(name) is None:
                self._sets.add(name, new.pipeline_sets[name])
        for served in self._sets:
            served.move(new.pipeline_sets[served.name])
        for pipelines in self._sets.by_name.values():
            pipelines.max_live_versions = new.max_live_versions
        self._watches.turn(new.watch)
        if "last_known_good" in plan.changed:
            self._sets.last_known_good.keep_all()

    async def _watch(self) -> None:
        """Follows the engine's file and that of the environment; the sets' own watches follow theirs."""
        if self._files():
            await reload_on_changes(self._files, self._reload_what_changed, self._log)

    def _files(self) -> set[Path]:
        env_file = self._options.env_file
        return {*self._current.settings.files, *self._refused, *([absolute_path(env_file)] if env_file else [])}

    async def _reload_what_changed(self) -> None:
        settings = self._current.settings
        engine = await self._file.ask("watch") if settings.path is not None else None
        environ = await self._read_environ()
        if environ != self._environ or (engine is not None and engine.outcome == "applied"):
            self._environ = environ
            opened = engine.opened if engine else {}
            names = [name for name in self._current.settings.pipeline_sets if name not in opened]
            await self._sets.reload(names, trigger="watch")

    async def _read_environ(self) -> EnvironState:
        env_file = self._options.env_file
        try:
            return await read_in_thread(env_file or self._options.file, partial(environ_state, env_file))
        except ConfigError as error:
            return error.problems


def _unanswered(new: EngineSettings, number: int) -> Problem:
    document, name = new.document, new.listeners[number].set
    if document is None:
        raise AssertionError("an engine's file is read from a file")
    message = f'"{name}" can\'t be served yet, so nobody would answer'
    return document.problem(("listeners", number, "set"), message, "mend the set's file, as told below, then reload")


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _defect(path: Path, error: Exception) -> Problem:
    message = f"reading it failed with {_named(error)}"
    return Problem(Location(path), "", message, "a defect in the engine: please report it")
