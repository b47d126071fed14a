"""Streams and their sessions with a helper process: both ends, and each way in which one goes wrong."""

from __future__ import annotations

import os
import signal
import sys

import pytest
import trio
from patience import LONG_S

from voicepipe.errors import ComponentError
from voicepipe.wire import process
from voicepipe.wire.helper import WINDOW
from voicepipe.wire.sessions import open_helper

HELPER = """
import sys, time
from voicepipe.wire.helper import serve

made = []

def load():
    if sys.argv[1] == "nobody":
        raise ValueError("there is no model 'nobody'; there are: echo")
    print("what a library prints")
    return lambda: answer

def answer(message):
    match message:
        case bytes():
            yield message[::-1]
        case {"count": count}:
            for number in range(count):
                made.append(number)
                yield {"number": number}
        case {"made": True}:
            yield {"made": len(made)}
        case {"nothing": True}:
            return None
        case {"raise": words}:
            raise KeyError(words)
        case {"no object": True}:
            yield [1]
        case {"deaf": True}:
            time.sleep(600)
        case _:
            yield message
"""


@pytest.fixture(autouse=True)
def _patient(monkeypatch):
    """However slow the machine is, a helper that leaves is not killed, and its last words are heard."""
    monkeypatch.setattr(process, "LEAVE_S", LONG_S)


def opened(model="echo", **options):
    return open_helper([sys.executable, "-P", "-c", f"{HELPER}\nserve(load)", model], timeout_s=LONG_S, **options)


async def test_objects_and_audio_both_ways():
    async with opened() as helper, helper.open_session() as session:
        await session.send({"nothing": True})
        await session.send({"text": "Grüße"})
        await session.send(b"\0\1")
        assert await session.due() == {"text": "Grüße"}
        assert await session.receive() == b"\1\0"


async def test_streams_take_turns():
    """One whose answer is long does not hold up another."""
    async with opened() as helper, helper.open_session() as long, helper.open_session() as short:
        await long.send({"count": 10**9})
        assert await long.due() == {"number": 0}
        await short.send({"text": "me too"})
        assert await short.due() == {"text": "me too"}
        for number in range(1, 5 * WINDOW):
            assert await long.due() == {"number": number}


async def test_what_nobody_receives_is_not_made():
    async with opened() as helper, helper.open_session() as deaf, helper.open_session() as other:
        await deaf.send({"count": 10**9})
        await other.send({"made": True})
        made, before = (await other.due())["made"], -1
        while made != before:
            await other.send({"made": True})
            before, made = made, (await other.due())["made"]
        with trio.fail_after(LONG_S):
            while made < WINDOW:
                await other.send({"made": True})
                made = (await other.due())["made"]
        for _ in range(3 * WINDOW):
            await other.send({"text": "go on"})
            await other.due()
        await other.send({"made": True})
        assert (await other.due())["made"] == WINDOW


async def test_a_stream_that_is_left_is_not_gone_on_with():
    async with opened() as helper, helper.open_session() as other:
        async with helper.open_session() as left:
            await left.send({"count": 10**9})
            await left.due()
        await other.send({"text": "hello"})
        assert await other.due() == {"text": "hello"}
        async with helper.open_session() as following:  # hears nothing of the one before
            await following.send({"text": "and me?"})
            assert await following.due() == {"text": "and me?"}


async def test_a_stream_that_fails_fails_alone():
    async with opened() as helper, helper.open_session() as other:
        async with helper.open_session() as failing:
            await failing.send({"raise": "words"})
            with pytest.raises(ComponentError, match="failed in the helper process") as caught:
                await failing.due()
            assert caught.value.answered == "KeyError: 'words'"
        async with helper.open_session() as failing:
            await failing.send({"no object": True})
            with pytest.raises(ComponentError, match="sent an unreadable message"):
                await failing.due()
        await other.send({"text": "still here"})
        assert await other.due() == {"text": "still here"}


async def test_a_helper_that_refuses():
    with pytest.raises(ComponentError, match="there is no model 'nobody'; there are: echo") as caught:
        async with opened("nobody", hint="`model` names one of these"):
            pytest.fail("opened")
    assert not caught.value.retryable
    assert caught.value.hint == "`model` names one of these"


async def test_a_helper_that_is_killed_fails_all_its_streams():
    async def use():
        async with opened() as helper, helper.open_session() as session:
            os.kill(helper.process.pid, signal.SIGKILL)
            await session.due()

    with pytest.raises(ComponentError, match="killed by signal 9"):
        await use()


async def test_a_helper_that_takes_nothing():
    command = [sys.executable, "-P", "-c", f"{HELPER}\nserve(load)", "echo"]
    async with open_helper(command, timeout_s=0.1) as helper, helper.open_session() as session:
        os.kill(helper.process.pid, signal.SIGSTOP)
        try:
            with pytest.raises(ComponentError, match=r"took nothing for 0\.1 s"):  # noqa: PT012 - one of them
                for _ in range(10_000):
                    await session.send(bytes(100_000))
            with pytest.raises(ComponentError, match=r"nothing came for 0\.1 s"):
                await session.due()
        finally:
            os.kill(helper.process.pid, signal.SIGCONT)


async def test_a_cancelled_receive_loses_nothing():
    async with opened() as helper, helper.open_session() as session:
        with trio.CancelScope() as scope:
            scope.cancel()
            await session.receive()
        await session.send({"text": "kept"})
        assert await session.due() == {"text": "kept"}


async def test_no_process_and_no_session_is_left(no_children):
    async with opened() as helper:
        async with helper.open_session():
            pass
        assert not helper._sessions
    assert no_children()
