"""Several pipeline sets that serve each version all together: a leader reads, the others follow, `keep` is the commit.

The clock is real where a file is read: reading is in a thread.
"""

from __future__ import annotations

import os
import pickle
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import trio
from patience import LONG_S, until
from recording import RecordedSet, pipeline, raising
from trio.testing import wait_all_tasks_blocked

import voicepipe
from voicepipe import Location, Problem, VersionAgreement
from voicepipe.config import fingerprint
from voicepipe.errors import ComponentError, ConfigError
from voicepipe.pipelines.outcome import Applied, Rejected, Unchanged
from voicepipe.pipelines.read_config import ReadConfig, decode_config, read_config


class Agreement:
    """Notes what a set asks of its agreement, and answers what the test says."""

    def __init__(self, highest=0):
        self.highest = highest
        self.said = []
        self.proposed = None
        self.ready = trio.Event()
        self.commit = trio.Event()
        self.withdrawn = None
        self.left = []

    async def load(self):
        await trio.lowlevel.checkpoint()
        return []

    async def sources(self, _version):
        await trio.lowlevel.checkpoint()
        raise LookupError("none is kept")

    @asynccontextmanager
    async def change(self, version, read, put_aside, *, may_lose):
        self.proposed = version, read, put_aside
        self.may_lose = may_lose
        self.said.append(f"change {version.version}")
        try:
            yield
        except BaseException as error:
            self.left.append(type(error).__name__)
            raise
        self.left.append("serves")

    async def keep(self, version, _sources):
        self.said.append(f"keep {version.version}")
        self.ready.set()
        await self.commit.wait()
        if self.withdrawn is not None:
            raise self.withdrawn
        self.highest = version.version

    def again(self):
        self.said.clear()
        self.left.clear()
        self.ready, self.commit, self.withdrawn = trio.Event(), trio.Event(), None


@pytest.fixture
def recorded(tmp_path):
    return RecordedSet(tmp_path)


@asynccontextmanager
async def served(recorded, **settings):
    """A set that serves a first version, and its agreement, which waits from then on."""
    agreement = Agreement()
    agreement.commit.set()
    async with recorded.serve(history=agreement, **settings) as pipelines:
        agreement.again()
        yield pipelines, agreement
        agreement.commit.set()


async def read(recorded):
    return await read_config(recorded.path, registry=recorded.registry, environ=recorded.environ)


def with_key(key):
    """A voice that is named, with a key in it, before a spare."""
    components = {"primary": {"type": "recorded", "id": key}, "spare": {"type": "recorded", "id": "c"}}
    return {"default": pipeline() | {"tts": ["primary", "spare"]}, "sections": {"components": components}}


def refused(recorded, message="worker 3 ended"):
    return ConfigError([Problem(Location(recorded.path, 3, 5), "pipelines.default.tts", message)])


def test_the_protocol_is_told_from_a_history_alone():
    assert isinstance(Agreement(), VersionAgreement)


async def test_all_is_open_before_the_agreement_and_nothing_serves_before_it(recorded):
    async with served(recorded) as (pipelines, agreement), trio.open_nursery() as nursery:
        recorded.write(default=pipeline(tts="b"))
        nursery.start_soon(pipelines.reload)
        await agreement.ready.wait()
        assert agreement.said == ["change 2", "keep 2"]
        assert recorded.open["tts b"] == recorded.open["tts a"] == 1
        assert pipelines.version == 1
        with pipelines.pin() as snapshot:  # calls begin meanwhile, and go on after it
            assert snapshot.version == 1
            agreement.commit.set()
            await until(lambda: pipelines.version == 2)
            assert agreement.left == ["serves"]


async def test_the_others_are_told_before_anything_is_opened(recorded):
    async with served(recorded) as (pipelines, agreement), trio.open_nursery() as nursery:
        opening = trio.Event()

        async def open_slowly():
            assert agreement.said == ["change 2"]
            opening.set()
            await trio.lowlevel.checkpoint()

        recorded.opening["tts b"] = open_slowly
        recorded.write(default=pipeline(tts="b"))
        nursery.start_soon(pipelines.reload)
        await opening.wait()
        version, config, put_aside = agreement.proposed
        assert (version.version, config.config.digest, put_aside) == (2, version.fingerprint.digest, None)
        agreement.commit.set()


