"""What tests in all directories share."""

from __future__ import annotations

import gc
import math

import pytest
import trio
from compiling import compile_tests, share_of
from engine_process import engine_home, open_engine
from etcd import open_etcd_server
from hypothesis import HealthCheck, settings
from ordering import TESTS, longest_first
from postgresql import open_server

from voicepipe.calls import recording
from voicepipe.components.registry import installed
from voicepipe.config.fingerprint import adapters_of_this_process, code_of_this_process
from voicepipe.pipelines import read_in_helper

# How long an example takes, or takes to be made, is the machine's affair.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


# Done once and now: a virtual clock that waits for a thread takes the interpreter's lock from it.
code_of_this_process()
adapters_of_this_process(installed())


def pytest_configure(config):
    """Several workers share the compiling."""
    if worker := getattr(config, "workerinput", None):
        number, of = int(worker["workerid"].removeprefix("gw")), worker["workercount"]
        compile_tests(share_of(TESTS, number % of, of), config)


def pytest_collection_modifyitems(config, items):
    """Several workers begin with what takes longest; `make test` keeps xdist from another order."""
    if hasattr(config, "workerinput"):
        longest_first(items)


def pytest_collection_finish():
    """The collector leaves alone what 13,000 tests and their modules are made of: it took 0.2 s each time it looked."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """The autojumping clock does not wait for threads and processes, but jumps to the deadline of their work.

    A fixture for all tests would take a third of the time that pytest itself needs for each.
    """
    with pytest.MonkeyPatch.context() as patch:
        if "autojump_clock" in getattr(item, "fixturenames", ()):
            patch.setattr(read_in_helper, "READ_S", math.inf)
            patch.setattr(recording, "MOST_HELD_S", math.inf)
            patch.setattr(recording, "FINISH_S", math.inf)
        return (yield)


@pytest.fixture
def threads_take_no_time(monkeypatch):
    """What is given to threads is done at once: else virtual seconds go by meanwhile."""

    async def run_sync(function, *arguments, **_options):
        await trio.lowlevel.checkpoint()
        return function(*arguments)

    monkeypatch.setattr(trio.to_thread, "run_sync", run_sync)


@pytest.fixture
def home():
    """A directory with a configuration for an engine in it."""
    with engine_home() as directory:
        yield directory


@pytest.fixture
async def engine(home):
    """An engine that is ready, in a process of its own."""
    async with open_engine(home) as running:
        yield running


@pytest.fixture(scope="session")
def postgresql():
    """The PostgreSQL server that all tests of a process share; each makes a database of its own (`new_database`)."""
    with open_server() as server:
        yield server


@pytest.fixture(scope="session")
def etcd():
    """The etcd that all tests of a process share; each has a prefix of its own."""
    with open_etcd_server() as server:
        yield server
