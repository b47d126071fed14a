"""Observers that raise: what is reported of them, how often, and under which name."""

from __future__ import annotations

import logging
from functools import partial
from unittest.mock import Mock

import pytest

from voicepipe.components.observers import LOG, ObserverReports, name_of

HERE = __name__


def observe(*_args, **_kwargs):
    raise ValueError("a bug")


class Watcher:
    """An observer with a state."""

    def __init__(self):
        self.seen = []

    def observe(self, event):
        self.seen.append(event)
        raise ValueError(event)

    def __call__(self, event):
        self.observe(event)

    @classmethod
    def of_all(cls, event):
        raise ValueError(event)

    @staticmethod
    def of_any(event):
        raise ValueError(event)


class Special(Watcher):
    """A subclass."""


async def later(event):
    raise ValueError(event)


def local():
    def observe(_event):
        raise ValueError("a bug")

    return observe


NAMES = {
    "function": (observe, f"{HERE}.observe"),
    "local function": (local(), f"{HERE}.local.<locals>.observe"),
    "lambda": (lambda _event: 1 / 0, f"{HERE}.<lambda>"),
    "method": (Watcher().observe, f"{HERE}.Watcher.observe"),
    "inherited method": (Special().observe, f"{HERE}.Watcher.observe"),
    "class method": (Watcher.of_all, f"{HERE}.Watcher.of_all"),
    "static method": (Watcher.of_any, f"{HERE}.Watcher.of_any"),
    "callable object": (Watcher(), f"{HERE}.Watcher"),
    "callable object of a subclass": (Special(), f"{HERE}.Special"),
    "partial": (partial(observe, 1), f"{HERE}.observe"),
    "partial of a partial": (partial(partial(observe, 1), 2), f"{HERE}.observe"),
    "partial of a method": (partial(Watcher().observe), f"{HERE}.Watcher.observe"),
    "async function": (later, f"{HERE}.later"),
    "mock": (Mock(side_effect=ValueError), "unittest.mock.Mock"),
    "built-in method": ([].remove, "list.remove"),
}


@pytest.fixture
def reports(caplog):
    caplog.set_level(logging.ERROR, LOG.name)
    return lambda: [record for record in caplog.records if record.name == LOG.name]


@pytest.mark.parametrize(("observer", "name"), NAMES.values(), ids=NAMES)
def test_it_is_named_and_reported_once(reports, observer, name):
    assert name_of(observer) == name
    guarded = ObserverReports().guard(observer)
    for event in range(1000):
        guarded(event)
    (report,) = reports()
    assert report.levelno == logging.ERROR
    assert report.observer == name
    assert f"the observer {name} raised " in report.getMessage()
    assert report.exc_info[1] is not None


def test_each_type_of_exception_is_one_report(reports):
    errors = [
        ValueError(1),
        ValueError(2),
        KeyError("a"),
        SystemExit(3),
        ExceptionGroup("", [OSError()]),
        KeyError("b"),
    ]

    def observe(_event):
        raise errors.pop(0)

    guarded = ObserverReports().guard(observe)
    for event in range(len(errors)):
        guarded(event)
    assert [type(report.exc_info[1]) for report in reports()] == [ValueError, KeyError, SystemExit, ExceptionGroup]


def test_two_observers_of_one_name_are_two(reports):
    made = ObserverReports()
    for observer in (lambda _event: 1 / 0), (lambda _event: 2 / 0):
        guarded = made.guard(observer)
        guarded(1)
        guarded(2)
    assert len(reports()) == 2


def test_the_observer_of_each_call_is_one_observer(reports):
    made = ObserverReports()
    for _call in range(50):
        made.guard(local())("event")
        made.guard(partial(Watcher().observe))("event")
    assert [report.observer for report in reports()] == [f"{HERE}.local.<locals>.observe", f"{HERE}.Watcher.observe"]


def test_it_goes_on_being_told(reports):
    watcher = Watcher()
    guarded = ObserverReports().guard(watcher.observe)
    for event in range(5):
        guarded(event)
    assert watcher.seen == [0, 1, 2, 3, 4]


def test_a_log_that_raises_is_nobody_s_business():
    class Broken(logging.Handler):
        def emit(self, _record):
            raise OSError("no space left")

    broken = Broken()
    LOG.addHandler(broken)
    try:
        ObserverReports().guard(observe)("event")
    finally:
        LOG.removeHandler(broken)


def test_an_interrupt_is_not_the_observer_s():
    def interrupted(_event):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ObserverReports().guard(interrupted)("event")
