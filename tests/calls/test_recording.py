"""Recordings: both sides where they were heard, and a file that is whole whatever happens."""

from __future__ import annotations

import errno
import os
import re
import wave

import numpy as np
import pytest
import trio
from attrs import validators

from voicepipe import open_call
from voicepipe.audio import AudioFormat
from voicepipe.calls.events import CallBegan, RecordingFailed
from voicepipe.calls.record import CallRecorder
from voicepipe.calls.recording import SAVE_S, recording_path
from voicepipe.config.call_settings import BargeInSettings, TurnsSettings
from voicepipe.config.settings import RecordingSettings
from voicepipe.testing.buffering_transport import BufferingTransport
from voicepipe.testing.calls import RehearsedCall, open_test_pipeline
from voicepipe.testing.components import ScriptedLanguageModel, ScriptedSpeechToText, ToneTextToSpeech
from voicepipe.testing.transport import MemoryTransport

pytestmark = pytest.mark.usefixtures("threads_take_no_time")


def record_of(call):
    recorder = CallRecorder()
    for event in call.events:
        recorder.observe(event)
    return recorder.record


def sides(path):
    """The two sides of a recording, and its rate."""
    with wave.open(str(path), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth()) == (2, 2)
        both = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
        return both[:, 0], both[:, 1], file.getframerate()


def loud_ms(side, rate):
    """Where a side begins and ends to be loud, in ms."""
    where = np.flatnonzero(np.abs(side) > 300)
    return where[0] / rate * 1000, where[-1] / rate * 1000


async def held(directory, audio, **settings):
    call = RehearsedCall(
        stt=ScriptedSpeechToText(["two tickets"]),
        transport=MemoryTransport(audio),
        settings={"greeting": "", "recording": RecordingSettings(str(directory)), **settings},
    )

    async def caller():
        await call.transport.be_silent(1000)
        await call.transport.say(1000)
        await call.transport.be_silent(3000)
        await call.transport.hang_up_as_caller()

    await call.hold(caller)
    return call


@pytest.mark.parametrize("audio", [AudioFormat(8000), AudioFormat(8000, "mulaw"), AudioFormat(16000)], ids=str)
async def test_both_sides_are_where_they_were_heard(autojump_clock, tmp_path, audio):
    call = await held(tmp_path / "new" / "directory", audio)
    (path,) = (tmp_path / "new" / "directory").iterdir()
    assert str(path) == call.told(CallBegan)[0].recording
    caller, agent, rate = sides(path)
    assert rate == audio.rate
    assert len(caller) / rate == pytest.approx(5, abs=0.05)
    assert loud_ms(caller, rate) == (pytest.approx(1000, abs=40), pytest.approx(2000, abs=40))
    # "I see." takes 360 ms, 600 ms after the caller.
    assert loud_ms(agent, rate) == (pytest.approx(2600, abs=60), pytest.approx(2960, abs=60))


async def test_it_is_whole_while_the_call_is_up(autojump_clock, tmp_path):
    call = RehearsedCall(settings={"greeting": "Hello there.", "recording": RecordingSettings(str(tmp_path))})
    lengths = []

    async def caller():
        await call.transport.be_silent(int(SAVE_S * 1000) + 2000)
        with trio.fail_after(60):
            while not lengths:
                await trio.sleep(1)
                lengths.extend(len(sides(path)[0]) for path in tmp_path.iterdir())
        await call.transport.hang_up_as_caller()

    await call.hold(caller)
    assert lengths[0] > 8000 * (SAVE_S - 1)


