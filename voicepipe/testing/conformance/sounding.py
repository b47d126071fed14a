"""Checks of the sound of text-to-speech: it is speech, loud enough, and complete."""

from __future__ import annotations

from array import array
from collections import defaultdict
from itertools import pairwise
from operator import mul
from typing import TYPE_CHECKING, Any

from voicepipe.audio import AudioFormat, level, to_pcm16
from voicepipe.components.events import SpeechAudio
from voicepipe.nurseries import open_hidden_nursery
from voicepipe.testing.conformance.kit import checks
from voicepipe.testing.conformance.verdicts import Failed

if TYPE_CHECKING:
    from voicepipe.components.protocols import SpeechStream
    from voicepipe.testing.conformance.speaking import Speaking
    from voicepipe.testing.conformance.subject import Bench, Subject

FRAME_MS = 20

AUDIBLE = 300
"""The least level (RMS, of 32,768) of the loudest tenth of speech: -41 dB; on telephones it has -26 dB."""

FULL_SCALE, CLIPPED = 32_000, 0.1
"""The level of a sample that is at its limit, and the share of samples that may be."""

WRAPS, WRAPPED = 50_000, 0.0005
"""The step between two samples that shows an overrun of the limit, and the share of samples that may have it."""

LOUD = 0.3
"""The least level of a frame that is judged, as a share of the loudest frame's."""

SMOOTH = 0.25
"""The least correlation of neighbouring samples: voices have 0.5 to 0.97, noise has 0."""

HEADERS = {b"RIFF": "WAV", b"OggS": "Ogg", b"ID3": "MP3", b"fLaC": "FLAC", b"\x1aE\xdf\xa3": "WebM", b"FORM": "AIFF"}
"""The first bytes of audio files, and the names of their formats."""


def audio_of(events: list[Any]) -> dict[int, bytes]:
    """Returns the audio of each segment."""
    audio: dict[int, bytes] = defaultdict(bytes)
    for event in events:
        if isinstance(event, SpeechAudio):
            audio[event.segment] += event.audio
    return dict(audio)


def _samples(audio: bytes, output: AudioFormat) -> array[int]:
    whole = audio[: len(audio) - len(audio) % output.sample_bytes]
    return array("h", to_pcm16(whole, output.encoding))


def _frames(samples: array[int], output: AudioFormat) -> list[array[int]]:
    size = output.rate * FRAME_MS // 1000
    return [samples[at : at + size] for at in range(0, max(1, len(samples) - size + 1), size)]


def _audible(audio: bytes, output: AudioFormat) -> bool:
    """Whether a piece of audio is more than a pause."""
    return level(_samples(audio, output).tobytes()) >= AUDIBLE / 3


