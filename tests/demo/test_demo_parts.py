"""The parts of the demonstration that need no engine."""

import io

import numpy as np
import pytest
import trio
from patience import LONG_S

from examples.demo.calls import Call
from examples.demo.cast import EVERYBODY, ONE, THREE, TWO
from examples.demo.checks import Checks
from examples.demo.engine import EngineLog
from examples.demo.expectations import Voice, check_conversation, check_difference, check_engine, check_reloads
from examples.demo.failure import DemoFailed
from examples.demo.listening import (
    RATE,
    brightness_hz,
    find_speech,
    loudness,
    pitch_hz,
    read_recording,
    samples,
)
from examples.demo.operator import Change, edit, place_of
from examples.demo.report import conclude, transcript
from examples.demo.screen import Screen
from examples.demo.story import Reloads
from voicepipe.testing.audiosocket_caller import write_stereo_wav
from voicepipe.testing.conversation import Spoke
from voicepipe.testing.speaker import open_speaker

# --- The engine's log -------------------------------------------------------------------------------------------------


async def test_a_log_is_read_as_it_grows_whole_lines_only(tmp_path):
    path, told = tmp_path / "engine.log", []
    path.touch()
    log = EngineLog(path, told.append)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(log.follow)
        with path.open("a") as file:
            for piece in (
                '{"event": "a"}\nVosk says something\n{"eve',
                'nt": "b", "n": 1}\n',
                '{"event": "b", "n": 2}\n',
            ):
                file.write(piece)
                file.flush()
                await trio.sleep(0.05)
        assert (await log.wait_for("b", within_s=LONG_S))["n"] == 1
        assert (await log.wait_for("c", "b", within_s=LONG_S, n=2))["n"] == 2
        assert (await log.wait_for("b", within_s=LONG_S, after=2))["n"] == 2
        with pytest.raises(DemoFailed, match=r"did not log a or c within 0\.05 s"):
            await log.wait_for("a", "c", within_s=0.05, after=1)
        nursery.cancel_scope.cancel()
    assert told == log.records == [{"event": "a"}, {"event": "b", "n": 1}, {"event": "b", "n": 2}]


# --- The operator -----------------------------------------------------------------------------------------------------