async def test_a_thread_that_begins_after_the_end_of_the_call_costs_nothing(autojump_clock, tmp_path, monkeypatch):
    """The end waits for no thread that is writing already: what that was to write is written in its place."""
    begun, late = [], []

    async def run_sync(function, *arguments, **_options):
        begun.append(function)
        if len(begun) == 2:
            late.append(lambda: function(*arguments))
            await trio.sleep_forever()
        await trio.lowlevel.checkpoint()
        return function(*arguments)

    monkeypatch.setattr(trio.to_thread, "run_sync", run_sync)
    call = RehearsedCall(settings={"greeting": "", "recording": RecordingSettings(str(tmp_path))})

    async def caller():
        await call.transport.be_silent(1000)
        await call.transport.say(6000)
        await call.transport.hang_up_as_caller()

    ended = await call.hold(caller)
    late[0]()
    (path,) = tmp_path.iterdir()
    left, _right, rate = sides(path)
    assert len(left) / rate >= ended.at_s - 0.1
    begin, end = loud_ms(left, rate)
    assert (begin, end) == (pytest.approx(1000, abs=50), pytest.approx(7000, abs=50))


async def test_a_disk_that_takes_nothing_ends_the_recording_and_not_the_call(autojump_clock, tmp_path):
    (tmp_path / "file").write_text("no directory")
    call = RehearsedCall(settings={"greeting": "Hello.", "recording": RecordingSettings(str(tmp_path / "file"))})

    async def caller():
        await call.transport.be_silent(12_000)
        await call.transport.hang_up_as_caller()

    ended = await call.hold(caller)
    assert ended.outcome == "caller_hung_up"
    (failed,) = call.told(RecordingFailed)
    assert "file" in failed.path
    assert failed.reason


@pytest.mark.parametrize("seconds", [0.1, 3, 25])
@pytest.mark.parametrize("directory", ["file/in", "nul\0", "/proc/voicepipe"])
async def test_a_place_that_takes_no_file_is_told_however_short_the_call(autojump_clock, tmp_path, directory, seconds):
    (tmp_path / "file").write_text("no directory")
    with validators.disabled():  # the NUL
        recording = RecordingSettings(str(tmp_path / directory))
    call = RehearsedCall(settings={"greeting": "Hello.", "recording": recording})
    held = []

    async def caller():
        await call.transport.be_silent(int(seconds * 1000))
        held.append(call.call._recording._caller.length - call.call._recording._caller.taken)
        await call.transport.hang_up_as_caller()

    await call.hold(caller)
    (failed,) = call.told(RecordingFailed)
    assert failed.reason
    assert held == [0]
    assert record_of(call).recording_failed == failed.reason


@pytest.mark.parametrize("at_s", [2, 12, 30])
async def test_a_disk_that_is_full_keeps_what_it_has_and_drops_the_rest(autojump_clock, tmp_path, monkeypatch, at_s):
    """Full in the middle of a piece, whether it is the first or the last of the call."""
    pwrite, room = os.pwrite, [32_000 * (at_s - 1) + 1234]

    def write(descriptor, data, at):
        data = bytes(data)[: max(0, room[0] - at)]
        if not data:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return pwrite(descriptor, data, at)

    monkeypatch.setattr(os, "pwrite", write)
    call = RehearsedCall(settings={"greeting": "Hello.", "recording": RecordingSettings(str(tmp_path))})

    async def caller():
        await call.transport.be_silent(at_s * 1000)
        await call.transport.hang_up_as_caller()

    await call.hold(caller)
    (failed,) = call.told(RecordingFailed)
    assert "No space left" in failed.reason
    (path,) = tmp_path.iterdir()
    whole, _, _ = sides(path)
    assert path.stat().st_size == 44 + 4 * len(whole) <= room[0]
    assert record_of(call).recording_failed == failed.reason


@pytest.mark.parametrize(("readable_by", "file", "directory"), [("owner", 0o600, 0o700), ("group", 0o640, 0o750)])
async def test_nobody_else_may_read_it(autojump_clock, tmp_path, readable_by, file, directory):
    before = os.umask(0)
    try:
        recording = RecordingSettings(str(tmp_path / "new" / "deep"), readable_by)
        await held("", AudioFormat(8000), recording=recording)
    finally:
        os.umask(before)
    (path,) = (tmp_path / "new" / "deep").iterdir()
    assert path.stat().st_mode & 0o777 == file
    assert {parent.stat().st_mode & 0o777 for parent in (path.parent, path.parent.parent)} == {directory}


