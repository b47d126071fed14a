"""R05: a rejection is one log record: set, serving version, attempted digest, and every problem with its place."""

from __future__ import annotations

import re

import pytest
import structlog
from recording import RecordedSet, pipeline, raising

from reference_engine.reports.reload_log import reload_log
from voicepipe import ComponentError

PROBLEM = {"file", "line", "column", "path", "message", "hint"}


@pytest.mark.parametrize("trigger", ["signal", "control"])
async def test_whoever_asked_for_it(engine, trigger):
    engine.edit("voice: en-us", "voise: en-us")
    engine.edit("active_pipeline: default", "active_pipeline: defualt")
    if trigger == "signal":
        engine.hang_up()
    else:
        assert (await engine.ask("POST", "/-/reload")).status_code == 422
    rejected = await engine.logged("reload.rejected")
    assert (rejected["set"], rejected["serving_version"], rejected["trigger"]) == ("main", 1, trigger)
    assert (rejected["level"], rejected["reason"], rejected["digest"]) == ("error", "config", None)
    assert all(set(problem) == PROBLEM for problem in rejected["problems"])
    places = [(problem["file"], problem["line"], problem["path"]) for problem in rejected["problems"]]
    assert places == [("ai-agent.yaml", 1, "active_pipeline"), ("ai-agent.yaml", 7, "pipelines.default.tts.voise")]
    assert all(problem["message"] and problem["hint"] for problem in rejected["problems"])

    assert (await engine.ask("GET", "/healthz")).status_code == 200
    engine.process.terminate()
    assert await engine.ended() == 0
    await engine.logged("engine.stopped")
    about = [record for record in engine.records if "voise" in str(record)]
    assert about == [rejected]


async def test_what_could_be_read_but_not_opened_has_its_digest(tmp_path):
    recorded = RecordedSet(tmp_path)
    with structlog.testing.capture_logs() as logs:
        async with recorded.serve(observer=reload_log(structlog.get_logger())) as pipelines:
            recorded.opening["tts b"] = raising(ComponentError("no such voice", component="my_b"))
            recorded.write(default=pipeline(tts="b"))
            outcome = await pipelines.reload(trigger="watch")
    (rejected,) = logs
    assert (rejected["event"], rejected["reason"], rejected["trigger"]) == ("reload.rejected", "open", "watch")
    assert (rejected["set"], rejected["serving_version"]) == ("main", 1)
    assert rejected["digest"] == outcome.digest
    assert re.fullmatch("[0-9a-f]{64}", rejected["digest"])
    (problem,) = rejected["problems"]
    assert (problem["file"], problem["path"]) == (str(recorded.path), "pipelines.default.tts")
    assert "no such voice" in problem["message"]
