"""What ends Vosk's native library ends a process of its own: told with the reason and the model, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from false_vosk import STAGES, false_vosk, write_model

from voicepipe.adapters.vosk.stt import VoskOptions, stt
from voicepipe.audio import AudioFormat
from voicepipe.components.events import Transcript
from voicepipe.components.requests import Listen, StreamInput
from voicepipe.components.values import Directory
from voicepipe.errors import ComponentError

INPUT = StreamInput(AudioFormat(16000), 100)


@pytest.fixture(autouse=True)
def _false(tmp_path):
    with false_vosk(tmp_path):
        yield


def options(path: Path) -> VoskOptions:
    return VoskOptions(Directory(path=path, fingerprint="", shown=Path("models/mine")))


async def test_the_stand_in_recognises_something(tmp_path, resources):
    async with (
        stt.open(options(write_model(tmp_path / "model")), resources) as vosk,
        vosk.open_stream(INPUT, Listen()) as stream,
    ):
        await stream.send(bytes(3200))
        await stream.finish()
        assert await stream.receive() == Transcript("so", final=False, audio_end_ms=100)
        assert await stream.receive() == Transcript("so far", final=True, audio_end_ms=100)
        assert await stream.receive() is None


@pytest.mark.parametrize("stage", STAGES)
async def test_a_model_that_ends_its_process_does_not_open(tmp_path, resources, no_children, stage):
    with pytest.raises(ComponentError, match=r"its native code crashed, killed by signal 6") as raised:
        async with stt.open(options(write_model(tmp_path / "model", stage)), resources):
            pass
    assert raised.value.answered == f"LOG: nothing good has come of {stage}"
    assert "models/mine" in raised.value.hint
    assert no_children()


@pytest.mark.parametrize("stage", STAGES)
async def test_a_model_that_the_library_refuses_does_not_open(tmp_path, resources, no_children, stage):
    with pytest.raises(ComponentError, match=f"models/mine can't be loaded: Exception: no {stage}") as raised:
        async with stt.open(options(write_model(tmp_path / "model", f"{stage} raises")), resources):
            pass
    assert "models/mine" in raised.value.hint
    assert not raised.value.retryable
    assert no_children()


async def test_a_process_that_ends_over_a_callers_words_fails_its_streams_and_then_the_component(
    tmp_path, resources, no_children
):
    failures = []

    async def wait(stream) -> None:
        try:
            await stream.receive()
        except ComponentError as error:
            failures.append(error)

    with pytest.raises(ComponentError, match="killed by signal 6") as raised:  # noqa: PT012 - what runs meanwhile
        async with stt.open(options(write_model(tmp_path / "model", "a caller")), resources) as vosk:
            async with (
                vosk.open_stream(INPUT, Listen()) as one,
                vosk.open_stream(INPUT, Listen()) as other,
                trio.open_nursery() as nursery,
            ):
                nursery.start_soon(wait, one)
                nursery.start_soon(wait, other)
                with trio.CancelScope(shield=True), pytest.raises(ComponentError, match="killed by signal 6"):
                    await one.send(b"CALLER" * 100)
            await trio.sleep_forever()
    assert [str(failure) for failure in failures] == [str(raised.value)] * 2
    assert no_children()