async def speech_is_audible(subject: Subject[Speaking]) -> None:
    """What is spoken can be heard: every segment is as loud as speech on a telephone, and not distorted.

    Silence that takes its time passes every other test, and is dead air. 16-bit samples reach to 32,767: whoever makes
    them of floating-point numbers multiplies by that, and cuts off what lies beyond.
    """
    output, got = await subject.undisturbed()
    for segment, audio in audio_of([received.event for received in got]).items():
        samples = _samples(audio, output)
        levels = sorted(level(frame.tobytes()) for frame in _frames(samples, output))
        text = subject.use.text_of(segment)
        if levels[len(levels) * 9 // 10] < AUDIBLE:
            raise Failed(
                f"{text!r} is silent, or too quiet: a tenth of it has a level of {levels[len(levels) * 9 // 10]:.0f}"
            )
        clipped = sum(abs(sample) >= FULL_SCALE for sample in samples)
        if clipped > CLIPPED * len(samples):
            raise Failed(f"{text!r} is distorted: of {len(samples)} samples {clipped} are as loud as can be")
        wrapped = sum(abs(after - before) > WRAPS for before, after in pairwise(samples))
        if wrapped > WRAPPED * len(samples):
            raise Failed(f"{text!r} is distorted: {wrapped} times its samples run over from one limit to the other")


async def speech_is_no_noise(subject: Subject[Speaking]) -> None:
    """The bytes are samples in the promised encoding, and nothing else: no file's header, no other codec.

    In a voice each sample is much like the one before it. Bytes in the wrong order (16-bit samples are little-endian),
    an odd byte that was dropped, or compressed audio are noise, at full level in the caller's ear.
    """
    output, got = await subject.undisturbed()
    for segment, audio in audio_of([received.event for received in got]).items():
        for beginning, name in HEADERS.items():
            if audio.startswith(beginning):
                raise Failed(f"the audio of {subject.use.text_of(segment)!r} begins with the header of a {name} file")
        frames = _frames(_samples(audio, output), output)
        levels = [level(frame.tobytes()) for frame in frames]
        loud = [frame for frame, loudness in zip(frames, levels, strict=True) if loudness >= LOUD * max(levels)]
        power = sum(sum(map(mul, frame, frame)) for frame in loud)
        likeness = sum(sum(map(mul, frame, frame[1:])) for frame in loud) / power if power else 1.0
        if likeness < SMOOTH:
            raise Failed(
                f"{subject.use.text_of(segment)!r} is noise as {output}: neighbouring samples agree to {likeness:.2f}, "
                f"those of a voice to more than {SMOOTH}"
            )


BRIEF = ("5", "12", "ma", "mamamama")
"""Short texts, which an adapter may take for blank ones; and one syllable four times."""

ADDS_UP = 1.1
"""The most that four syllables in one word may last, as a multiple of four single ones."""


async def a_short_segment_is_spoken(subject: Subject[Speaking]) -> None:
    """A segment of one figure or one syllable is spoken, and whole.

    Models write "5", and a sentence may be one word. A segment is blank if no character of it is a letter *or a figure*
    (`str.isalnum`). Where what is spoken ends is said by the service: pass on what is left in a buffer then.
    """
    use = subject.use
    async with subject.bench() as bench:
        output = bench.component.output_for(use.call)
        audio = audio_of(await _spoken(bench, BRIEF))
    lengths = {text: output.ms_in(len(audio.get(segment, b""))) for segment, text in enumerate(BRIEF)}
    for text, length in lengths.items():
        if not length:
            raise Failed(f"no audio for {text!r}")
    syllable, four = lengths["ma"], lengths["mamamama"]
    if four > 4 * syllable * ADDS_UP:
        raise Failed(
            f"{BRIEF[2]!r} lasts {syllable:.0f} ms and {BRIEF[3]!r} {four:.0f} ms, more than four times as long: "
            "is the end of each segment lost?"
        )


SIGNS = 'Tom & Jerry say: "5 < 6", 100% sure.'
"""A text with characters that have a meaning in markup, in JSON and in URLs."""

LONG = 300
"""The least length of a long segment, in characters: a list, or a sentence without a full stop."""

AS_LONG = 0.7
"""The least duration of a long segment, as a share of its parts': it has fewer pauses than short ones."""


async def every_segment_is_spoken_whole(subject: Subject[Speaking]) -> None:
    """A segment is spoken from its first word to its last: a long one, one that was said before, one with `&` in it.

    "Yes." may come twice in a reply, and a sentence may have 300 characters. Send text as it is, have `json.dumps` or
    `xml.sax.saxutils.escape` quote it, cut it only into parts that are all spoken, and keep no speech by less than the
    whole text, the voice and the language.
    """
    use = subject.use
    short, all_of_them = use.texts()[0], " ".join(use.texts())
    texts = (short, short, " ".join([all_of_them] * (1 + LONG // len(all_of_them))), SIGNS, short)
    _, got = await subject.undisturbed()
    async with subject.bench() as bench, bench.stream() as stream:
        output = bench.component.output_for(use.call)
        async with open_hidden_nursery() as nursery:
            nursery.start_soon(_say, stream, texts)
            audio = audio_of(await bench.rest(stream))
            nursery.cancel_scope.cancel()
    lengths = [output.ms_in(len(audio.get(segment, b""))) for segment in range(len(texts))]
    for text, length in zip(texts, lengths, strict=True):
        if not length:
            raise Failed(f"no audio for {text!r}, in a reply of {len(texts)} segments of which some are alike")
        if text == short and length < lengths[0] / 2:
            raise Failed(f"{short!r} lasts {lengths[0]:.0f} ms, and {length:.0f} ms when it is said again")
    usual = sum(output.ms_in(len(audio)) for audio in audio_of([received.event for received in got]).values())
    due = usual * len(texts[2]) / sum(map(len, use.texts()))
    if lengths[2] < AS_LONG * due:
        raise Failed(f"a segment of {len(texts[2])} characters lasts {lengths[2]:.0f} ms, its parts {due:.0f} ms")


async def _say(stream: SpeechStream, texts: tuple[str, ...]) -> None:
    for segment, text in enumerate(texts):
        await stream.send(text, segment)
    await stream.finish()


async def the_end_is_not_cut_off(subject: Subject[Speaking]) -> None:
    """Each segment is spoken to its last sample, whether another follows or not, and whenever `finish` is called.

    What the service sent last is still in a buffer, or on its way, when the text has ended: pass it on before `receive`
    gives None, and before the audio of the next segment.
    """
    use = subject.use
    first, second = use.texts()[:2]
    async with subject.bench() as bench:
        output = bench.component.output_for(use.call)
        in_order = audio_of(await _spoken(bench, (first, second)))
        reversed_ = audio_of(await _spoken(bench, (second, first)))
        alone = audio_of(await _spoken(bench, (first,), waits=True))
    pairs = [
        (first, in_order[0], reversed_[1]),
        (second, reversed_[0], in_order[1]),
        (first, in_order[0], alone[0]),
    ]
    for text, followed, last in pairs:
        for shorter, longer, when in (
            (last, followed, "no other segment follows"),
            (followed, last, "another follows"),
        ):
            lost = longer[len(shorter) :]
            if lost and longer.startswith(shorter) and _audible(lost, output):
                raise Failed(f"the last {output.ms_in(len(lost)):.0f} ms of {text!r} are lost when {when}")
    for text, audio, alike in ((first, reversed_[1], in_order[0]), (second, in_order[1], reversed_[0])):
        before = audio.find(alike[: output.bytes_in(BEGINNING_MS)])
        if before > 0 and _audible(audio[:before], output):
            raise Failed(f"{text!r} begins with {output.ms_in(before):.0f} ms of the segment before it")
    if all(len(last) < MOST_OF * len(followed) for _, followed, last in pairs):
        raise Failed(
            f"{first!r} and {second!r} are shorter, by more than {1 - MOST_OF:.0%}, when no other segment follows"
        )


BEGINNING_MS = 60
"""The beginning of a segment that is looked for in another rendering of it, in ms."""

MOST_OF = 0.8
"""The least length of a segment, as a share of another rendering, for voices that vary."""


async def _spoken(bench: Bench[Speaking], texts: tuple[str, ...], *, waits: bool = False) -> list[Any]:
    """Returns the events of some segments; with `waits`, `finish` is called after the first event."""
    events: list[Any] = []
    async with bench.stream() as stream:
        with bench.subject.due("send() or finish()"):
            for segment, text in enumerate(texts):
                await stream.send(text, segment)
        if waits:
            events.append(await bench.next(stream))
        with bench.subject.due("finish()"):
            await stream.finish()
        return events + await bench.rest(stream)


SOUNDING = checks(
    speech_is_audible,
    speech_is_no_noise,
    a_short_segment_is_spoken,
    every_segment_is_spoken_whole,
    the_end_is_not_cut_off,
)
