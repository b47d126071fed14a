"""F12: an engine that starts while a provider is away serves what opens, says what is missing, and takes it in."""

from __future__ import annotations

import json
import socket
from configparser import RawConfigParser
from contextlib import asynccontextmanager, closing
from functools import partial
from math import ceil
from pathlib import Path

import pytest
import trio
from engine_process import QUICK, engine_home, open_engine, run_command
from patience import LONG_S
from recording import RecordedSet, pipeline, raising
from trio.testing import wait_all_tasks_blocked
from vendors.wyoming_server import WyomingServer

from reference_engine import starting
from voicepipe import Applied, ComponentError, ComponentsUnavailable, ConfigError, Rejected, Unchanged
from voicepipe.pipelines.runtime import open_runtime
from voicepipe.pipelines.shared_component import LONGEST_ATTEMPT_S, REOPEN_S

OPEN_S = 10.0
STEP_S = 0.5

AWAY = ComponentError("HTTP 503", answered="try later", hint="is it up?")


@pytest.fixture
def recorded(tmp_path):
    return RecordedSet(tmp_path)


@pytest.fixture
def time_passes(mock_clock):
    """Lets virtual time pass; files are read in real time, by a thread, so the clock stands still but for this."""

    async def time_passes(seconds):
        for _ in range(ceil(seconds / STEP_S)):
            mock_clock.jump(STEP_S)
            await wait_all_tasks_blocked()

    return time_passes


def go_away(recorded, *names, error=AWAY):
    for name in names:
        recorded.opening[name] = raising(error)


def come_back(recorded, *names):
    for name in names:
        del recorded.opening[name]


def ids(alternatives):
    return [one.settings.options.id for one in alternatives]


# --- A set: what opens, serves -----------------------------------------------------------------------------------


async def test_a_list_that_opens_in_part_serves_and_the_rest_joins_without_a_new_version(
    mock_clock, time_passes, recorded
):
    go_away(recorded, "stt x")
    recorded.write(default=pipeline(stt=["x", "b"]))
    async with recorded.serve() as pipelines:
        snapshot = pipelines.current
        (problem,) = pipelines.degraded
        assert problem == snapshot_plan(pipelines).degraded[0]
        assert problem.message == "stt recorded can't be opened: HTTP 503; answered: try later"
        assert (problem.path, problem.hint) == ("pipelines.default.stt[0]", "is it up?")
        assert ids(snapshot.active.stt) == ["b"]
        (missing,) = [one for one in snapshot.components if not one.was_open]
        assert (missing.role, missing.state, missing.error.message) == ("stt", "open", "HTTP 503")
        assert 0 < missing.retry_s <= REOPEN_S[0] * 1.2

        await time_passes(3600)
        assert ids(snapshot.active.stt) == ["b"]
        attempts = recorded.attempts.count("stt x")
        assert 3600 / (REOPEN_S[1] * 1.2) <= attempts <= 3600 / (REOPEN_S[1] * 0.8) + 10

        come_back(recorded, "stt x")
        await time_passes(REOPEN_S[1] * 1.2)
        assert pipelines.current is snapshot
        assert ids(snapshot.active.stt) == ["x", "b"]
        assert snapshot.active.stt[0].breaker.lets_through
        assert pipelines.degraded == ()
        assert recorded.open == {"stt x": 1, "stt b": 1, "llm a": 1, "tts a": 1}
    assert recorded.open == {}


def snapshot_plan(pipelines):
    return pipelines.history[-1].plan


@pytest.mark.parametrize("role", ["stt", "llm", "tts"])
async def test_a_pipeline_without_a_role_leaves_the_others_alone(mock_clock, time_passes, recorded, role):
    go_away(recorded, f"{role} x")
    recorded.write(default=pipeline(), other=pipeline(**{role: "x"}, selectable=True))
    async with recorded.serve() as pipelines:
        other = pipelines.current.pipelines["other"]
        assert [len(getattr(other, one)) for one in ("stt", "llm", "tts")].count(0) == 1
        assert other.role(role)[0].breaker.state == "open"
        assert {problem.path for problem in pipelines.degraded} >= {f"pipelines.other.{role}"}
        come_back(recorded, f"{role} x")
        await time_passes(REOPEN_S[0] * 1.2)
        assert ids(getattr(other, role)) == ["x"]
        await time_passes(60)
        assert pipelines.degraded == ()


