"""The first call of a process loads no library: that would hold up the others for a tenth of a second."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

CALL = """
import sys
from pathlib import Path

import trio

import voicepipe
from voicepipe.testing.transport import MemoryTransport

FILE = '''
pipelines:
  default:
    stt: {type: vosk, model: models/tiny-en}
    llm: {type: scripted, script: scripts/reception.yaml}
    tts: espeak
    greeting: "Good morning. How can I help you?"
    turns: {barge_in: {min_speech_ms: 80}}
'''


async def main():
    file = Path("ai-agent.yaml")
    file.write_text(FILE)
    transport = MemoryTransport()
    async with voicepipe.open_pipeline_set(file) as pipelines:
        loaded = set(sys.modules)
        with pipelines.pin() as snapshot:
            pipeline = snapshot.choose(transport.info)
            async with voicepipe.open_call(pipeline, transport) as call, trio.open_nursery() as up:
                up.start_soon(call.run)
                await transport.be_silent(400)
                await transport.say(600)
                await transport.be_silent(400)
                await transport.hang_up_as_caller()
        print(*sorted(set(sys.modules) - loaded))
        print(len(transport.written), "frames were heard")


trio.run(main)
"""


def test_the_first_call_loads_nothing(tmp_path):
    for name in ("models", "scripts"):
        (tmp_path / name).symlink_to(ROOT / "config" / name)
    run = subprocess.run([sys.executable, "-c", CALL], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    loaded, heard = run.stdout.splitlines()
    assert loaded == ""
    assert int(heard.split()[0]) > 10
