"""Reloads the engine's file first, then its sets side by side, whether or not that file was accepted.

Theory of operation
===================

*Requests* come from SIGHUP (`lifecycle/signals.py`), from the control (`control/app.py`) and from the watch of the
engine's file. All call `Reloader.reload`, or request its first half. The second half, the sets, is theirs: each
`ServedSet` reads, checks and opens by itself, so that neither a slow nor a rejected set delays another.

*The engine's file is all or nothing.* Its reload (`_reload_file`) has three steps:

1. Read the file and compare it with the settings in force (`settings/changes.py`). What can't change while the engine
   runs, such as a port, makes the whole file `rejected`, each such key a problem at its place.
2. Open the sets without which a listener would not be answered (`_open_needed_sets`). A set that is new, or that gets
   another file, is *prepared*: opened beside everything else, and known to nobody. If one can't be opened, the file is
   rejected, the prepared sets are discarded, and nothing has changed.
   Several workers agree then (`agree`): each of them has carried out these two steps.
3. Put it in force (`_put_in_force`): replace the settings, close and re-route listeners, add, move and remove sets.
   There is no `await` and nothing that can fail in this step, so no call sees half of it.

Sets that no listener needs at once are only added in step 3. The reload of the sets, which follows, opens them, and
each that can't be served is rejected by itself.

*Sharing.* Requests that come while the engine's file is read share the next reading (`coalescing.py`); the same holds
for each set. Sets that step 2 has opened are not reloaded once more by the same request: `opened` of the outcome has
theirs.

*Watching.* The watch of the engine's file reloads that file only. It reloads the sets as well if the file was applied,
or if the variables of `--env-file` have changed, because any `${NAME}` may depend on them. Each set watches its own
files.

*Failures.* A `ConfigError` is a rejection. Any other exception is a defect of the engine; it is logged with its
traceback, and is a rejection too. A reload never ends the process.
"""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias

import trio

from reference_engine.reloads.coalescing import CoalescingQueue
from reference_engine.reloads.outcomes import EngineOutcome, ReloadResult
from reference_engine.settings.changes import EnginePlan, plan_engine_change
from reference_engine.settings.environment import environ_state
from reference_engine.upkeep.tasks import GuardedObserver, restart_on_failure
from reference_engine.watch.watching import reload_on_changes
from voicepipe import ConfigError, Location, Problem, Rejected, absolute_path, read_in_thread

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from reference_engine.log.log import Log
    from reference_engine.sets.served_set import ServedSet
    from reference_engine.sets.sets import Sets
    from reference_engine.settings.environment import EnvironState
    from reference_engine.settings.run_options import RunOptions
    from reference_engine.settings.settings import CurrentSettings, EngineSettings
    from reference_engine.watch.task_switch import TaskSwitch
    from voicepipe import Listener, ReloadOutcome


Prepared: TypeAlias = "tuple[EngineSettings, EnginePlan, dict[str, ReloadOutcome]]"
"""Settings that are about to be in force, their differences, and the outcomes of sets that were opened for them."""

Agree: TypeAlias = "Callable[[EngineSettings, EnginePlan, str, list[ServedSet]], AbstractAsyncContextManager[object]]"
"""Takes settings, their differences, the cause and the sets that were prepared."""


