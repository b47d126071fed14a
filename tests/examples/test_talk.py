"""`make talk`: the program runs, and a voice in a browser's microphone holds a conversation with the real engine."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import wave
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from devtools import MICROPHONE, open_devtools, running_chromium
from patience import LONG_S

from examples import talk
from voicepipe.testing.speaker import open_speaker

ROOT = Path(__file__).parents[2]


def test_records_are_put_in_words(tmp_path):
    def words(**record):
        return talk.in_words(record, Path("talk.yaml"), tmp_path / "talk.log")

    listeners = [{"name": "a", "transport": "audiosocket", "host": "127.0.0.1", "port": 1}]
    sets = [{"active_pipeline": "day", "version": 1}]
    assert "no listener of type browser in talk.yaml" in words(event="engine.ready", listeners=listeners, sets=sets)
    listeners.append({"name": "b", "transport": "browser", "host": "127.0.0.1", "port": 9080})
    assert "http://localhost:9080/" in words(event="engine.ready", listeners=listeners, sets=sets)
    turn = {"event": "call.turn", "heard": "two", "said": "Good", "interrupted": True, "response_ms": 612.4}
    assert words(**turn) == "  you    two\n  agent  Good ...   (0.61 s)"
    greeting = turn | {"heard": "", "interrupted": False, "response_ms": None}
    assert words(**greeting) == "  agent  Good"
    ended = words(event="call.ended", outcome="caller_hung_up", duration_s=12.34)
    assert ended == "  The call has ended after 12 s: you hung up."
    problem = {"file": "a.yaml", "line": 3, "message": "unknown key"}
    assert words(event="reload.rejected", version=2, problems=[problem]).endswith("on:\n  a.yaml:3: unknown key")
    assert words(event="reload.applied", version=2, trigger="watch") == "\nVersion 2 serves, from the next call on."
    assert words(event="component.failed", level="warning", reason="it broke", hint="mend it") == (
        "  component.failed: it broke; mend it"
    )
    assert words(event="engine.starting", level="info") == ""


@asynccontextmanager
async def talking(home):
    """The program on a free port: its process, and the address of the page that it prints."""
    file = home / "talk.yaml"
    written = (ROOT / "config/talk.yaml").read_text()
    assert "port: 9080" in written
    file.write_text(written.replace("port: 9080", "port: 0").replace("ai-agent.yaml", f"{ROOT}/config/ai-agent.yaml"))
    command = [sys.executable, "-m", "examples.talk", str(file), "--log", f"{home}/talk.log", "--control", f"{home}/c"]
    process = await trio.lowlevel.open_process(command, cwd=ROOT, stdout=subprocess.PIPE)
    said = b""
    try:
        with trio.fail_after(LONG_S):
            while not (found := re.search(rb"http://localhost:\d+/", said)):
                more = await process.stdout.receive_some()
                assert more, said
                said += more
        yield process, found[0].decode()
    finally:
        if process.returncode is None:
            process.terminate()
            with trio.CancelScope(shield=True):
                await process.wait()


async def test_a_spoken_conversation_with_an_interruption(tmp_path):
    """The caller speaks into the greeting, is understood, and is answered; Ctrl-C ends it all in good order."""
    pytest.importorskip("vosk", reason="it recognises with vosk: make setup")
    microphone = tmp_path / "microphone.wav"
    with wave.open(str(microphone), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        async with open_speaker(rate=16_000) as speaker:
            words = await speaker.say("I want an appointment.")
        file.writeframes(bytes(2 * 16_000) + words + bytes(2 * 16_000 * 10))
    flags = [flag.format(microphone) for flag in MICROPHONE]
    with running_chromium(tmp_path / "profile", *flags) as chromium:
        async with (
            talking(tmp_path) as (process, address),
            open_devtools(chromium) as devtools,
            devtools.open_page() as page,
        ):
            await page.open(address)
            await page.click("#call")
            for who, words in (("you", "appointment"), ("agent", "Which day")):
                entries = f"[...document.querySelectorAll('#transcript .{who} p')]"
                await page.until(f"{entries}.some(entry => entry.textContent.includes('{words}'))")
            await page.until("document.querySelector('#turns li')")
            facts = await page.text("#answered")
            assert "default" in facts
            assert "vosk (tiny-en)" in facts
            process.send_signal(signal.SIGINT)
            await page.until("document.querySelector('#status').textContent == 'The engine is being stopped'")
            assert await process.wait() == 0
            assert page.complaints == []