@pytest.mark.parametrize("transport", [MemoryTransport, BufferingTransport])
async def test_keys_and_what_is_around_them_are_silent_on_both_sides(autojump_clock, tmp_path, transport):
    """Also in audio that is saved meanwhile, and the other seconds stay where they are."""
    call = RehearsedCall(
        transport=transport(),
        settings={
            "greeting": " ".join(["word"] * 80),
            "turns": TurnsSettings(barge_in=BargeInSettings(enabled=False)),
            "recording": RecordingSettings(str(tmp_path), mute_keys=True),
        },
    )

    async def caller():
        for ms in (6000, 1500, 1500):
            await call.transport.say(ms)
            await call.transport.press("4")
        await call.transport.say(7000)
        await call.transport.hang_up_as_caller()

    await call.hold(caller)
    (path,) = tmp_path.iterdir()
    caller_side, agent_side, rate = sides(path)
    assert len(caller_side) / rate == pytest.approx(16, abs=0.1)
    quiet = [not np.any(caller_side[at : at + rate // 10]) for at in range(0, len(caller_side), rate // 10)]
    assert quiet == [4 <= at / 10 < 11 for at in range(len(quiet))]
    assert np.any(agent_side[: 4 * rate])
    assert not np.any(agent_side[4 * rate : 11 * rate])
    assert [turn.said for turn in call.turns[1:]].count("I see.") >= 3


def silent_tenths(side, rate):
    """For each tenth of a second, whether a side is silent."""
    return [not np.any(side[at : at + rate // 10]) for at in range(0, len(side) - rate // 10, rate // 10)]


@pytest.mark.parametrize("transport", [MemoryTransport, BufferingTransport])
async def test_a_paused_recording_is_silent_on_both_sides_for_that_time(autojump_clock, tmp_path, transport):
    """Over a save in the pause, with a key in it, twice; and all else stays at its second, at its level."""
    call = RehearsedCall(
        transport=transport(),
        settings={
            "greeting": " ".join(["word"] * 80),
            "turns": TurnsSettings(barge_in=BargeInSettings(enabled=False)),
            "recording": RecordingSettings(str(tmp_path)),
        },
    )

    async def caller():
        for ms, steer in ((3000, call.call.pause_recording), (4000, call.call.resume_recording)) * 2:
            await call.transport.say(ms)
            assert steer() is True
            assert steer() is True  # and changes nothing
        await call.transport.say(2000)
        await call.transport.hang_up_as_caller()

    await call.hold(caller)
    (path,) = tmp_path.iterdir()
    caller_side, agent_side, rate = sides(path)
    assert len(caller_side) / rate == pytest.approx(16, abs=0.1)
    quiet = silent_tenths(caller_side, rate)
    assert quiet == [3 <= at / 10 < 7 or 10 <= at / 10 < 14 for at in range(len(quiet))]
    spoken = [np.abs(caller_side[at * rate : (at + 1) * rate]).max() for at in (1, 8, 14)]
    assert min(spoken) == max(spoken) > 3000
    assert not np.any(agent_side[3 * rate : 7 * rate])
    assert not np.any(agent_side[10 * rate : 14 * rate])
    assert np.abs(agent_side[2 * rate : 3 * rate]).max() == np.abs(agent_side[7 * rate + 800 : 8 * rate]).max() > 900
    steered = record_of(call).steered
    assert [step.action for step in steered] == ["pause_recording"] * 2 + ["resume_recording"] * 2 + [
        "pause_recording"
    ] * 2 + ["resume_recording"] * 2
    assert [round(step.at_s) for step in steered] == [3, 3, 7, 7, 10, 10, 14, 14]
    assert {step.by for step in steered} == {"program"}


async def test_a_pause_ends_no_silence_around_keys(autojump_clock, tmp_path):
    call = RehearsedCall(settings={"greeting": "", "recording": RecordingSettings(str(tmp_path), mute_keys=True)})

    async def caller():
        await call.transport.say(4000)
        call.call.pause_recording()
        await call.transport.say(1000)
        await call.transport.press("4")
        call.call.resume_recording()
        await call.transport.say(4000)
        await call.transport.hang_up_as_caller()

    await call.hold(caller)
    caller_side, _, rate = sides(next(tmp_path.iterdir()))
    quiet = silent_tenths(caller_side, rate)
    assert quiet == [3 <= at / 10 < 7 for at in range(len(quiet))]  # from 2 s before the key until 2 s after it


@pytest.mark.parametrize("recorded", [True, False])
async def test_a_call_may_be_paused_before_it_begins_and_where_nothing_is_recorded(autojump_clock, tmp_path, recorded):
    directory = str(tmp_path) if recorded else ""
    call = RehearsedCall(settings={"greeting": "Hello there.", "recording": RecordingSettings(directory)})
    said = []

    async def caller():
        await call.transport.say(2000)
        said.append(call.call.steered_by("tool:pay").resume_recording())
        await call.transport.say(1000)
        await call.transport.hang_up_as_caller()

    async with open_test_pipeline(call.stt, call.llm, call.tts, **call.settings) as pipeline:  # noqa: SIM117
        async with (
            trio.open_nursery() as nursery,
            open_call(pipeline, call.transport, observer=call.events.append) as up,
        ):
            call.call = up
            said.append(up.pause_recording())
            nursery.start_soon(caller)
            await up.run()
    assert said == [recorded, recorded]
    steered = record_of(call).steered
    assert [(step.action, step.by) for step in steered] == [
        ("pause_recording", "program"),
        ("resume_recording", "tool:pay"),
    ]
    if recorded:
        caller_side, agent_side, rate = sides(next(tmp_path.iterdir()))
        assert not np.any(caller_side[: 2 * rate])
        assert not np.any(agent_side[: 2 * rate])
        assert np.any(caller_side[2 * rate :])


async def test_a_recording_that_is_whole_says_nothing_of_failure(autojump_clock, tmp_path):
    call = await held(tmp_path, AudioFormat(8000))
    assert (record_of(call).recording_failed, call.told(RecordingFailed)) == ("", [])


async def test_by_itself_nothing_is_recorded(autojump_clock, tmp_path):
    call = await held("", AudioFormat(8000))
    assert call.told(CallBegan)[0].recording == ""
    assert list(tmp_path.iterdir()) == []


def test_a_call_id_leads_nowhere_else():
    path = recording_path("recordings", "../../etc/passwd\0" + "x" * 300)
    assert path.parent.name == "recordings"
    assert re.fullmatch(r"\d{8}T\d{6}Z-[A-Za-z0-9._-]{1,100}\.wav", path.name)


async def test_of_a_transport_that_buffers_what_was_heard_is_recorded_when_it_was(autojump_clock, tmp_path):
    """Speech is written up to 3 s ahead, and cleared when the caller interrupts: none of that is in the file."""
    transport = BufferingTransport(delay_ms=100)
    call = RehearsedCall(
        stt=ScriptedSpeechToText(["wait"]),
        llm=ScriptedLanguageModel(lambda request: "One two three four." if len(request.messages) < 2 else "Yes."),
        tts=ToneTextToSpeech(ms_a_char=100),
        transport=transport,
        settings={"recording": RecordingSettings(str(tmp_path))},
    )

    async def caller():
        await transport.be_silent(700)
        await transport.say(500)
        await transport.be_silent(3000)
        await transport.hang_up_as_caller()

    await call.hold(caller)
    (path,) = tmp_path.iterdir()
    _caller, agent, rate = sides(path)
    sounding = np.flatnonzero(np.abs(agent) > 500) / rate
    expected = np.concatenate([at + np.arange(len(audio) // 2) / rate for at, audio in transport.sounds])
    assert len(transport.cleared) >= 1
    assert len(sounding) == pytest.approx(len(expected), abs=rate * 0.05)
    assert (sounding[0], sounding[-1]) == pytest.approx((expected[0], expected[-1]), abs=0.1)
    assert np.count_nonzero(np.diff(sounding) > 0.1) == 1  # between the reply that was interrupted and the next
