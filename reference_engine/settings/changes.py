"""Compares two states of `engine.yaml`: the changes as a value, before anything is applied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import fields_dict, frozen

from voicepipe import Problem, Secret

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reference_engine.settings.settings import EngineSettings

_RESTART = "restart the engine to apply it; until then, put the earlier value back"
_AT_ONCE = (
    "max_calls",
    "watch",
    "drain_s",
    "drain_deadline_s",
    "max_live_versions",
    "last_known_good",
    "notify",
    "keep",
)
_AFTER_A_RESTART = (
    "workers",
    "hang_s",
    "control",
    "agent_check",
    "records",
    "records_readable_by",
    "records_spool",
    "name",
    "notify_spool",
    "otel",
    "fleet",
)


@frozen
class EnginePlan:
    """The differences between two states of an engine's file.

    If any of them needs a restart, nothing of the file is applied; the sets are reloaded all the same.
    """

    sets_added: tuple[str, ...] = ()
    """The sets to open, by name."""
    sets_removed: tuple[str, ...] = ()
    """The sets that take no more calls, and close when their last call ends."""
    sets_moved: tuple[str, ...] = ()
    """The sets whose file is another one from now on."""
    listeners_closed: tuple[str, ...] = ()
    """The listeners that take no more calls; calls that are up go on."""
    listeners_answered: tuple[str, ...] = ()
    """The listeners whose next call is answered by another set."""
    changed: tuple[str, ...] = ()
    """Other settings with a new value: `max_calls`, `admin.token`."""
    restart: tuple[Problem, ...] = ()
    """The settings that can't change while the engine runs, each as a problem at its place in the new file."""

    def __bool__(self) -> bool:
        return self != EnginePlan()

    def __str__(self) -> str:
        differences = (
            ("sets added", self.sets_added),
            ("sets removed", self.sets_removed),
            ("sets with another file", self.sets_moved),
            ("listeners closed", self.listeners_closed),
            ("listeners answered by another set", self.listeners_answered),
            ("changed", self.changed),
            ("needs a restart", tuple(problem.path for problem in self.restart)),
        )
        return "; ".join(f"{what}: {', '.join(names)}" for what, names in differences if names) or "nothing"


def plan_engine_change(old: EngineSettings, new: EngineSettings, *, restarts: bool = True) -> EnginePlan:
    """Returns the differences between two states of an engine's file.

    Args:
        old: the settings in force.
        new: the settings that were read; they have a `document`.
        restarts: whether to look for settings that can't change; False: another process has, and there is no document.

    """
    before, after = ({listener.name: listener for listener in settings.listeners} for settings in (old, new))
    changed = [name for name in _AT_ONCE if getattr(old, name) != getattr(new, name)]
    if old.admin and new.admin and old.admin.token != new.admin.token:
        changed.append("admin.token")
    return EnginePlan(
        sets_added=tuple(name for name in new.pipeline_sets if name not in old.pipeline_sets),
        sets_removed=tuple(name for name in old.pipeline_sets if name not in new.pipeline_sets),
        sets_moved=tuple(name for name, path in new.pipeline_sets.items() if old.pipeline_sets.get(name, path) != path),
        listeners_closed=tuple(name for name in before if name not in after),
        listeners_answered=tuple(
            name for name, listener in after.items() if name in before and before[name].set != listener.set
        ),
        changed=tuple(changed),
        restart=tuple(_restarts(old, new)) if restarts else (),
    )


def _restarts(old: EngineSettings, new: EngineSettings) -> Iterator[Problem]:
    before = {listener.name: listener for listener in old.listeners}
    for number, listener in enumerate(new.listeners):
        at = ("listeners", number)
        if was := before.get(listener.name):
            yield from _differences(was, listener, ("type", "max_connections"), at, new)
            if type(was.options) is type(listener.options):  # else the type differs, which says it all
                yield from _differences(was.options, listener.options, tuple(fields_dict(type(was.options))), at, new)
        else:
            yield _problem(new, at, f"a new listener ({listener.name}) can't open while the engine runs")
    yield from _differences(old, new, _AFTER_A_RESTART, (), new)
    if old.admin is not None and new.admin is not None:
        yield from _differences(old.admin, new.admin, ("host", "port"), ("admin",), new)
    elif old.admin != new.admin:
        yield _problem(new, ("admin",), f"can't {'close' if old.admin else 'open'} while the engine runs")


def _differences(
    was: Any, now: Any, names: tuple[str, ...], at: tuple[str | int, ...], new: EngineSettings
) -> Iterator[Problem]:
    for name in names:
        if getattr(was, name) != getattr(now, name):
            values = f"from {_shown(getattr(was, name))} to {_shown(getattr(now, name))}"
            yield _problem(new, (*at, name), f"can't change {values} while the engine runs")


def _shown(value: Any) -> str:
    return value.source if isinstance(value, Secret) else str(value)


def _problem(new: EngineSettings, at: tuple[str | int, ...], message: str) -> Problem:
    if new.document is None:
        raise ValueError("the new settings must be read from a file")
    return new.document.problem(at, message, _RESTART)
