"""Everything that must have happened: in the engine's log, at the caller's end of the line, and in the recordings."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from attrs import frozen

from examples.demo.cast import ONE, THREE, TWO
from examples.demo.listening import RATE, brightness_hz, find_speech, loudness, pitch_hz, read_recording, samples
from voicepipe import AudioFormat, Listen, Transcript
from voicepipe.testing.speaker import synthesise

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from examples.demo.calls import Call
    from examples.demo.cast import Part
    from examples.demo.checks import Checks
    from examples.demo.engine import Record
    from examples.demo.listening import Recording, Samples
    from examples.demo.story import Reloads
    from voicepipe import Pipeline, SpeechToText

SLOW_MS: Final = 6000
"""A reply takes 0.6 s. On a machine that does much else it may take more, which is no fault; this would be one."""
AUDIBLE: Final = 1000
"""How loud speech in a recording must be, of 32,768."""
ALIKE: Final = 0.9
"""How much the recording must resemble a sentence that it should hold; see `find_speech`."""
SLACK_S: Final = 1.0
"""How exactly the caller knows when the agent spoke, and when the call ended, on a machine that does much else."""
DIFFERENT: Final = 1.3
"""How far apart the pitches of two voices must be for anybody to hear it: more than a major third."""


@frozen
class Voice:
    """What an agent sounds like."""

    pipeline: str
    """Whose agent it is."""
    greeting_s: float
    """How long the greeting lasts."""
    pitch_hz: float
    """The usual pitch."""
    brightness_hz: float
    """The centre of the spectrum."""


def check_conversation(checks: Checks, call: Call) -> None:
    """That the right pipeline answered, heard what was said, replied fittingly, and hung up politely."""
    part, name = call.part, call.name
    pinned = call.started["pipeline"], call.started["version"]
    expected = f"is answered by {part.pipeline} on version {part.version}"
    checks.expect(name, expected, pinned == (part.pipeline, part.version), "{} on version {}".format(*pinned))
    greeted = call.turns[0]["said"] if call.turns else ""
    checks.expect(name, f'is greeted with "{part.greeting}"', greeted == part.greeting, greeted)
    replies = [turn for turn in call.turns if turn["trigger"] == "utterance"]
    wanted, found = len(part.exchanges), len(replies)
    checks.expect(name, f"the number of exchanges is {wanted}", found == wanted, found)
    for exchange, reply in zip(part.exchanges, replies, strict=False):
        heard, said, after_ms = reply["heard"], reply["said"], reply["response_ms"]
        checks.expect(name, f'the recogniser hears "{exchange.say.lower()}"', heard == exchange.say.lower(), heard)
        checks.expect(name, f'the reply is "{exchange.answer}"', exchange.answer in said, said)
        checks.expect(name, f"it comes within {SLOW_MS} ms", after_ms is not None and after_ms < SLOW_MS, after_ms)
    checks.expect(name, "the agent ends it", call.ended["outcome"] == "agent_hung_up", call.ended["outcome"])
    checks.expect(name, "the line is hung up as AudioSocket wants it", call.how == "0x00", call.how)
    heard_turns = sum(spoke.who == "agent" for spoke in call.spoke)
    checks.expect(name, "every reply arrives at the caller", heard_turns == len(call.turns), heard_turns)


async def check_recording(checks: Checks, call: Call, path: Path, pipeline: Pipeline) -> Recording:
    """That the WAV holds what the transcript says.

    The caller's side goes through the real recogniser once more, as one piece and without the phrases that the
    agent's questions made likely; on the agent's side each sentence must be at its time, in the pipeline's voice.
    """
    name, recording = f"{call.name}'s WAV", read_recording(path)
    lasted, said = call.ended["duration_s"], [turn["heard"] for turn in call.turns if turn["heard"]]
    length = f"{recording.seconds:.1f} s"
    checks.expect(name, f"lasts {lasted:.1f} s as the call did", abs(recording.seconds - lasted) < 3 * SLACK_S, length)
    for side, audio in (("caller", recording.caller), ("agent", recording.agent)):
        loud = loudness(audio)
        checks.expect(name, f"the {side} is audible", loud > AUDIBLE, f"level {loud:.0f}")
    words = await _recognised(pipeline.stt[0].component, recording.caller)
    checks.expect(name, f'the caller says "{" ".join(said)}"', words == " ".join(said), words)
    heard = [spoke for spoke in call.spoke if spoke.who == "agent"]
    for turn, spoke in zip(call.turns, heard, strict=False):
        start, end = max(0.0, spoke.at_s - SLACK_S), spoke.at_s + spoke.seconds + SLACK_S
        for sentence in re.split(r"(?<=[.!?])\s+", turn["said"]):
            speech = samples(await synthesise(pipeline.tts[0].component, sentence, AudioFormat(RATE)))
            at, alike = find_speech(speech, recording.agent[int(start * RATE) : int(end * RATE)])
            found = f"alike to {alike:.2f}, at {start + at:.1f} s"
            checks.expect(name, f'the agent then says "{sentence}"', alike > ALIKE, found)
            start += at + len(speech) / RATE / 2
    return recording


async def _recognised(stt: SpeechToText, audio: Samples) -> str:
    wanted = stt.input_for(AudioFormat(RATE))
    pcm = audio.astype("<i2").tobytes()
    size = wanted.format.bytes_in(wanted.chunk_ms)
    texts = []
    async with stt.open_stream(wanted, Listen()) as stream:
        for at in range(0, len(pcm), size):
            await stream.send(pcm[at : at + size])
        await stream.finish()
        while (event := await stream.receive()) is not None:
            if isinstance(event, Transcript) and event.final:
                texts.append(event.text)
    return " ".join(filter(None, texts))


def measure_voice(call: Call, recording: Recording) -> Voice:
    """What the agent of that call sounds like."""
    greeting_s = next((spoke.seconds for spoke in call.spoke if spoke.who == "agent"), 0.0)
    return Voice(call.part.pipeline, greeting_s, pitch_hz(recording.agent), brightness_hz(recording.agent))


def check_difference(checks: Checks, one: Voice, other: Voice) -> None:
    """That anybody can hear which pipeline answered."""
    low, high = sorted((one.pitch_hz, other.pitch_hz))
    found = f"{low:.0f} and {high:.0f} Hz"
    checks.expect("voices", "the two agents' pitches differ by more than a third", high > DIFFERENT * low > 0, found)
    lengths = f"{one.greeting_s:.2f} and {other.greeting_s:.2f} s"
    differ = abs(one.greeting_s - other.greeting_s) > 0.3
    checks.expect("voices", "the two greetings last differently long", differ, lengths)


def check_reloads(checks: Checks, calls: Mapping[Part, Call], reloads: Reloads, records: list[Record]) -> None:
    """That each reload had its outcome, and that none touched a call that was up."""
    switch, broken, mended = reloads.switch, reloads.broken, reloads.mended
    made = switch["event"] == "reload.applied" and switch["version"] == 2
    checks.expect("switch", "is applied as version 2", made, switch["event"])
    two, three = calls[TWO], calls[THREE]
    when = [records.index(record) for record in (two.started, switch, three.started, two.ended)]
    checks.expect("switch", "comes while call two is up, and so does call three", when == sorted(when), when)
    later = [turn for turn in two.turns if records.index(turn) > when[1]]
    goes_on = bool(later) and len(two.turns) == len(calls[ONE].turns)
    checks.expect("switch", "call two goes on after it, as call one did", goes_on, len(later))
    refused = broken["event"] == "reload.rejected" and broken.get("serving_version") == 2
    checks.expect("broken edit", "is refused, and version 2 serves on", refused, broken["event"])
    told = [(problem["line"], problem["column"]) for problem in broken.get("problems", [])]
    expected = f"is refused at {' and '.join(f'{line}:{column}' for line, column in reloads.mistakes)}"
    checks.expect("broken edit", expected, sorted(told) == sorted(reloads.mistakes), told)
    hints = [problem["hint"] for problem in broken.get("problems", [])]
    checks.expect("broken edit", "each mistake comes with a hint", hints and all(hints), hints)
    same = mended["event"] == "reload.unchanged" and mended["version"] == 2
    checks.expect("mended edit", "changes nothing", same, mended["event"])


def check_engine(checks: Checks, status: int | None, records: list[Record]) -> None:
    """That the engine stopped when it was asked to, and had nothing to complain of but the broken edit.

    `loop.held` is no complaint: it is also logged where other programs take the processor.
    """
    checks.expect("engine", "stops when it is asked to, with status 0", status == 0, status)
    bad = [record["event"] for record in records if record.get("level") in {"warning", "error", "critical"}]
    bad = [event for event in bad if event != "loop.held"]
    checks.expect("engine", "complains of the broken edit and of nothing else", bad == ["reload.rejected"], bad)
