"""A defect in one call."""

from __future__ import annotations

import json

import trio
from patience import until

from reference_engine.calls.answering import CallAnswerer
from reference_engine.log.line_writer import LineWriter
from reference_engine.log.log import open_log
from reference_engine.reports.metrics import Metrics
from reference_engine.reports.sessions import SessionStore
from reference_engine.settings.settings import CurrentSettings, settings_for_set_file
from reference_engine.upkeep.shortage import Shortage
from voicepipe import open_audiosocket_listener, open_pipeline_set
from voicepipe.testing.audiosocket_caller import open_audiosocket_call


class Clumsy(SessionStore):
    """A store that fails on the calls that it is told to fail on."""

    def __init__(self):
        super().__init__()
        self.bad, self.ids = set(), {}

    def forget(self, call_id):
        is_bad = self.is_bad(call_id)
        super().forget(call_id)
        if is_bad:
            raise RuntimeError("a defect in the engine")

    def observe(self, event):
        super().observe(event)
        if self.is_bad(event.call_id):
            raise ValueError("a defect in an observer")

    def is_bad(self, call_id):
        session = self.get(call_id) or self.ids.get(call_id)
        self.ids[call_id] = session
        return session is not None and session.transport_id in self.bad


def answering_with(pipelines, sessions, log):
    """For one set, on one listener."""
    sets = {pipelines.name: pipelines}
    return CallAnswerer(
        CurrentSettings(settings_for_set_file(pipelines.path)),
        sets,
        sessions,
        Metrics(sets),
        log,
        keep=print,
        shortage=Shortage(log),
    )


async def test_it_costs_that_call_only_and_is_logged_with_its_traceback(home, tmp_path):
    sessions = Clumsy()
    with (tmp_path / "log").open("wb") as file, LineWriter(file.fileno()) as lines:
        log = open_log(lines, "json", lambda _set: "INFO")
        async with open_pipeline_set(home / "ai-agent.yaml") as pipelines:
            answering = answering_with(pipelines, sessions, log)
            async with (
                open_audiosocket_listener("127.0.0.1", 0, on_crash=answering.log_crash) as listener,
                trio.open_nursery() as nursery,
            ):
                nursery.start_soon(listener.serve, answering.answer)
                port = listener.address[1]
                async with open_audiosocket_call(port=port) as good, open_audiosocket_call(port=port) as bad:
                    sessions.bad.add(str(bad.call_id))
                    assert await bad.agent_spoke(quiet_ms=100), "an observer's defect is not the caller's"
                    await bad.hang_up()
                    assert not good.hung_up.is_set()
                    await until(lambda: [session.transport_id for session in sessions] == [str(good.call_id)])
                    async with open_audiosocket_call(port=port) as later:
                        assert await later.agent_spoke(quiet_ms=100)
                listener.close()
    records = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    (crashed,) = [record for record in records if record["event"] == "call.crashed"]
    assert crashed["transport_id"] == str(bad.call_id)
    assert crashed["call_id"] == next(each for each, of in sessions.ids.items() if of.transport_id == str(bad.call_id))
    assert "RuntimeError: a defect in the engine" in crashed["exception"]
    assert "Traceback" in crashed["exception"]
    failed = [record for record in records if record["event"] == "observer.failed"]
    assert "ValueError: a defect in an observer" in failed[0]["exception"]


async def test_a_set_that_is_closing_refuses_the_call(home, tmp_path):
    with (tmp_path / "log").open("wb") as file, LineWriter(file.fileno()) as lines:
        async with open_pipeline_set(home / "ai-agent.yaml") as pipelines:
            answering = answering_with(pipelines, SessionStore(), open_log(lines, "json", lambda _set: "INFO"))
        async with open_audiosocket_listener("127.0.0.1", 0) as listener, trio.open_nursery() as nursery:
            nursery.start_soon(listener.serve, answering.answer)
            async with open_audiosocket_call(port=listener.address[1]) as caller:
                await caller.hung_up.wait()
                assert caller.how == "0xff"
            listener.close()
    (refused,) = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert (refused["event"], refused["transport_id"]) == ("call.refused", str(caller.call_id))
    assert (refused["set"], refused["reason"]) == ("main", "pipeline set 'main' is closing")
