"""Checks for text-to-speech: audio in the promised format, of all the text, in order."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import trio

from voicepipe.audio import AudioFormat
from voicepipe.components.events import SpeechAudio, SpeechMark, Usage
from voicepipe.testing.conformance.kit import checks
from voicepipe.testing.conformance.usage import judge_charge, judge_usage
from voicepipe.testing.conformance.verdicts import Failed
from voicepipe.testing.conformance.waiting import ended_after

if TYPE_CHECKING:
    from voicepipe.components.protocols import SpeechStream
    from voicepipe.testing.conformance.speaking import Speaking
    from voicepipe.testing.conformance.subject import Bench, Subject

CALLS = tuple(AudioFormat(rate, encoding) for rate in (8000, 16000, 24000) for encoding in ("pcm16", "mulaw", "alaw"))
"""Formats of calls: those in use, and some others."""

SHORTER, LONGER = 1.6, 2.5
"""The factors by which a single segment may be shorter or longer than all together: short ones have long pauses."""

SAME_LENGTH = 0.15
"""The share by which a text may differ in length in two formats: voices vary their pauses."""


async def output_for_is_pure_and_sane(subject: Subject[Speaking]) -> None:
    """`output_for` returns a format of 8 to 48 kHz for any call's format, and an equal one each time.

    The call asks before it opens a stream, and builds its resampler for the answer.
    """
    async with subject.bench() as bench:
        for call in CALLS:
            given = bench.component.output_for(call)
            if not isinstance(given, AudioFormat) or not 8000 <= given.rate <= 48000:
                raise Failed(f"output_for({call}) gives {given!r}")
            if bench.component.output_for(call) != given:
                raise Failed(f"output_for({call}) gives something else the second time")


async def events_are_well_formed(subject: Subject[Speaking]) -> None:
    """Events are those of `SpeechEvent`: audio in whole samples, marks within their text and in order.

    Half a sample turns all that follows into noise. After a barge-in the marks decide which words the caller heard.
    Each `Usage` covers what was charged since the one before, with None for figures that the provider doesn't report.
    """
    use = subject.use
    output, got = await subject.undisturbed()
    marks: dict[int, SpeechMark] = {}
    length = _lengths(output, [received.event for received in got])
    for received in got[:-1]:
        match received.event:
            case SpeechAudio(audio=bytes(audio), segment=int()):
                if len(audio) % output.sample_bytes:
                    raise Failed(f"{len(audio)} bytes are no whole samples of {output}")
            case SpeechMark(segment=int(segment), chars=int(chars), at_ms=int(at_ms)) as mark if segment in length:
                before = marks.get(segment, SpeechMark(segment, 0, 0))
                text = use.text_of(segment)
                if not (before.chars <= chars <= len(text) and before.at_ms <= at_ms):
                    raise Failed(f"{mark!r} after {before!r}, in a text of {len(text)} characters")
                if at_ms > length[segment] + 1:
                    raise Failed(f"{mark!r} is after the segment's end at {length[segment]:.0f} ms")
                marks[segment] = mark
            case Usage() as usage:
                judge_usage(usage)
            case _:
                raise Failed(f"receive() gave {received.event!r}")
    texts = use.texts()
    spoken_s, characters = sum(length.values()) / 1000, sum(map(len, texts))
    judge_charge((received.event for received in got), audio_s=spoken_s, requests=len(texts), characters=characters)


async def segments_come_in_order(subject: Subject[Speaking]) -> None:
    """Audio comes in the order of the segments: for each segment with words, and for no other.

    The segment of the audio that was played tells the call which text the caller has heard.
    """
    use = subject.use
    _, got = await subject.undisturbed()
    spoken = [(received.event.segment, received.sent) for received in got if isinstance(received.event, SpeechAudio)]
    for segment, sent in spoken:
        if not 0 <= segment < sent:
            raise Failed(f"audio for segment {segment} when {sent} segments were sent")
    order = [segment for segment, _ in spoken]
    if order != sorted(order):
        raise Failed("audio of an earlier segment comes after that of a later one")
    lacking = [text for segment, text in enumerate(use.texts()) if segment not in order]
    if lacking:
        raise Failed(f"no audio for {lacking[0]!r}")


async def blank_text_is_no_trouble(subject: Subject[Speaking]) -> None:
    """Segments of only blanks or punctuation are skipped or give a pause; the segments after them are spoken.

    Models write such segments, and many services answer them with an error: don't send them.
    """
    async with subject.bench() as bench, bench.stream() as stream:
        events: list[Any] = []
        async with trio.open_nursery() as nursery:

            async def say() -> None:
                for segment, text in enumerate((" ", "Good morning.", "...", "\n", "Goodbye.")):
                    await stream.send(text, segment)
                await stream.finish()

            nursery.start_soon(say)
            events += await bench.rest(stream)
    spoken = {event.segment for event in events if isinstance(event, SpeechAudio) and event.audio}
    if not {1, 4} <= spoken:
        raise Failed("text after a blank segment was not spoken")


async def speech_lasts_as_long_as_its_text(subject: Subject[Speaking]) -> None:
    """All segments together last 36 to 92 ms a character, or as long as `ms_a_char` says, and each about as long.

    Audio that is too long or too short has another rate than was promised, or a part of it was lost. For texts of your
    own the bounds are 20 to 300 ms a character, which proves little: pass closer ones.
    """
    use = subject.use
    output, got = await subject.undisturbed()
    lengths = _lengths(output, [received.event for received in got])
    for segment, length in lengths.items():
        text = use.text_of(segment)
        a_char = length / len(text)
        if not use.ms_a_char[0] / SHORTER <= a_char <= use.ms_a_char[1] * LONGER:
            raise Failed(f"{text!r} lasts {length:.0f} ms: {a_char:.1f} ms a character as {output}")
    a_char = sum(lengths.values()) / sum(len(use.text_of(segment)) for segment in lengths)
    if lengths and not use.ms_a_char[0] <= a_char <= use.ms_a_char[1]:
        least, most = use.ms_a_char
        raise Failed(f"a character lasts {a_char:.1f} ms as {output}, not {least:g} to {most:g}: has it another rate?")


async def speech_is_in_the_promised_format(subject: Subject[Speaking]) -> None:
    """A text lasts equally long in every format: the audio has the rate that `output_for` promised.

    At a wrong rate the voice is too high or too low. Ask the service for the format that `open_stream` was given.
    """
    use = subject.use
    async with subject.bench() as bench:
        formats = {bench.component.output_for(call): call for call in CALLS}
        if len(formats) == 1:  # there is nothing to compare; `speech_lasts_as_long_as_its_text` has the text to go by
            return
        lengths = {output: await _spoken_ms(bench, output, use.texts()[1]) for output in formats}
    shortest, longest = min(lengths, key=lengths.__getitem__), max(lengths, key=lengths.__getitem__)
    if lengths[longest] > lengths[shortest] * (1 + SAME_LENGTH):
        raise Failed(
            f"the same text lasts {lengths[shortest]:.0f} ms as {shortest}, and {lengths[longest]:.0f} ms as {longest}"
        )


async def _spoken_ms(bench: Bench[Speaking], output: AudioFormat, text: str) -> float:
    async with bench.component.open_stream(output, bench.subject.use.language) as stream:
        with bench.subject.due("send() or finish()"):
            await stream.send(text, 0)
            await stream.finish()
        return sum(_lengths(output, await bench.rest(stream)).values())


def _lengths(output: AudioFormat, events: list[Any]) -> dict[int, float]:
    """Returns the duration of each segment, in ms."""
    lengths: dict[int, float] = defaultdict(float)
    for event in events:
        if isinstance(event, SpeechAudio):
            lengths[event.segment] += output.ms_in(len(event.audio))
    return dict(lengths)


async def speech_comes_before_the_reply_is_complete(subject: Subject[Speaking]) -> None:
    """The first segment's audio comes before `finish()`, while the model is still writing the next.

    A segment is about a sentence: to wait for more of them adds latency. Synthesise each segment at once, and flush.
    """
    async with subject.bench() as bench, bench.stream() as stream:
        while not (isinstance(event := await bench.begin(stream, means=""), SpeechAudio) and event.audio):
            if event is None:
                raise Failed("receive() gave None before finish()")
            break


async def finishing_gives_the_rest(subject: Subject[Speaking]) -> None:
    """After `finish()` the remaining audio comes, then None; None at once if no text was sent.

    The turn ends at None: a stream that never returns it keeps the caller waiting. A reply may be only a tool call:
    then no text is sent, and the service need not be asked.
    """
    async with subject.bench() as bench:
        async with bench.stream() as stream:
            with subject.due("finish()"):
                await stream.finish()
            if await bench.rest(stream):
                raise Failed("events came although nothing was sent")
        async with bench.stream() as stream:
            with subject.due("send() or finish()"):
                await stream.send(subject.use.texts()[0], 0)
                await stream.finish()
            if not any(isinstance(event, SpeechAudio) for event in await bench.rest(stream)):
                raise Failed("finish() right after send() lost what was sent")


WORDLESS = ((), ("...",), ("\U0001f642", " "), ("—", "\n"))
"""Texts of replies without words."""


async def a_reply_without_words_ends_well(subject: Subject[Speaking]) -> None:
    """A stream without text, or with text without words, ends with None and no error, also after other words.

    Replies may be only a tool call, or only emoji. If a service's answer to that were reported as a failure, calls
    would stop using a voice that works.
    """
    async with subject.bench() as bench:
        for texts in WORDLESS:
            for pause_s in (0.0, 0.05):
                async with bench.stream() as stream:
                    await _send_and_finish(subject, stream, texts, 0, pause_s)
                    await bench.rest(stream)
        async with bench.stream() as stream:
            event = await bench.begin(stream)
            while event is not None and not isinstance(event, SpeechAudio):
                event = await bench.next(stream)
            await _send_and_finish(subject, stream, WORDLESS[1], 1, 0.05)
            await bench.rest(stream)


async def _send_and_finish(
    subject: Subject[Speaking], stream: SpeechStream, texts: tuple[str, ...], first: int, pause_s: float
) -> None:
    with subject.due("send() or finish()"):
        for segment, text in enumerate(texts, first):
            await stream.send(text, segment)
        await trio.sleep(pause_s)
        await stream.finish()


async def a_slow_sender_is_waited_for(subject: Subject[Speaking]) -> None:
    """A stream whose text comes slowly goes on: no audio is due once all text so far was spoken.

    Models and tools take time. Keep the connection alive yourself, or open it for each segment.
    """
    use = subject.use
    async with subject.bench() as bench, bench.stream() as stream:
        got: list[Any] = []
        async with trio.open_nursery() as nursery:

            async def say() -> None:
                for segment, text in enumerate(use.texts()):
                    await trio.sleep(subject.limits.idle_s)
                    await stream.send(text, segment)
                await trio.sleep(subject.limits.idle_s)
                await stream.finish()

            nursery.start_soon(say)
            with ended_after(subject.limits.deadline_s + 4 * subject.limits.idle_s):
                while (event := await stream.receive()) is not None:
                    got.append(event)
            nursery.cancel_scope.cancel()
    spoken = {event.segment for event in got if isinstance(event, SpeechAudio)}
    if len(spoken) < len(use.texts()):
        raise Failed(f"of {len(use.texts())} segments that came slowly {len(spoken)} were spoken")


TEXT_TO_SPEECH = checks(
    output_for_is_pure_and_sane,
    events_are_well_formed,
    segments_come_in_order,
    blank_text_is_no_trouble,
    speech_lasts_as_long_as_its_text,
    speech_is_in_the_promised_format,
    speech_comes_before_the_reply_is_complete,
    finishing_gives_the_rest,
    a_reply_without_words_ends_well,
    a_slow_sender_is_waited_for,
)