async def test_a_withdrawal_closes_all_that_was_opened(recorded):
    async with served(recorded) as (pipelines, agreement):
        agreement.withdrawn = refused(recorded)
        agreement.commit.set()
        recorded.write(default=pipeline(tts="b"), night=pipeline(stt="c"))
        outcome = await pipelines.reload()
        await wait_all_tasks_blocked()
        assert isinstance(outcome, Rejected)
        assert outcome.problems == agreement.withdrawn.problems
        assert (pipelines.version, pipelines.live_versions) == (1, 1)
        assert recorded.open == {"stt a": 1, "llm a": 1, "tts a": 1}
        assert agreement.left == ["ConfigError"]
        agreement.again()
        agreement.commit.set()
        assert (await pipelines.reload()).version == 2  # nobody got a version of that number


async def test_what_does_not_open_never_reaches_the_agreement(recorded):
    async with served(recorded) as (pipelines, agreement):
        recorded.opening["tts b"] = raising(ComponentError("HTTP 401"))
        recorded.write(default=pipeline(tts="b"))
        assert (await pipelines.reload()).reason == "open"
        assert agreement.said == ["change 2"]
        assert agreement.left == ["ComponentsUnavailable"]


async def test_the_limit_is_checked_before_it_and_never_after_it(recorded):
    async with served(recorded, max_live_versions=2) as (pipelines, agreement), trio.open_nursery() as nursery:
        recorded.write(default=pipeline(tts="b"))
        agreement.commit.set()
        with pipelines.pin():
            assert (await pipelines.reload()).version == 2
            agreement.again()
            recorded.write(default=pipeline(tts="c"))
            nursery.start_soon(pipelines.reload)
            await agreement.ready.wait()
            with pipelines.pin():  # while others are asked: this process has agreed already
                agreement.commit.set()
                await until(lambda: pipelines.version == 3)
                assert pipelines.live_versions == 3
                agreement.again()
                recorded.write(default=pipeline(tts="d"))
                assert (await pipelines.reload()).reason == "limit"
                assert agreement.said == []


async def test_a_set_that_ends_while_it_waits_closes_everything(recorded):
    agreement = Agreement()
    with trio.fail_after(LONG_S):
        async with trio.open_nursery() as nursery:

            async def serve():
                async with recorded.serve(history=agreement):
                    raise AssertionError("it serves nothing before the agreement")

            nursery.start_soon(serve)
            await agreement.ready.wait()
            nursery.cancel_scope.cancel()
    assert recorded.open == {}
    assert agreement.left == ["Cancelled"]


