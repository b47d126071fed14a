"""R03: nor does a model over which the native library ends its process: the reload is rejected, and calls go on."""

from __future__ import annotations

from pathlib import Path

import pytest
from false_vosk import STAGES, false_vosk, write_model

from voicepipe import AudioFormat, Listen, Rejected, open_pipeline_set

SCRIPT = Path(__file__).parents[2] / "config/scripts/reception.yaml"
CALL = AudioFormat(8000)
CONFIG = """\
pipelines:
  default:
    stt: {{type: vosk, model: {model}}}
    llm: {{type: scripted, script: {script}}}
    tts: espeak
"""


@pytest.mark.parametrize("stage", STAGES)
async def test_the_version_that_serves_goes_on(tmp_path, stage):
    write_model(tmp_path / "good")
    write_model(tmp_path / "bad", stage)
    file = tmp_path / "ai-agent.yaml"
    file.write_text(CONFIG.format(model="good", script=SCRIPT))
    with false_vosk(tmp_path):
        async with open_pipeline_set(file) as pipelines:
            with pipelines.pin() as snapshot:
                vosk = snapshot.active.stt[0].component
                async with vosk.open_stream(vosk.input_for(CALL), Listen()) as stream:
                    file.write_text(CONFIG.format(model="bad", script=SCRIPT))
                    outcome = await pipelines.reload()
                    assert isinstance(outcome, Rejected)
                    (problem,) = outcome.problems
                    assert "killed by signal 6" in problem.message
                    assert "bad" in problem.hint
                    await stream.send(bytes(1600))
                    await stream.end_utterance()
                    assert (await stream.receive()).text == "so"
            assert pipelines.current.version == 1