async def test_the_active_pipeline_may_be_the_one_that_is_missing(mock_clock, time_passes, recorded):
    go_away(recorded, "llm x")
    recorded.write(default=pipeline(llm="x"), other=pipeline(selectable=True))
    async with recorded.serve() as pipelines:
        assert pipelines.current.active.llm == ()
        come_back(recorded, "llm x")
        await time_passes(REOPEN_S[0] * 1.2)
        assert ids(pipelines.current.active.llm) == ["x"]


@pytest.mark.parametrize(
    "error", [AWAY, ComponentError("HTTP 401", retryable=False), OSError("no route"), SystemExit(3)], ids=repr
)
async def test_where_nothing_opens_that_is_told_apart_from_a_wrong_file(recorded, error):
    go_away(recorded, "stt x", "llm y", error=error)
    recorded.write(default=pipeline(stt="x"), other=pipeline(llm="y", selectable=True))
    with pytest.raises(ComponentsUnavailable) as caught:
        async with recorded.serve():
            pytest.fail("it serves")
    assert {problem.path for problem in caught.value.problems} == {"pipelines.default.stt", "pipelines.other.llm"}
    assert recorded.path in caught.value.files
    assert recorded.open == {}

    recorded.write(default=pipeline(stt="x", typo=1))
    with pytest.raises(ConfigError) as caught:
        async with recorded.serve():
            pytest.fail("it serves")
    assert not isinstance(caught.value, ComponentsUnavailable)


@pytest.mark.parametrize(("takes_s", "attempts"), [(50, 1), (200, 4)])
async def test_one_that_takes_too_long_is_waited_for_no_longer_but_gets_the_time(
    mock_clock, time_passes, recorded, takes_s, attempts
):
    """A large model on a slow disk: each attempt may take longer than the one before."""
    begun = trio.Event()

    async def load():
        begun.set()
        await trio.sleep(takes_s)

    async def wait():
        await begun.wait()
        await time_passes(OPEN_S)

    recorded.opening["stt x"] = load
    recorded.write(default=pipeline(stt=["x", "b"]))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        async with recorded.serve(open_s=OPEN_S) as pipelines:
            assert trio.current_time() == pytest.approx(OPEN_S, abs=STEP_S)
            problem, *_ = pipelines.degraded
            assert problem.message == "stt recorded can't be opened: did not open within 10 s"
            while ids(pipelines.current.active.stt)[0] != "x":
                await time_passes(STEP_S)
                assert trio.current_time() < 4 * LONGEST_ATTEMPT_S
            assert recorded.attempts.count("stt x") == attempts


async def test_a_set_that_ends_ends_the_attempts(mock_clock, time_passes, recorded):
    go_away(recorded, "stt x")
    recorded.write(default=pipeline(stt=["x", "b"]))
    async with open_runtime() as runtime:
        async with recorded.serve(runtime=runtime):
            await time_passes(10)
        attempts = len(recorded.attempts)
        await time_passes(3600)
        assert len(recorded.attempts) == attempts


# --- Reloads meanwhile -------------------------------------------------------------------------------------------


async def test_a_reload_tries_at_once_says_what_is_missing_and_is_not_held_up_by_it(mock_clock, time_passes, recorded):
    go_away(recorded, "llm x")
    recorded.write(default=pipeline(), other=pipeline(llm="x", selectable=True))
    async with recorded.serve() as pipelines:
        await time_passes(600)
        attempts = recorded.attempts.count("llm x")
        outcome = await pipelines.reload()
        assert isinstance(outcome, Unchanged)
        assert outcome.degraded == pipelines.degraded != ()
        await wait_all_tasks_blocked()
        assert recorded.attempts.count("llm x") >= attempts + 1

        outcome = await recorded.rewrite(
            pipelines, default=pipeline(greeting="Hi."), other=pipeline(llm="x", selectable=True)
        )
        assert isinstance(outcome, Applied)
        assert [problem.path for problem in outcome.plan.degraded] == ["pipelines.other.llm"]
        come_back(recorded, "llm x")
        assert (await pipelines.reload()).degraded
        await wait_all_tasks_blocked()
        assert pipelines.degraded == ()


