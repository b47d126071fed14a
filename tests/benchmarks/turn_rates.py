"""How often a reply stops for nothing, and how often it goes on over the caller: `make conversation-rates`.

Whole calls over made-up telephone lines, with the real voice activity detection and the real Vosk (tiny-en): noise,
the echo of the agent's own voice, other people, clicks, hum, keys. The callers and the agent are espeak-ng. The clock
is virtual and everything else is seeded, so the same code gives the same table on any machine.

For each line there are calls in which nobody says a word while the agent speaks, and calls in which the caller speaks
over it. Printed are, of the first, how often a reply was paused and how often it was given up; of the second, how
often it was still heard 400 ms after the caller had begun, and how often the words were understood to be some.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import trio
import trio.testing
from attrs import define, evolve, field, frozen

from voicepipe.adapters.shared import recogniser_workers
from voicepipe.adapters.shared.recogniser_workers import RecogniserWorker
from voicepipe.adapters.vosk import stt as vosk
from voicepipe.adapters.vosk import worker as vosk_worker
from voicepipe.audio import AudioFormat, from_pcm16, to_pcm16
from voicepipe.calls.events import ReplyResumed, SpeechDetected
from voicepipe.components.events import SpeechAudio
from voicepipe.components.values import Directory
from voicepipe.config.call_settings import LimitsSettings
from voicepipe.testing.calls import RehearsedCall
from voicepipe.testing.components import ScriptedLanguageModel
from voicepipe.testing.speaker import open_speaker
from voicepipe.testing.transport import MemoryTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

RATE = 8000
FRAME = 160
LEVEL = 10 ** (-20 / 20)
"""Speech on a telephone is about 20 dB below what the line can carry."""
WITHIN_MS = 400
"""How long after the caller's first sound a reply may still be heard."""
FADES_MS = 120
"""What a call writes ahead, and how long a frame lasts, generously."""

MODEL = Path(__file__).parents[2] / "config/models/tiny-en"
REPLY = (
    "We have rooms on the first and on the second floor, each with a view of the garden, and breakfast is from seven "
    "until ten. If you like, we can also arrange a table in the restaurant beside the river."
)
SAYS = ("stop please", "help me please", "i want to speak with an operator", "no thank you", "yes please book it")
OTHERS = (
    "The train to the airport leaves from platform nine in a quarter of an hour, so we should go soon.",
    "She told me that the garden has never been as beautiful as this year, with all those roses.",
    "Did anybody see where I have put the keys of the car, I am sure that they were on the table.",
    "After the meeting we went for a walk along the harbour and looked at the old ships there.",
)
VOICES = ("en-us", "en-gb", "en-us+f2", "en-gb+m3")


@frozen
class Speech:
    """Everything that anybody says, as samples from -1 to 1."""

    reply: np.ndarray
    """The agent's."""
    lines: tuple[np.ndarray, ...]
    """The caller's, each from its first sound on."""
    others: tuple[np.ndarray, ...]
    """Of people in the room."""


ECHOES = ((-40, 20), (-34, 150), (-30, 60), (-30, 150), (-20, 100), (-20, 150), (-20, 400), (-14, 150), (-10, 200))
"""How loud, in dB beside the agent, and how late, in ms, the agent's voice comes back."""

Sound = Callable[[np.random.Generator, int, Speech], np.ndarray]
"""So many samples of what a line has besides speech."""


@frozen
class Line:
    """A telephone line, and the room at its end."""

    name: str
    """As the table has it."""
    sound: Sound | None = None
    """What is heard all the time."""
    echo_db: float | None = None
    """How loud the agent's voice comes back, in dB of what it was; None: not at all."""
    echo_ms: int = 0
    """How much later."""
    caller_db: float = 0.0
    """How much louder the caller is than usual."""


@define
class Rates:
    """What came of the calls over one line."""

    replies: int = 0
    """In which the caller said nothing."""
    paused: int = 0
    """Of those, that were paused at least once."""
    cancelled: int = 0
    """Of those, that did not go on."""
    pauses: int = 0
    """All pauses of them."""
    resumed: int = 0
    """All of which ended with the reply going on."""
    barge_ins: int = 0
    """Replies that the caller spoke over."""
    missed: int = 0
    """Of those, that were still heard after `WITHIN_MS`."""
    ended: int = 0
    """Of those, that ended for good, because words were recognised."""


