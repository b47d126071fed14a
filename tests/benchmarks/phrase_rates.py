"""How often PocketSphinx hears its phrases where nobody said them, and misses them: `make phrase-rates`.

Six of espeak-ng's voices say phrases of three menus, and what is none of them, over mu-law at 8 kHz with noise 30, 20
and 10 dB below the voice; then there are lines on which nobody speaks. The decoder is the real one, in this process.
The noise is seeded; what was measured twice differed by one percent at most. It takes one to five minutes.
"""

from __future__ import annotations

import argparse
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import trio

from voicepipe.adapters.pocketsphinx import stt as pocketsphinx
from voicepipe.adapters.pocketsphinx import worker as pocketsphinx_worker
from voicepipe.audio import AudioFormat, from_pcm16, open_converter, to_pcm16
from voicepipe.components.requests import Listen
from voicepipe.testing.speaker import open_speaker

if TYPE_CHECKING:
    from collections.abc import Iterator

RATE = 8000
MENUS = {
    "menu": ("yes", "no", "operator", "opening hours", "an appointment"),
    "days": ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"),
    "departments": ("sales", "support", "billing", "accounts", "human resources", "repair"),
}
OTHERS = (
    *("i would like a large pizza with mushrooms", "the weather is nice today", "can you hear me", "what was that"),
    *("my name is peter", "hold on a second please", "that is far too expensive for me", "how much does it cost"),
    *("let me think about it", "never mind", "please repeat that", "where are you located", "good morning"),
    *("i am calling about my invoice", "the quick brown fox jumps over the lazy dog", "it is raining cats and dogs"),
    *("umbrella", "crocodile", "purple", "seven", "um", "well", "chocolate", "elephant", "banana bread"),
)
VOICES = ("en-us", "en-gb", "en-us+f3", "en-gb+m3", "en-gb-scotland", "en-us+m7")
BELOW_DB = (30, 20, 10)
STRICTNESS = (0, 0.7, 0.85, 1, 1.15, 1.3)
SPEECH_RMS = 1800


def over_the_line(samples: np.ndarray) -> bytes:
    """What arrives of it, as the recogniser wants it."""
    linear = np.clip(samples, -32768, 32767).astype("<i2").tobytes()
    converter = open_converter(AudioFormat(RATE), pocketsphinx.INPUT.format, live=False)
    assert converter is not None
    return converter.convert(to_pcm16(from_pcm16(linear, "mulaw"), "mulaw")) + converter.finish()


def spoken(speech: bytes, below_db: float, random: np.random.Generator) -> bytes:
    """Words with a moment before and after, and noise over all of it."""
    voice = np.frombuffer(speech, "<i2").astype(float)
    voice *= SPEECH_RMS / np.sqrt(np.mean(voice**2))
    around = np.zeros(RATE * 2 // 5)
    line = np.concatenate([around, voice, around])
    return over_the_line(line + random.normal(0, SPEECH_RMS * 10 ** (-below_db / 20), len(line)))


def noises(random: np.random.Generator) -> Iterator[np.ndarray]:
    """3 s each of lines on which nobody speaks."""
    t = np.arange(3 * RATE) / RATE
    yield from (random.normal(0, level, len(t)) for level in (100, 600, 3000))
    yield 1000 * np.sin(2 * np.pi * 50 * t) + random.normal(0, 100, len(t))
    yield from (3000 * np.sin(2 * np.pi * pitch * t) for pitch in (425, 440, 1000))
    yield 1500 * (np.sin(2 * np.pi * 697 * t) + np.sin(2 * np.pi * 1209 * t))
    yield np.cumsum(random.normal(0, 60, len(t))) * 0.5
    clicks = np.zeros(len(t))
    for at in range(400, len(t) - 200, 4000):
        clicks[at : at + 200] += random.normal(0, 8000, 200) * np.exp(-np.arange(200) / 40)
    yield clicks


class Ears:
    """The decoder, at several strictnesses at once."""

    def __init__(self) -> None:
        installed = pocketsphinx._Installed()
        self._library = pocketsphinx_worker.DecoderPool(str(installed.site), str(installed.model))
        options = pocketsphinx.PocketsphinxOptions()
        self._expectations = pocketsphinx._Expectations(options, installed.dictionary(options))

    def hear(self, phrases: tuple[str, ...], audio: bytes) -> tuple[str, set[float]]:
        """The likeliest phrase, and the strictnesses at which it is heard."""
        listen = pocketsphinx_worker.json.loads(self._expectations.payload_for(Listen(phrases=phrases)))
        recognition = pocketsphinx_worker.SphinxRecognition(self._library, listen)
        for at in range(0, len(audio), 3200):
            recognition.hear(audio[at : at + 3200])
        recognition._decoder.end_utt()
        text, kept = recognition._hypothesis(), set()
        for strictness in STRICTNESS:
            recognition._strictness = strictness
            if text and recognition._fits(is_over=True):
                kept.add(strictness)
        recognition._decoder.start_utt()
        recognition.close()
        return text, kept


async def speech_of_all() -> dict[tuple[str, str], bytes]:
    """Everything that is said, by voice and text."""
    said: dict[tuple[str, str], bytes] = {}
    for voice in VOICES:
        async with open_speaker(voice, rate=RATE) as speaker:
            for text in sorted({*OTHERS, *(phrase for menu in MENUS.values() for phrase in menu)}):
                said[voice, text] = await speaker.say(text)
    return said


def measure(said: dict[tuple[str, str], bytes]) -> Counter[tuple[str, float]]:
    """How often what happened, by strictness."""
    ears, counts = Ears(), Counter[tuple[str, float]]()
    for below_db in BELOW_DB:
        random = np.random.default_rng(below_db)
        for (voice, text), speech in sorted(said.items()):
            audio = spoken(speech, below_db, random)
            for number, phrases in enumerate(MENUS.values()):
                if text in phrases:
                    heard, kept = ears.hear(phrases, audio)
                    counts["phrases", 0] += 1
                    for strictness in kept:
                        counts["right" if heard == text else "wrong", strictness] += 1
                elif (len(text) + number + len(voice)) % 3 == 0:
                    _, kept = ears.hear(phrases, audio)
                    counts["others", 0] += 1
                    counts.update(("accepted", strictness) for strictness in kept)
    random = np.random.default_rng(0)
    for noise in noises(random):
        for phrases in MENUS.values():
            _, kept = ears.hear(phrases, over_the_line(noise))
            counts["noises", 0] += 1
            counts.update(("noise", strictness) for strictness in kept)
    return counts


def main() -> None:
    """Prints the table."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    counts = measure(trio.run(speech_of_all))
    phrases, others, lines = (counts[name, 0] for name in ("phrases", "others", "noises"))
    print(f"{phrases} phrases, {others} times other speech, {lines} lines on which nobody speaks; in percent")
    print("strictness  phrase heard  another phrase  nothing heard | other speech: a phrase | noise: a phrase")
    for strictness in STRICTNESS:
        right, wrong = counts["right", strictness], counts["wrong", strictness]
        of_phrases = (f"{100 * n / phrases:.0f}" for n in (right, wrong, phrases - right - wrong))
        accepted, noise = 100 * counts["accepted", strictness] / others, 100 * counts["noise", strictness] / lines
        print("{:>10}  {:>12}  {:>14}  {:>13} | {:>22.0f} | {:>15.0f}".format(strictness, *of_phrases, accepted, noise))


if __name__ == "__main__":
    main()