async def test_an_attempt_of_a_rejected_reload_is_not_kept_up(mock_clock, time_passes, recorded):
    go_away(recorded, "stt x")
    async with recorded.serve() as pipelines:
        assert isinstance(await recorded.rewrite(pipelines, default=pipeline(stt="x")), Rejected)
        attempts = len(recorded.attempts)
        await time_passes(3600)
        assert len(recorded.attempts) == attempts


def named(key, *, backup="b"):
    """A pipeline whose recogniser is named, with another key in it, before a spare."""
    components = {"primary": {"type": "recorded", "id": key}, "spare": {"type": "recorded", "id": backup}}
    return {"default": pipeline() | {"stt": ["primary", "spare"]}, "sections": {"components": components}}


async def test_a_reload_does_not_trade_what_works_for_what_does_not_unless_it_is_told_to(
    mock_clock, time_passes, recorded
):
    recorded.write(**named("key1"))
    async with recorded.serve() as pipelines:
        go_away(recorded, "stt key2")
        outcome = await recorded.rewrite(pipelines, **named("key2"))
        assert isinstance(outcome, Rejected)
        assert outcome.reason == "open"
        (problem,) = outcome.problems
        assert problem.message.startswith("stt primary can't be opened: HTTP 503")
        assert problem.message.endswith("; it works in version 1, which serves on")
        assert "--force" in problem.hint
        assert ids(pipelines.current.active.stt) == ["key1", "b"]

        outcome = await pipelines.reload(force=True)
        assert isinstance(outcome, Applied)
        assert outcome.plan.degraded[0].message.endswith("; it worked in version 1")
        assert ids(pipelines.current.active.stt) == ["b"]
        come_back(recorded, "stt key2")
        await time_passes(REOPEN_S[1])
        assert ids(pipelines.current.active.stt) == ["key2", "b"]


async def test_what_did_not_work_before_or_is_new_or_goes_is_no_loss(mock_clock, time_passes, recorded):
    recorded.write(**named("key1"))
    go_away(recorded, "stt key1", "stt key2")
    async with recorded.serve() as pipelines:
        outcome = await recorded.rewrite(pipelines, **named("key2"))
        assert isinstance(outcome, Applied)  # it has not opened before either
        come_back(recorded, "stt key2")
        await time_passes(REOPEN_S[1])
        go_away(recorded, "stt new")
        other = {"default": pipeline() | {"stt": [{"type": "recorded", "id": "new"}, "spare"]}}
        outcome = await recorded.rewrite(pipelines, **named("key2") | other)
        assert isinstance(outcome, Applied)
        assert len(outcome.plan.degraded) == 1


async def test_a_rollback_is_carried_out_and_says_what_it_loses(mock_clock, time_passes, recorded):
    recorded.write(**named("key1"))
    async with recorded.serve() as pipelines:
        await recorded.rewrite(pipelines, **named("key2"))
        go_away(recorded, "stt key1")
        outcome = await pipelines.rollback()
        assert isinstance(outcome, Applied)
        assert outcome.plan.degraded[0].message.endswith("; it worked in version 2")


# --- The engine --------------------------------------------------------------------------------------------------


class Provider:
    """A voice that is away, and can come: nothing else takes its port meanwhile."""

    def __init__(self):
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]

    @asynccontextmanager
    async def is_there(self):
        self._socket.listen()
        async with trio.open_nursery() as nursery:
            listener = trio.SocketListener(trio.socket.from_stdlib_socket(self._socket))
            nursery.start_soon(partial(trio.serve_listeners, WyomingServer().serve, [listener]))
            yield
            nursery.cancel_scope.cancel()

    def close(self):
        self._socket.close()


@pytest.fixture
def provider():
    with closing(Provider()) as provider:
        yield provider


def cloud(provider):
    return f'{{type: wyoming, address: "127.0.0.1:{provider.port}"}}'


@pytest.fixture
def home(provider):
    with engine_home() as home:
        text = QUICK.replace("tts: {type: espeak, voice: en-us}", f"tts: [{cloud(provider)}, espeak]")
        (home / "ai-agent.yaml").write_text(text)
        (home / "acme.yaml").write_text(
            QUICK.replace("tts: {type: espeak, voice: en-us}", f"tts: {cloud(provider)}", 1)
        )
        yield home