def test_an_edit_shows_the_lines_that_differ(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("one: 1\ntwo: 2\nthree: 3\n")
    assert edit(file, (Change("one: 1", "one: 9"), Change("three", "tree"))) == [
        "  1 - one: 1",
        "  1 + one: 9",
        "  3 - three: 3",
        "  3 + tree: 3",
    ]
    assert file.read_text() == "one: 9\ntwo: 2\ntree: 3\n"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("old", ["four", "e"])
def test_an_edit_that_is_not_clear_is_not_made(tmp_path, old):
    file = tmp_path / "a.yaml"
    file.write_text("one: 1\nthree: 3\n")
    with pytest.raises(DemoFailed, match="should have"):
        edit(file, (Change(old, "x"),))
    assert file.read_text() == "one: 1\nthree: 3\n"


def test_a_place_counts_from_one():
    assert place_of("a", "abc") == (1, 1)
    assert place_of("wrong", "fine\n  x: wrong\n") == (2, 6)


# --- Listening --------------------------------------------------------------------------------------------------------


def voiced(pitch, seconds=1.0, harmonics=8):
    t = np.arange(int(RATE * seconds)) / RATE
    return 2000 * sum(np.sin(2 * np.pi * pitch * k * t) / k for k in range(1, harmonics))


def test_pitch_and_brightness_of_a_known_sound():
    assert pitch_hz(voiced(100)) == pytest.approx(100, abs=2)
    assert pitch_hz(voiced(210)) == pytest.approx(210, abs=5)
    assert brightness_hz(voiced(200, harmonics=4)) < brightness_hz(voiced(200, harmonics=16))


def test_silence_has_neither_pitch_nor_loudness():
    silence = np.zeros(RATE)
    assert (pitch_hz(silence), brightness_hz(silence), loudness(silence)) == (0, 0, 0)
    assert loudness(np.concatenate([silence, voiced(100)])) == pytest.approx(loudness(voiced(100)), rel=0.05)


async def test_a_sentence_is_found_and_told_from_another():
    async with open_speaker("en-us") as one, open_speaker("en-gb+f3") as other:
        first, second, absent = [
            samples(await one.say(f"An appointment on {day}.")) for day in ("Monday", "Tuesday", "Friday")
        ]
        same_words = samples(await other.say("An appointment on Tuesday."))
    said = np.concatenate([np.zeros(RATE), first, np.zeros(RATE // 2), second, np.zeros(RATE)])
    at, alike = find_speech(second, said)
    assert at == pytest.approx(1.5 + len(first) / RATE, abs=0.02)
    assert alike > 0.97
    assert find_speech(absent, said)[1] < 0.85
    assert find_speech(same_words, said)[1] < 0.85
    assert find_speech(first, np.zeros(100))[1] == 0

    late = len(said) - len(second) // 2 - RATE  # in the middle of the second sentence
    halting = np.concatenate([said[:late], np.zeros(RATE // 5), said[late:]])
    at, alike = find_speech(second, halting)
    assert at == pytest.approx(1.5 + len(first) / RATE, abs=0.02)
    assert alike > 0.97
    assert find_speech(absent, halting)[1] < 0.85


def test_a_recording_is_told_by_side(tmp_path):
    loud, quiet = voiced(100).astype("<i2").tobytes(), bytes(100)
    write_stereo_wav(tmp_path / "a.wav", loud, quiet, RATE)
    recording = read_recording(tmp_path / "a.wav")
    assert recording.seconds == 1
    assert loudness(recording.caller) > 1000
    assert loudness(recording.agent) == 0
    write_stereo_wav(tmp_path / "b.wav", loud, quiet, 16000)
    with pytest.raises(ValueError, match="not 16-bit stereo at 8000 Hz"):
        read_recording(tmp_path / "b.wav")


# --- Expectations -----------------------------------------------------------------------------------------------------


def call_as_expected(part):
    """A call of that part that went as it should."""
    call = Call(part, (), how="0x00")
    label = {"name": "x", "adapter": "x", "model": "m"}
    pinned = {"pipeline": part.pipeline, "version": part.version, "set": "main"}
    call.started = {"event": "call.started", "id": part.name, "stt": label, "llm": label, "tts": label, **pinned}
    says = [("call_started", "", part.greeting, None)]
    says += [("utterance", each.say.lower(), each.answer, 600.0) for each in part.exchanges]
    for trigger, heard, said, after_ms in says:
        turn = {"event": "call.turn", "trigger": trigger, "heard": heard, "said": said, "response_ms": after_ms}
        call.turns.append(turn | {"id": part.name, "interrupted": False})
        if heard:
            call.spoke.append(Spoke("caller", len(call.spoke), 1.0, 3000, heard))
        call.spoke.append(Spoke("agent", len(call.spoke), 1.0, 3000))
    call.ended = {"event": "call.ended", "id": part.name, "outcome": "agent_hung_up", "duration_s": 9.0, "turns": 3}
    return call


def failures(check, *arguments):
    checks = Checks()
    check(checks, *arguments)
    assert checks.done
    return [f"{check.about}: {check.expected}" for check in checks.failed]


@pytest.mark.parametrize("part", EVERYBODY)
def test_a_call_that_went_well_passes(part):
    assert failures(check_conversation, call_as_expected(part)) == []


def test_each_thing_that_goes_wrong_in_a_call_is_told():
    call = call_as_expected(ONE)
    call.started["version"] = 2
    call.turns[0]["said"] = "Hello"
    call.turns[1] |= {"heard": "i want an appointment on sunday", "response_ms": 6500.0}
    call.turns[2]["said"] = "Sorry, I did not get that."
    call.ended["outcome"] = "idle"
    call.how = "fin"
    del call.spoke[-1]
    assert len(failures(check_conversation, call)) == 8


def test_a_call_without_replies_fails_and_does_not_crash():
    call = call_as_expected(ONE)
    call.turns.clear()
    assert len(failures(check_conversation, call)) == 3


def story_as_expected():
    calls = {part: call_as_expected(part) for part in EVERYBODY}
    switch = {"event": "reload.applied", "version": 2}
    problems = [{"line": 8, "column": 3, "hint": "this"}, {"line": 9, "column": 4, "hint": "that"}]
    broken = {"event": "reload.rejected", "serving_version": 2, "problems": problems, "level": "error"}
    mended = {"event": "reload.unchanged", "version": 2}
    two, three = calls[TWO], calls[THREE]
    records = [two.started, two.turns[0], switch, three.started, *two.turns[1:], two.ended, broken, mended]
    return calls, Reloads(switch, broken, mended, ((8, 3), (9, 4))), records


def test_reloads_that_went_well_pass():
    assert failures(check_reloads, *story_as_expected()) == []


def test_a_reload_after_the_call_is_no_reload_under_a_call():
    calls, reloads, records = story_as_expected()
    records.remove(reloads.switch)
    records.append(reloads.switch)
    assert len(failures(check_reloads, calls, reloads, records)) == 2


def test_a_refusal_at_the_wrong_place_or_without_a_hint_is_told():
    calls, reloads, records = story_as_expected()
    reloads.broken["problems"][0] |= {"line": 7, "hint": ""}
    assert len(failures(check_reloads, calls, reloads, records)) == 2


def test_a_broken_edit_that_is_applied_is_told():
    calls, reloads, records = story_as_expected()
    reloads.broken.clear()
    reloads.broken.update(event="reload.applied", version=3)
    assert len(failures(check_reloads, calls, reloads, records)) == 3


def test_voices_that_sound_alike_are_told():
    low, high = Voice("a", 3.0, 100, 1000), Voice("b", 3.7, 200, 1100)
    assert failures(check_difference, low, high) == []
    assert len(failures(check_difference, low, Voice("b", 3.1, 110, 1100))) == 2
    assert len(failures(check_difference, low, Voice("b", 3.7, 0, 0))) == 1


def test_an_engine_that_complains_or_has_to_be_killed_is_told():
    refused, crashed = {"event": "reload.rejected", "level": "error"}, {"event": "call.crashed", "level": "error"}
    assert failures(check_engine, 0, [refused, {"event": "call.ended", "level": "info"}]) == []
    assert failures(check_engine, 0, [{"event": "loop.held", "level": "warning"}, refused]) == [], "a busy machine"
    assert len(failures(check_engine, None, [refused, crashed])) == 2


# --- What is shown and written ----------------------------------------------------------------------------------------


def test_a_transcript_says_who_said_what_and_when():
    assert transcript(call_as_expected(ONE)).splitlines()[1:] == [
        "answered by pipeline default on version 1 of set main: stt x m, llm x m, tts x m",
        "",
        "  0.00  agent   Hello, this is the front desk. How can I help you?",
        "  1.00  caller  i want an appointment on monday",
        "  2.00  agent   An appointment on Monday. Shall I book it?   (after 600 ms)",
        "  3.00  caller  yes please",
        "  4.00  agent   Booked, on Monday.   (after 600 ms)",
        "  9.00  ended   agent_hung_up, 3 turns",
    ]


def test_the_end_names_what_did_not_come_true(tmp_path):
    out, checks = io.StringIO(), Checks()
    checks.expect("call one", "ends", true=True)
    checks.expect("call two", "is heard", true=False, found="nothing")
    conclude(Screen(out), checks, tmp_path)
    assert "1 of 2 expectations did NOT come true" in out.getvalue()
    assert "  call two: is heard\n    found: nothing\n" in out.getvalue()
    assert [str(check)[:4] for check in checks.done] == ["ok  ", "FAIL"]


def test_long_lines_are_folded_and_short_ones_left_as_they_are(monkeypatch):
    monkeypatch.setenv("COLUMNS", "70")
    out = io.StringIO()
    screen = Screen(out)
    screen.event("call one", "agent", "word " * 30)
    screen.block(["    a: b", "       ^", "x" * 40 + " " + "y" * 40])
    first, *rest = out.getvalue().splitlines()
    assert first.startswith("  0.0")
    assert max(map(len, [first, *rest])) <= 70
    assert rest[-4:] == ["            a: b", "               ^", " " * 8 + "x" * 40, " " * 10 + "y" * 40]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_colour_is_for_terminals_unless_it_is_not_wanted(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert Screen(Terminal()).paint("fine", "good") == "\x1b[32mfine\x1b[0m"
    assert Screen(io.StringIO()).paint("fine", "good") == "fine"
    monkeypatch.setenv("NO_COLOR", "1")
    assert Screen(Terminal()).paint("fine", "good") == "fine"