# --- What lines have besides speech ----------------------------------------------------------------------------------


def scaled(samples: np.ndarray, db: float) -> np.ndarray:
    """The same at a level, in dB below the loudest that a line can carry."""
    return samples * 10 ** (db / 20) / max(float(np.sqrt(np.mean(samples**2))), 1e-9)


def white(db: float) -> Sound:
    """Hiss."""
    return lambda rng, size, _speech: scaled(rng.normal(size=size), db)


def pink(db: float) -> Sound:
    """A room's noise: the lower, the louder."""

    def sound(rng: np.random.Generator, size: int, _speech: Speech) -> np.ndarray:
        spectrum = np.fft.rfft(rng.normal(size=size))
        return scaled(np.fft.irfft(spectrum / np.sqrt(np.arange(len(spectrum)) + 1), size), db)

    return sound


def steps(db: float) -> Sound:
    """Noise that comes and stays: somebody switches on a fan."""

    def sound(rng: np.random.Generator, size: int, _speech: Speech) -> np.ndarray:
        noise = scaled(rng.normal(size=size), db)
        noise[: size // 4] *= 0.01
        return noise

    return sound


def crosstalk(db: float, people: int = 1) -> Sound:
    """Others who speak all the time, `people` of them at once."""

    def sound(rng: np.random.Generator, size: int, speech: Speech) -> np.ndarray:
        mixed = np.zeros(size)
        for _ in range(people):
            voice = speech.others[int(rng.integers(len(speech.others)))]
            mixed += np.resize(np.roll(voice, int(rng.integers(len(voice)))), size)
        return scaled(mixed, db)

    return sound


def hum(db: float) -> Sound:
    """The mains."""

    def sound(_rng: np.random.Generator, size: int, _speech: Speech) -> np.ndarray:
        t = np.arange(size) / RATE
        return scaled(sum(np.sin(2 * np.pi * 50 * k * t) / k for k in (1, 3, 5, 7, 9, 11)), db)

    return sound


def clicks(rng: np.random.Generator, size: int, _speech: Speech) -> np.ndarray:
    """Two a second, 5 ms each."""
    samples = np.zeros(size)
    for start in rng.integers(size - 40, size=2 * size // RATE):
        samples[start : start + 40] += rng.normal(size=40) * 0.4
    return samples


def keys(_rng: np.random.Generator, size: int, _speech: Speech) -> np.ndarray:
    """DTMF in the audio, a key of 100 ms each second."""
    t = np.arange(800) / RATE
    samples = np.zeros(size)
    for start in range(RATE, size - 800, RATE):
        samples[start : start + 800] = 0.15 * (np.sin(2 * np.pi * 770 * t) + np.sin(2 * np.pi * 1336 * t))
    return samples


LINES = (
    Line("clean"),
    Line("quiet caller, -12 dB", caller_db=-12),
    *(Line(f"white noise, {db} dBFS", white(db)) for db in (-50, -40, -30, -25)),
    *(Line(f"pink noise, {db} dBFS", pink(db)) for db in (-40, -30, -25)),
    Line("fan from 2 s on, -28 dBFS", steps(-28)),
    *(Line(f"babble of six, {db} dBFS", crosstalk(db, 6)) for db in (-50, -45, -35, -30)),
    *(Line(f"one other voice, {db} dBFS", crosstalk(db)) for db in (-50, -40, -30)),
    *(Line(f"echo {db} dB after {ms} ms", None, db, ms) for db, ms in ECHOES),
    Line("hum, -35 dBFS", hum(-35)),
    Line("clicks", clicks),
    Line("DTMF in the audio", keys),
)


# --- Calls -----------------------------------------------------------------------------------------------------------


async def make_speech() -> Speech:
    """Has espeak-ng say everything."""
    spoken = []
    for number, text in enumerate((REPLY, *SAYS, *OTHERS)):
        async with open_speaker(VOICES[number % len(VOICES)]) as speaker:
            samples = np.frombuffer(await speaker.say(text), "<i2") / 32768
        loud = np.flatnonzero(np.abs(samples) > 0.02)
        samples = samples[loud[0] : loud[-1]]
        spoken.append(samples * LEVEL / np.sqrt(np.mean(samples[np.abs(samples) > 0.01] ** 2)))
    return Speech(spoken[0], tuple(spoken[1 : 1 + len(SAYS)]), tuple(spoken[1 + len(SAYS) :]))


def _telephone_band() -> np.ndarray:
    """A filter that passes 300 to 3,400 Hz: a windowed sinc."""
    n = np.arange(-64, 65)
    low, high = (2 * cut / RATE * np.sinc(2 * cut / RATE * n) for cut in (300, 3400))
    return (high - low) * np.hamming(len(n))


BAND = _telephone_band()


class EchoingTransport(MemoryTransport):
    """A line on which the agent's voice comes back.

    Args:
        line: how loud and when.
        near: all that the telephone's microphone picks up besides.

    """

    def __init__(self, line: Line, near: np.ndarray) -> None:
        super().__init__(AudioFormat(RATE))
        self._line = line
        self._near = np.convolve(near, BAND, "same")
        self._far = np.zeros(len(near) + RATE)
        self._far_end = 0
        self._began = trio.current_time()

    def write(self, audio: bytes | memoryview) -> bool:
        """Takes the agent's audio, which begins to sound when what came before has sounded."""
        samples = np.frombuffer(audio, "<i2") / 32768
        start = max(self._far_end, int((trio.current_time() - self._began) * RATE))
        self._far_end = start + len(samples)
        room = self._far[start : self._far_end]
        room[:] = samples[: len(room)]
        return super().write(audio)

    async def ring(self) -> None:
        """Sends all of it, then hangs up."""
        delay = self._line.echo_ms * RATE // 1000
        echo = 0.0 if self._line.echo_db is None else 10 ** (self._line.echo_db / 20)
        for start in range(0, len(self._near) - FRAME, FRAME):
            mixed = self._near[start : start + FRAME].copy()
            if echo and start >= delay:
                mixed += echo * self._far[start - delay : start - delay + FRAME]
            pcm = (mixed.clip(-1, 1) * 32767).astype("<i2").tobytes()
            await self.send(to_pcm16(from_pcm16(pcm, "mulaw"), "mulaw"))
        await self.hang_up_as_caller()


@define(eq=False)
class Voice:
    """Says one thing only."""

    samples: np.ndarray
    _queue: list[SpeechAudio] = field(factory=list)

    def output_for(self, _call: AudioFormat) -> AudioFormat:
        """A telephone's."""
        return AudioFormat(RATE)

    @asynccontextmanager
    async def open_stream(self, _output: AudioFormat, _language: str | None) -> AsyncIterator[Voice]:
        """Of the same voice, with nothing said yet."""
        yield Voice(self.samples)

    async def send(self, text: str, segment: int) -> None:
        """Speaks it if it is the reply; all else is short."""
        await trio.lowlevel.checkpoint()
        samples = self.samples if len(text) > len(REPLY) / 2 else self.samples[:RATE]
        self._queue.append(SpeechAudio((samples * 32767).astype("<i2").tobytes(), segment))

    async def finish(self) -> None:
        """That was all."""
        await trio.lowlevel.checkpoint()

    async def receive(self) -> SpeechAudio | None:
        """What there is."""
        while not self._queue:
            await trio.sleep(0.01)
            if not self._queue:
                return None
        await trio.lowlevel.checkpoint()
        return self._queue.pop(0)


async def hold(stt: object, line: Line, near: np.ndarray, speech: Speech) -> tuple[RehearsedCall, float]:
    """One call; when it began on the clock."""
    transport = EchoingTransport(line, near)
    call = RehearsedCall(
        stt=stt,
        llm=ScriptedLanguageModel(lambda _: "Yes?"),
        tts=Voice(speech.reply),
        transport=transport,
        settings={"greeting": REPLY, "limits": LimitsSettings(idle_prompt_s=1000)},
    )
    began = trio.current_time()
    await call.hold(transport.ring)
    return call, began


async def measure_line(stt: object, line: Line, trials: int, speech: Speech) -> Rates:
    """Holds `trials` calls of each kind over a line."""
    rates = Rates()
    size = len(speech.reply) + RATE
    reply_s = len(speech.reply) / RATE
    for trial in range(trials):
        rng = np.random.default_rng([trial, sum(line.name.encode())])
        room = np.zeros(size) if line.sound is None else line.sound(rng, size, speech)
        call, _ = await hold(stt, line, room, speech)
        pauses = sum(event.interrupts and event.at_s < reply_s + 2 for event in call.told(SpeechDetected))
        first = call.turns[0]
        rates.replies += 1
        rates.paused += pauses > 0
        rates.pauses += pauses
        rates.resumed += len(call.told(ReplyResumed))
        rates.cancelled += first.interrupted and first.at_s < size / RATE - 0.1

        said = speech.lines[trial % len(speech.lines)] * 10 ** (line.caller_db / 20)
        onset = int(rng.integers(RATE, 4 * RATE))
        near = room.copy()
        near[onset : onset + len(said)] += said[: size - onset]
        call, began = await hold(stt, line, near, speech)
        deadline = began + (onset / RATE) + (WITHIN_MS + FADES_MS) / 1000
        heard = [when for when, _ in call.transport.written if deadline < when < deadline + 0.1]
        rates.barge_ins += 1
        rates.missed += bool(heard)
        rates.ended += call.turns[0].interrupted and call.turns[0].at_s < size / RATE - 0.1
    return rates


class WorkerInThisProcess(RecogniserWorker):
    """In place of a process, which a virtual clock would not wait for."""

    def __init__(self) -> None:
        super().__init__("Vosk", "Vosk can't work")
        found = find_spec("vosk")
        assert found is not None
        assert found.origin is not None
        self._library = vosk_worker.VoskModel(found.origin, str(MODEL), RATE, words=False)
        self._recognitions: dict[int, vosk_worker.VoskRecognition] = {}

    def post(self, kind: int, stream: int, payload: bytes = b"") -> None:
        """Does at once what a worker is asked, and answers."""
        found: list[dict[str, Any]] = []
        if kind == recogniser_workers.CLOSE:
            del self._recognitions[stream]
            return
        if kind == recogniser_workers.OPEN:
            self._recognitions[stream] = vosk_worker.VoskRecognition(self._library, json.loads(payload))
        elif kind == recogniser_workers.AUDIO:
            found = self._recognitions[stream].hear(payload)
        elif kind == recogniser_workers.END:
            found = self._recognitions[stream].conclude()
        else:
            found = self._recognitions[stream].listen_for(json.loads(payload))
        self.message(recogniser_workers.HEARD, stream, json.dumps(found).encode())


def measure(lines: Iterable[Line], trials: int, tell: Callable[[Line, Rates], None], longest_s: float = 60.0) -> None:
    """Tells of each line what came of its calls, in which the agent speaks for so long at the most."""
    speech = trio.run(make_speech)
    speech = evolve(speech, reply=speech.reply[: int(longest_s * RATE)])

    async def calls() -> None:
        options = vosk.VoskOptions(model=Directory(MODEL, fingerprint=""))
        stt = vosk.Vosk(options, WorkerInThisProcess(), RATE, upsamples=False)
        for line in lines:
            tell(line, await measure_line(stt, line, trials, speech))

    trio.run(calls, clock=trio.testing.MockClock(autojump_threshold=0))


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--trials", type=int, default=5, help="calls of each kind and line (5)")
    parser.add_argument("--line", default="", help="only lines with this in their name")
    chosen = parser.parse_args()
    print(f"{'':32}  nobody speaks            the caller speaks over it")
    print(f"{'line':32}  paused  ended  resumed   missed  understood")

    def tell(line: Line, rates: Rates) -> None:
        paused, ended = rates.paused / rates.replies, rates.cancelled / rates.replies
        resumed = f"{rates.resumed / rates.pauses:7.0%}" if rates.pauses else "      -"
        missed, understood = rates.missed / rates.barge_ins, rates.ended / rates.barge_ins
        print(f"{line.name:32}  {paused:6.0%}  {ended:5.0%}  {resumed}   {missed:6.0%}  {understood:10.0%}", flush=True)

    measure((line for line in LINES if chosen.line in line.name), chosen.trials, tell)


if __name__ == "__main__":
    sys.exit(main())