def only_cloud(home, provider):
    """Has both files' pipelines need the provider."""
    for file in ("ai-agent.yaml", "acme.yaml"):
        text = QUICK.replace("{type: espeak, voice: en-us}", cloud(provider)).replace(
            "{type: espeak, voice: en-gb}", cloud(provider)
        )
        (home / file).write_text(text)


async def test_an_engine_that_starts_in_an_outage_says_so_and_recovers_by_itself(home, provider):
    state = 'voicepipe_component_state{component="wyoming",role="tts",set="main"}'
    async with open_engine(home) as engine:
        missing = await engine.logged("component.not_open", role="tts", component="wyoming")
        assert missing["level"] == "warning"
        assert "can't be reached" in missing["message"]
        degraded = await engine.logged("set.degraded", set="main", version=1)
        assert degraded["level"] == "warning"
        assert degraded["problems"][0]["path"] == "pipelines.default.tts[0]"
        (body,) = (await engine.ask("GET", "/sets")).json()["sets"]
        assert [problem["path"] for problem in body["degraded"]] == ["pipelines.default.tts[0]"]
        samples = await engine.samples()
        assert samples[state] == 2
        assert samples['voicepipe_degraded{set="main"}'] == 1
        told = (await engine.command("status")).stdout.decode()
        assert "main: degraded: tts wyoming has not opened yet" in told
        assert "can't be reached" in told
        async with provider.is_there():
            await engine.logged("component.recovered", role="tts", component="wyoming")
            samples = await engine.samples()
            assert samples[state] == samples['voicepipe_degraded{set="main"}'] == 0
            (body,) = (await engine.ask("GET", "/sets")).json()["sets"]
            assert (body["version"], body["degraded"]) == (1, [])
            assert b"degraded" not in (await engine.command("status")).stdout


async def test_a_set_of_which_nothing_opens_holds_no_other_back_and_serves_when_it_can(home, provider):
    only_cloud(home, provider)
    (home / "ai-agent.yaml").write_text(QUICK)
    async with open_engine(home, file="engine.yaml") as engine:
        missing = await engine.logged("set.not_open", set="acme")
        assert missing["level"] == "warning"
        assert {problem["path"] for problem in missing["problems"]} == {"pipelines.default.tts"}
        bodies = {one["set"]: one for one in (await engine.ask("GET", "/sets")).json()["sets"]}
        assert (bodies["main"]["state"], bodies["acme"]["state"]) == ("serving", "rejected")
        assert bodies["acme"]["last_attempt"]["reason"] == "open"
        with trio.fail_after(LONG_S):
            async with await _connect(engine.ports["acme"]) as stream:
                assert await _ended(stream)
        await engine.logged("call.refused", set="acme")
        async with provider.is_there():
            await engine.logged("reload.applied", set="acme", trigger="retry")
        assert engine.count("reload.rejected") == 0


async def _connect(port):
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    await stream.send_all(b"\x01\x00\x10" + bytes(range(16)))
    return stream


async def _ended(stream):
    try:
        while await stream.receive_some():
            pass
    except trio.BrokenResourceError:
        pass
    return True


async def test_where_nothing_opens_at_all_the_exit_status_asks_for_another_try(home, provider):
    only_cloud(home, provider)
    for file in ("ai-agent.yaml", "engine.yaml"):
        ended = await run_command("run", file, "--control", "c.sock", home=home)
        assert ended.returncode == 75
        *_, failed = map(json.loads, ended.stderr.splitlines())
        assert failed["event"] == "engine.failed"
        assert "the files are valid" in failed["reason"]
        assert b"tts wyoming can't be opened" in ended.stdout

    (home / "acme.yaml").write_text("pipelines: [")
    ended = await run_command("run", "engine.yaml", home=home)
    assert ended.returncode == 78
    assert b"tts wyoming can't be opened" in ended.stdout


def test_the_shipped_unit_tries_again_for_as_long_as_it_takes():
    unit = RawConfigParser(inline_comment_prefixes=None)
    unit.read(Path(__file__).parents[2] / "examples/deploy/systemd/voicepipe.service")
    assert unit["Service"]["Restart"] == "on-failure"
    assert str(starting.EX_TEMPFAIL) not in unit["Service"]["RestartPreventExitStatus"].split()
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"  # else it gives up after five times in ten seconds
