"""The example for asyncio programs: trio is a guest, and results and cancellations pass between the two loops."""

from __future__ import annotations

import asyncio
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import trio
from patience import LONG_S

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "under_asyncio.py"


@pytest.fixture
def run_in_asyncio(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLE.parent))
    spec = importlib.util.spec_from_file_location("under_asyncio", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.run_in_asyncio


def test_a_call_is_held_while_asyncio_goes_on(tmp_path):
    pytest.importorskip("vosk", reason="the example's pipeline recognises with vosk: make setup")
    caller = ROOT / "tests/data/speech/two-turns-8k.wav"
    run = subprocess.run(
        [sys.executable, EXAMPLE, ROOT / "config/ai-agent.yaml", caller, tmp_path / "conversation.wav"],
        capture_output=True,
        text=True,
        timeout=LONG_S,
        check=True,
    )
    assert "heard='hello i need support'" in run.stdout
    assert "outcome='agent_hung_up'" in run.stdout
    lines = run.stdout.splitlines()
    first, last = (
        next(n for n, line in enumerate(lines) if line.startswith(name)) for name in ("CallBegan", "CallEnded")
    )
    assert "asyncio is alive" in lines[first:last]
    assert run.stderr == ""


def test_what_trio_returns_and_raises_arrives(run_in_asyncio):
    async def fine():
        await trio.lowlevel.checkpoint()
        return 42

    async def broken():
        await trio.lowlevel.checkpoint()
        raise ValueError("as it was")

    assert asyncio.run(run_in_asyncio(fine)) == 42
    with pytest.raises(ValueError, match="as it was"):
        asyncio.run(run_in_asyncio(broken))


def test_cancelling_in_asyncio_cancels_in_trio_and_waits_for_it(run_in_asyncio):
    happened = []

    async def host():
        started = asyncio.Event()

        async def guest():
            started.set()
            try:
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True):
                    await trio.sleep(0.01)
                happened.append("closed")

        waiting = asyncio.ensure_future(run_in_asyncio(guest))
        await started.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        happened.append("awaited")

    asyncio.run(host())
    assert happened == ["closed", "awaited"]
