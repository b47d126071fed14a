"""F10: a component that dies while in use is reopened with backoff, changes no version and cancels no other call.

Its streams fail with one `ComponentError` each, which is what a call fails over on.
"""

from __future__ import annotations

import pytest
import trio
from recording import RecordedSet, pipeline, raising
from trio.testing import wait_all_tasks_blocked

from voicepipe import AudioFormat, CallInfo, CallStarted, ComponentError, Listen, ReplyRequest

AUDIO = AudioFormat(8000)
REQUEST = ReplyRequest(trigger=CallStarted(CallInfo("1")), messages=(), prompt="", tools=(), state=None)


async def stream_for_ever(role, component, failures):
    """What a call does with a component, until it fails."""
    try:
        if role == "stt":
            async with component.open_stream(component.input_for(AUDIO), Listen()) as stream:
                await stream.receive()
        elif role == "tts":
            async with component.open_stream(component.output_for(AUDIO), None) as stream:
                await stream.receive()
        else:
            async with component.respond(REQUEST):
                await trio.sleep_forever()
    except ComponentError as error:
        failures.append(error)


@pytest.mark.parametrize("role", ["stt", "llm", "tts"])
@pytest.mark.parametrize("how", ["fails", "exits", "ends"])
async def test_its_streams_fail_it_is_reopened_and_nothing_else_notices(autojump_clock, tmp_path, role, how):
    recorded = RecordedSet(tmp_path)
    recorded.write(default=pipeline(), other=pipeline(stt="b", llm="b", tts="b", selectable=True))
    failures, unharmed = [], []
    async with recorded.serve() as pipelines, trio.open_nursery() as calls:
        with pipelines.pin() as snapshot:
            dying, living = (getattr(one, role)[0].component for one in snapshot.pipelines.values())
            for _ in range(3):
                calls.start_soon(stream_for_ever, role, dying, failures)
                calls.start_soon(stream_for_ever, role, living, unharmed)
            for other in {"stt", "llm", "tts"} - {role}:
                calls.start_soon(stream_for_ever, other, getattr(snapshot.active, other)[0].component, unharmed)
            await wait_all_tasks_blocked()

            name = f"{role} a"
            if how == "ends":
                recorded.cut(name)
            else:
                recorded.kill(name, SystemExit(3) if how == "exits" else OSError("reset"))
            await wait_all_tasks_blocked()
            assert [(type(error), error.component, error.role) for error in failures] == [
                (ComponentError, "recorded", role)
            ] * 3
            assert recorded.closed == [name]

            again = []
            await stream_for_ever(role, dying, again)
            assert [error.message for error in again] == ["is down"]

            await trio.sleep(1)
            assert recorded.opened.count(name) == 2
            calls.start_soon(stream_for_ever, role, dying, again)
            await wait_all_tasks_blocked()
            assert len(again) == 1

            assert unharmed == []
            assert len(recorded.opened) == 7
            assert pipelines.current is snapshot
            assert len(pipelines.history) == 1
            assert recorded.events == []
        calls.cancel_scope.cancel()
    assert recorded.open == {}


async def test_it_is_tried_again_ever_later(autojump_clock, tmp_path):
    recorded = RecordedSet(tmp_path)
    async with recorded.serve():
        recorded.opening["stt a"] = raising(OSError("refused"))
        recorded.cut("stt a")
        tried = []
        for _ in range(60):
            await trio.sleep(1)
            tried.append(recorded.attempts.count("stt a") - 1)
        assert 5 <= tried[-1] <= 8
        assert tried[-1] - tried[-20] <= 2
        del recorded.opening["stt a"]
        await trio.sleep(40)
        assert recorded.open == {"stt a": 1, "llm a": 1, "tts a": 1}