async def test_cancelling_one_who_waits_withdraws_nothing(recorded):
    async with served(recorded) as (pipelines, agreement):
        recorded.write(default=pipeline(tts="b"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pipelines.reload)
            await agreement.ready.wait()
            nursery.cancel_scope.cancel()
        agreement.commit.set()
        await until(lambda: pipelines.version == 2)


# --- Followers -----------------------------------------------------------------------------------------------------


async def test_what_was_read_is_served_elsewhere_without_reading(recorded):
    recorded.write(default=pipeline(tts={"type": "recorded", "id": "b", "text": "${KEY}"}))
    recorded.environ["KEY"] = "secret"
    found = await read(recorded)
    data = found.encode()
    recorded.path.unlink()
    async with recorded.serve(start=False, environ={}) as pipelines:
        again = await decode_config(data, registry=recorded.registry, environ={})
        assert again.config == found.config
        outcome = await pipelines.serve(again, version=7, trigger="signal")
        assert isinstance(outcome, Applied)
        assert (outcome.version, outcome.digest, outcome.trigger) == (7, found.config.digest, "signal")
        assert pipelines.current.config.pipelines["default"].tts[0].options.text == "secret"
        assert isinstance(await pipelines.serve(again, version=7), Unchanged)
        assert (await pipelines.serve(again, version=8)).version == 8  # the number decides, not the content


async def test_a_rollback_elsewhere_holds_here_as_well(recorded):
    first = await read(recorded)
    async with recorded.serve(start=False) as pipelines:
        await pipelines.serve(first, version=1)
        recorded.write(default=pipeline(tts="b"))
        second = await read(recorded)
        outcome = await pipelines.serve(first, version=3, rolled_back_to=1, put_aside=second)
        assert outcome.rolled_back_to == 1
        outcome = await pipelines.reload()
        assert (type(outcome), outcome.rolled_back_to, pipelines.version) == (Unchanged, 1, 3)
        outcome = await pipelines.serve(first, version=3)  # there the files have come to say what serves
        assert (type(outcome), outcome.rolled_back_to) == (Unchanged, None)
        assert (await pipelines.reload()).version == 4


async def test_a_follower_keeps_what_works_unless_it_is_told_to_lose_it(recorded):
    recorded.write(**with_key("key1"))
    async with recorded.serve() as pipelines:
        recorded.write(**with_key("key2"))
        recorded.opening["tts key2"] = raising(ComponentError("HTTP 401"))
        found = await read(recorded)
        outcome = await pipelines.serve(found, version=3)
        assert (type(outcome), outcome.reason) == (Rejected, "open")
        assert (await pipelines.serve(found, version=3, force=True)).version == 3


async def test_requests_to_serve_are_carried_out_one_by_one_and_in_order(recorded):
    first = await read(recorded)
    async with recorded.serve(start=False) as pipelines, trio.open_nursery() as nursery:
        for number in range(1, 6):
            nursery.start_soon(lambda number=number: pipelines.serve(first, version=number))
            await wait_all_tasks_blocked()
    assert [record.version for record in pipelines.history] == [1, 2, 3, 4, 5]


async def test_other_code_reads_the_sources_again(recorded, monkeypatch):
    found = await read(recorded)
    data = found.encode()
    recorded.path.unlink()
    monkeypatch.setattr("voicepipe.pipelines.read_in_helper.code_of_this_process", lambda: "another release")
    again = await decode_config(data, registry=recorded.registry, environ={})
    assert again.config == found.config
    assert again.answer == b""
    assert fingerprint.code_of_this_process() in data.decode(errors="replace")


@pytest.mark.parametrize(
    "data", [b"", b"rubbish", pickle.dumps(7), ReadConfig, os.urandom(100)], ids=["none", "text", "odd", "cut", "noise"]
)
async def test_damaged_data_is_a_config_error(recorded, data):
    if data is ReadConfig:
        data = (await read(recorded)).encode()[:-200]
    with pytest.raises(ConfigError):
        await decode_config(data, registry=recorded.registry, environ={})


async def test_a_file_with_problems_is_not_read_for_anybody(recorded):
    recorded.path.write_text("pipelines: [")
    with pytest.raises(ConfigError) as raised:
        await read(recorded)
    assert raised.value.problems[0].where.file == recorded.path


async def test_the_program_of_the_guide(recorded, capsys):
    guide = (Path(__file__).parents[2] / "docs/how-to/two-phase-changes.md").read_text()
    program = guide.split('```python title="agreeing.py"\n')[1].split("```")[0]
    names = {}
    exec(compile(program.replace("trio.run(main, sys.argv[1])\n", ""), "agreeing.py", "exec"), names)
    these = {"registry": recorded.registry, "environ": {}}
    opened, decoded = partial(voicepipe.open_pipeline_set, **these), partial(voicepipe.decode_config, **these)
    names["voicepipe"] = SimpleNamespace(
        open_pipeline_set=opened, decode_config=decoded, ConfigError=voicepipe.ConfigError
    )
    with trio.fail_after(LONG_S):
        await names["main"](recorded.path)
    first, second = capsys.readouterr().out.splitlines()
    assert first == second
    assert first.startswith("1 ")