class Reloader:
    """Reloads the engine's file and its sets.

    Args:
        options: the command line, which takes precedence over the file.
        environ: the variables that the settings in force were read with.
        current: the settings in force; a reload replaces them.
        sets: the pipeline sets.
        listeners: the open listeners by name.
        watches: switched by `watch`.
        observers: called with each outcome of the engine's file.
        reopen: called at each reload that is requested, so that log rotation can use it: opens files of records again.
        log: gets `upkeep.failed` for a defect, and `watch.failed`.

    Attributes:
        last_attempt: the last outcome of the engine's file; None before its first reload, and without such a file.
        agree: gives the moment at which the engine's file may be put in force; several workers agree on it.
        watching: returns whether files are watched here if `watch` says so; of several workers only one does.

    """

    def __init__(
        self,
        options: RunOptions,
        environ: Mapping[str, str],
        current: CurrentSettings,
        *,
        sets: Sets,
        listeners: Mapping[str, Listener],
        watches: TaskSwitch,
        observers: Sequence[Callable[[EngineOutcome], None]],
        reopen: Callable[[], None] = lambda: None,
        log: Log,
    ) -> None:
        self.last_attempt: EngineOutcome | None = None
        self.agree: Agree = lambda *_change: nullcontext()
        self.watching: Callable[[], bool] = lambda: True
        self._options, self._current, self._sets = options, current, sets
        self._listeners, self._watches = listeners, watches
        self._observers, self._log = [GuardedObserver(observe, log) for observe in observers], log
        self._reopen = reopen
        self._queue = CoalescingQueue(self._reload_file)
        self._environ: EnvironState = environ
        self._rejected_files: tuple[Path, ...] = ()  # files of the last attempt, if it was rejected

    async def serve(self) -> None:
        """Carries out requests, and watches the engine's file while `watch` is on; until it is cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(restart_on_failure, "reload of the engine's file", self._queue.serve, self._log)
            nursery.start_soon(
                restart_on_failure,
                "watch of the engine's file",
                partial(self._watches.while_on, self._watch),
                self._log,
            )

    async def reload(self, *, trigger: str, force: bool = False) -> ReloadResult:
        """Reloads the engine's file, then all sets side by side; returns when the last one is done.

        Cancelling it cancels only the waiting.

        Args:
            trigger: the cause, for logs and the history.
            force: ends rollbacks, and accepts the loss of components that work now.

        """
        self._reopen()
        engine = await self._queue.request(trigger) if self._current.settings.path is not None else None
        known = dict(engine.opened) if engine else {}
        names = tuple(self._current.settings.pipeline_sets)
        known |= await self._sets.reload([name for name in names if name not in known], trigger=trigger, force=force)
        return ReloadResult(engine, tuple(known[name] for name in names if name in known))

    async def _reload_file(self, trigger: str) -> EngineOutcome:
        """Reads the engine's file and puts it in force, or rejects it as a whole."""

        async def prepare(prepared: list[ServedSet]) -> Prepared:
            new = await read_in_thread(self._options.file, self._options.load_again)
            plan = plan_engine_change(self._current.settings, new)
            if plan.restart:
                raise ConfigError(plan.restart)
            return new, plan, await self._open_needed_sets(new, plan, trigger, prepared)

        return await self.follow(trigger, prepare, self.agree)

    async def follow(
        self, trigger: str, prepare: Callable[[list[ServedSet]], Awaitable[Prepared]], agree: Agree
    ) -> EngineOutcome:
        """Puts new settings in force, wherever they are from, or rejects them as a whole.

        Args:
            trigger: the cause.
            prepare: returns the settings with what was opened for them; it adds sets that it prepares to the list.
            agree: gives the moment at which they may be put in force.

        """
        began = trio.current_time()
        opened: dict[str, ReloadOutcome] = {}
        plan = EnginePlan()
        problems: tuple[Problem, ...] = ()
        prepared: list[ServedSet] = []
        try:
            new, plan, opened = await prepare(prepared)
            async with agree(new, plan, trigger, prepared):
                self._put_in_force(new, plan, prepared)
        except ConfigError as error:
            outcome: Literal["applied", "unchanged", "rejected"] = "rejected"
            plan, problems, self._rejected_files = EnginePlan(), error.problems, error.files
        except Exception as error:  # noqa: BLE001 - the boundary of a reload
            self._log.error(
                "upkeep.failed", task="reload of the engine's file", reason=_format_error(error), exc_info=error
            )
            outcome, plan, problems = "rejected", EnginePlan(), (_defect(self._options.file, error),)
        else:
            outcome = "applied" if plan else "unchanged"
            self._rejected_files = ()
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
        for observer in self._observers:
            observer(self.last_attempt)
        return self.last_attempt

    async def _open_needed_sets(
        self, new: EngineSettings, plan: EnginePlan, trigger: str, prepared: list[ServedSet]
    ) -> dict[str, ReloadOutcome]:
        """Opens the sets that listeners are to be answered by and that do not serve yet; returns their outcomes.

        Args:
            new: the settings that were read.
            plan: their differences from those in force.
            trigger: the cause.
            prepared: gets the sets that are opened beside those in force: new ones, and ones with another file.

        Raises:
            ConfigError: a set can't be served.

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
            for problem in (_unserved_set(new, new.listeners.index(listener)), *outcome.problems)
        ]
        if problems:
            raise ConfigError(problems)
        return outcomes

    def _put_in_force(self, new: EngineSettings, plan: EnginePlan, prepared: list[ServedSet]) -> None:
        """Applies the settings: nothing here can fail, and there is no `await`, so no call sees half of it."""
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
        self._watches.set(new.watch and self.watching())
        if "last_known_good" in plan.changed:
            self._sets.last_known_good.keep_all()

    async def _watch(self) -> None:
        """Watches the engine's file and the file of variables; sets watch their own files."""
        if self._watched_files():
            await reload_on_changes(self._watched_files, self._reload_what_changed, self._log)

    def _watched_files(self) -> set[Path]:
        env_file = self._options.env_file
        return {*self._current.settings.files, *self._rejected_files, *([absolute_path(env_file)] if env_file else [])}

    async def _reload_what_changed(self) -> None:
        settings = self._current.settings
        engine = await self._queue.request("watch") if settings.path is not None else None
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


def _unserved_set(new: EngineSettings, number: int) -> Problem:
    document, name = new.document, new.listeners[number].set
    if document is None:
        raise AssertionError("an engine's file is read from a file")
    message = f'"{name}" can\'t be served yet, so nobody would answer'
    hint = "correct the set's file, whose problems follow, then reload"
    return document.problem(("listeners", number, "set"), message, hint)


def _format_error(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _defect(path: Path, error: Exception) -> Problem:
    message = f"reading it failed with {_format_error(error)}"
    return Problem(Location(path), "", message, "a defect in the engine: please report it")
