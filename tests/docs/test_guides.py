"""The programs in the guides run as they stand there."""

from __future__ import annotations

import socket
import subprocess
import sys
from uuid import uuid4

import pytest
from doc_pages import ROOT, block_titled
from patience import LONG_S

import voicepipe


def test_the_program_that_reloads(tmp_path):
    pytest.importorskip("vosk", reason="its pipeline recognises with vosk: make setup")
    program = tmp_path / "reloading.py"
    program.write_text(block_titled("docs/how-to/embed.md", "reloading.py"), encoding="utf-8")
    command = [sys.executable, program, ROOT / "config/ai-agent.yaml"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=LONG_S, check=True)
    assert run.stdout == "version 1: default answers\nnothing to do\n"


def test_the_program_that_holds_hundreds_of_calls(tmp_path):
    pytest.importorskip("vosk", reason="its pipeline recognises with vosk: make setup")
    program = tmp_path / "collecting.py"
    program.write_text(block_titled("docs/how-to/embed.md", "collecting.py"), encoding="utf-8")
    command = [sys.executable, program, ROOT / "config/ai-agent.yaml"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        try:
            host, port = running.stdout.readline().split()
            with socket.create_connection((host, int(port)), timeout=LONG_S) as call:
                call.sendall(b"\x01\x00\x10" + uuid4().bytes)
                assert call.recv(3) == b"\x10\x01\x40"  # a frame of the greeting
        finally:
            running.kill()


def test_the_observer(capsys):
    program = {}
    exec(block_titled("docs/how-to/embed.md", "observing.py"), program)
    turn = voicepipe.TurnEnded(
        call_id="1",
        at_s=2.0,
        turn=1,
        trigger="utterance",
        heard="hello",
        said="Hi.",
        interrupted=False,
        response_ms=600.0,
    )
    program["observe"](turn)
    program["observe"](voicepipe.CallEnded(call_id="1", at_s=3.0, outcome="caller_hung_up", turns=1))
    assert capsys.readouterr().out == "'hello' -> 'Hi.' after 600.0 ms\ncaller_hung_up\n"


def test_the_softphones_listener_and_a_client_that_is_no_page(tmp_path):
    """The two programs of the page about browsers talk to each other."""
    pytest.importorskip("vosk", reason="its pipeline recognises with vosk: make setup")
    for name in ("softphone.py", "call_by_websocket.py"):
        (tmp_path / name).write_text(block_titled("docs/reference/browser.md", name), encoding="utf-8")

    def run(*command):
        return subprocess.Popen([sys.executable, *command], cwd=tmp_path, stdout=subprocess.PIPE, text=True)

    with run("softphone.py", ROOT / "config/ai-agent.yaml") as engine:
        try:
            address = engine.stdout.readline().strip().replace("http:", "ws:")
            with run(
                "call_by_websocket.py", f"{address}call", "", ROOT / "tests/data/speech/appointment-16k.wav"
            ) as call:
                try:
                    assert any("appointment" in line for line in call.stdout)
                finally:
                    call.kill()
        finally:
            engine.kill()
