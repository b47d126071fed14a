"""Helper processes: messages both ways, and every way in which one can end."""

from __future__ import annotations

import os
import signal
import sys

import pytest
import trio
from patience import LONG_S

from voicepipe.errors import ComponentError
from voicepipe.wire import process as helper_process
from voicepipe.wire.process import HEADER, open_helper_process

ECHO = """
import struct, sys
header = struct.Struct("!BII")
print("hello from the helper", file=sys.stderr, flush=True)
while head := sys.stdin.buffer.read(header.size):
    kind, request, size = header.unpack(head)
    body = sys.stdin.buffer.read(size)
    if kind == 9:
        sys.exit("x" * 5000 + " the last words")
    sys.stdout.buffer.write(head + body)
    sys.stdout.buffer.flush()
"""


@pytest.fixture(autouse=True)
def _patient(monkeypatch):
    """However slow the machine is, a helper that leaves is not killed, and its last words are heard."""
    monkeypatch.setattr(helper_process, "LEAVE_S", LONG_S)


class Sink:
    def __init__(self) -> None:
        self.messages, self.errors = [], []
        self.changed = trio.Event()

    def message(self, kind: int, request: int, payload: bytes) -> None:
        self.messages.append((kind, request, payload))
        self._wake()

    def ended(self, error: ComponentError) -> None:
        self.errors.append(error)
        self._wake()

    def _wake(self) -> None:
        self.changed.set()
        self.changed = trio.Event()

    async def wait_for(self, number: int) -> None:
        while len(self.messages) < number:
            await self.changed.wait()


def python(script: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", script]


async def run(command: list[str], sink: Sink, do=lambda _helper: None) -> None:
    async with open_helper_process(command, sink) as helper:
        do(helper)
        await trio.sleep_forever()


async def test_messages_of_any_size_arrive_in_order(no_children):
    sink = Sink()
    sent = [(1, number, os.urandom(size)) for number, size in enumerate([0, 1, 300_000, 0, 65536, 7])]
    sent.append((255, 2**32 - 1, b"last"))
    async with open_helper_process(python(ECHO), sink) as helper:
        for message in sent:
            helper.post(*message)
        await sink.wait_for(len(sent))
    assert sink.messages == sent
    assert sink.errors == []
    assert no_children()
    helper.post(1)  # nobody there, and nothing happens


async def test_a_helper_that_ends_by_itself_ends_the_context(no_children):
    sink = Sink()
    with pytest.raises(ComponentError, match=r"exit status 1") as raised:
        await run(python(ECHO), sink, lambda helper: helper.post(9))
    assert raised.value.answered.endswith("the last words")
    assert len(raised.value.answered) <= 2000
    assert raised.value.retryable
    assert sink.errors == [raised.value]
    assert no_children()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
async def test_a_helper_that_is_killed_says_so(number, no_children):
    with pytest.raises(ComponentError, match=f"killed by signal {int(number)}"):
        await run(python(ECHO), Sink(), lambda helper: os.kill(helper.pid, number))
    assert no_children()


async def test_a_helper_that_closes_its_output_has_ended(no_children, monkeypatch):
    monkeypatch.setattr(helper_process, "LEAVE_S", 0.1)
    script = "import os, time; os.close(1); time.sleep(600)"
    with pytest.raises(ComponentError, match="output is closed"):
        await run(python(script), Sink())
    assert no_children()


async def test_rubbish_is_told_at_once(no_children):
    """Not waited for: what is no header announces a payload that never comes."""
    script = "import sys; sys.stdout.buffer.write(b'@@ rubbish @@'); sys.stdout.buffer.flush(); sys.stdin.read()"
    with pytest.raises(ComponentError, match="sent an unreadable message") as caught:
        await run(python(script), Sink())
    assert caught.value.answered == "b'@@ rubbish @@'"
    assert no_children()


async def test_a_helper_that_does_not_leave_is_killed(no_children, monkeypatch):
    monkeypatch.setattr(helper_process, "LEAVE_S", 0.3)
    async with open_helper_process(python("import time; time.sleep(600)"), Sink()) as helper:
        helper.post(1, 0, bytes(1_000_000))  # more than the pipe takes
        began = trio.current_time()
    assert trio.current_time() - began >= 0.3
    assert no_children()


async def test_what_the_body_raises_comes_out_bare(no_children):
    error = ValueError("of the body")
    with pytest.raises(ValueError, match="of the body") as raised:
        async with open_helper_process(python(ECHO), Sink()):
            raise error
    assert raised.value is error
    assert no_children()


async def test_a_command_that_does_not_exist_is_an_error_of_ours(tmp_path):
    with pytest.raises(ComponentError, match="can't be started"):
        await run([str(tmp_path / "nothing")], Sink())


async def test_cancelled_anywhere_no_process_and_no_descriptor_is_left(cancel_at_every_step, open_files, no_children):
    descriptors = open_files()

    async def scenario() -> None:
        sink = Sink()
        async with open_helper_process(python(ECHO), sink) as helper:
            helper.post(1, 2, b"three")
            await sink.wait_for(1)

    def afterwards() -> None:
        assert no_children()
        assert open_files() == descriptors

    assert await cancel_at_every_step(scenario, afterwards) > 2


def test_the_helper_of_espeak_speaks_the_same_frames():
    from voicepipe.adapters.espeak import worker  # noqa: PLC0415 - only here

    assert worker.HEADER.format == HEADER.format
