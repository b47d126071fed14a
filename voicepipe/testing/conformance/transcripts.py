"""Checks for speech-to-text: transcripts, their order, and the positions that they reach in the audio."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from voicepipe.audio import AudioFormat
from voicepipe.components.events import EndOfTurn, Transcript, TurnResumed, Usage, Word
from voicepipe.components.requests import Listen, StreamInput
from voicepipe.testing.conformance.hearing import silence, words_of
from voicepipe.testing.conformance.kit import checks
from voicepipe.testing.conformance.usage import judge_charge, judge_usage
from voicepipe.testing.conformance.verdicts import Failed, Skipped

if TYPE_CHECKING:
    from voicepipe.testing.conformance.hearing import Hearing
    from voicepipe.testing.conformance.subject import Bench, Subject

CALLS = tuple(AudioFormat(rate, encoding) for rate in (8000, 16000, 48000) for encoding in ("pcm16", "mulaw", "alaw"))
"""Formats of calls: those in use, and some others."""

BEFORE_MS = 300
"""How long a word may begin before the end of the preceding final, in ms: recognisers are not exact."""


async def input_for_is_pure_and_sane(subject: Subject[Hearing]) -> None:
    """`input_for` returns a rate of 8 to 48 kHz and chunks of 10 to 500 ms for any call, and equal ones each time.

    The call asks before it opens a stream, and builds its resampler for the answer. Longer chunks add latency, shorter
    ones cost wake-ups. Use only the call's format and the options.
    """
    async with subject.bench() as bench:
        for call in CALLS:
            wanted = bench.component.input_for(call)
            if not isinstance(wanted, StreamInput):
                raise Failed(f"input_for({call}) gives {wanted!r}, no StreamInput")
            if not (8000 <= wanted.format.rate <= 48000 and 10 <= wanted.chunk_ms <= 500):
                raise Failed(f"input_for({call}) asks for chunks of {wanted.chunk_ms} ms of {wanted.format}")
            if bench.component.input_for(call) != wanted:
                raise Failed(f"input_for({call}) gives something else the second time")


async def events_are_well_formed(subject: Subject[Hearing]) -> None:
    """Events are of the types in `TranscriptEvent`, and their values are plausible.

    Text is empty only in a final; confidences lie between 0 and 1; words are in order and end after they begin;
    `TurnResumed` comes only after an eager `EndOfTurn`, and the end of a turn is reported once. A partial transcript
    covers all speech since the last final, not only the new words. Turn-taking relies on these. Each `Usage` covers
    what was charged since the one before, with None for figures that the provider doesn't report.
    """
    audio, got = await subject.undisturbed()
    eager = ended = False
    partials: list[str] = []
    for received in got[:-1]:
        match received.event:
            case Transcript(text=text, final=final):
                _judge_transcript(received.event)
                if final and len(partials) > 1 and words_of(" ".join(partials)) == words_of(text):
                    raise Failed(f"{text!r} came in pieces, {partials}: each partial transcript is all that was said")
                partials = [] if final else [*partials, text]
                ended = ended and not text.strip()
            case EndOfTurn():
                if ended and not received.event.eager:
                    raise Failed("EndOfTurn came twice, and nothing was heard in between")
                eager, ended = received.event.eager, ended or not received.event.eager
            case TurnResumed():
                if not eager:
                    raise Failed("TurnResumed without an eager EndOfTurn before it")
                eager = False
            case Usage() as usage:
                judge_usage(usage)
            case _:
                raise Failed(f"receive() gave {received.event!r}")
    finals = sum(isinstance(received.event, Transcript) and received.event.final for received in got)
    judge_charge((received.event for received in got), audio_s=audio.ms_in(got[-1].sent) / 1000, requests=finals)


def _judge_transcript(heard: Transcript) -> None:
    if not isinstance(heard.text, str) or not isinstance(heard.final, bool):
        raise Failed(f"{heard!r}: text must be text, final True or False")
    if not heard.text.strip() and not heard.final:
        raise Failed("a partial transcript is empty: leave it out")
    confidences = [heard.confidence, *(word.confidence for word in heard.words)]
    if any(confidence is not None and not 0 <= confidence <= 1 for confidence in confidences):
        raise Failed(f"{heard!r}: confidence is not between 0 and 1")
    began = 0
    for word in heard.words:
        if not isinstance(word, Word) or not began <= word.start_ms <= word.end_ms:
            raise Failed(f"{heard!r}: words are not in order")
        began = word.start_ms


async def audio_end_ms_is_where_the_text_ends(subject: Subject[Hearing]) -> None:
    """`audio_end_ms` never decreases from one final to the next, and never exceeds the audio that was sent.

    A failover replays the caller's audio from there: if it is too late, words are lost, and if too early, repeated. It
    counts ms of audio from the stream's first sample, across reconnections and utterances; so do the times of words.
    """
    audio, got = await subject.undisturbed()
    reached, has_ends = 0, False
    for received in got[:-1]:
        match received.event:
            case Transcript(final=final, audio_end_ms=int(end)) as heard:
                if heard.words and heard.words[0].start_ms < reached - BEFORE_MS:
                    raise Failed(f"{heard.words[0]} begins before {reached} ms, where the final before it ended")
                sent = audio.ms_in(received.sent)
                if end > sent + 1:
                    raise Failed(f"audio_end_ms is {end} when {sent:.0f} ms were sent")
                if final and end < reached:
                    raise Failed(f"audio_end_ms goes back from {reached} to {end}")
                reached = end if final else reached
                has_ends = True
    whole = audio.ms_in(got[-1].sent)
    if has_ends and reached < 0.6 * whole:  # the second of two utterances that are as long as each other
        raise Failed(f"the last final's audio_end_ms is {reached} of {whole:.0f} ms")


async def each_end_utterance_gives_one_final(subject: Subject[Hearing]) -> None:
    """`end_utterance` gives exactly one final `Transcript`, empty if nothing was recognised, and the stream goes on.

    The turn waits for it: without one the call is silent until the deadline for finals; a second one is taken for the
    caller's next words. If the service sends nothing after silence, give an empty final yourself.
    """
    use = subject.use
    async with subject.bench() as bench, bench.stream() as stream:
        audio = bench.component.input_for(use.call).format
        finals = 0
        for _ in range(2):
            await use.utter(bench.component, stream, silence(audio, 300))
            with subject.due("end_utterance()"):
                await stream.end_utterance()
            await _final(bench, stream, "a final transcript after end_utterance()")
            finals += 1
        await use.utter(bench.component, stream, silence(audio, 300))
        with subject.due("finish()"):
            await stream.finish()
        finals += sum(isinstance(event, Transcript) and event.final for event in await bench.rest(stream))
    if finals > 3:
        raise Failed(f"{finals} finals for two end_utterance() and one finish(), all after silence")


async def _final(bench: Bench[Hearing], stream: object, what: str) -> None:
    event: object = None
    with bench.subject.due(what):
        while not (isinstance(event, Transcript) and event.final):
            event = await bench.next(stream)
            if event is None:
                raise Failed("receive() gave None before finish()")


async def finishing_gives_the_rest(subject: Subject[Hearing]) -> None:
    """After `finish()` without `end_utterance()`, the speech so far is still transcribed, and then None comes.

    So a call that ends in mid-sentence has the sentence in its record. Send the service its end-of-audio message, and
    read until its last message.
    """
    use = subject.use
    async with subject.bench() as bench:
        heard = {}
        for ends in (True, False):
            async with bench.stream() as stream:
                await use.utter(bench.component, stream, use.bare(bench.component))
                with subject.due("end_utterance() or finish()"):
                    if ends:
                        await stream.end_utterance()
                    await stream.finish()
                heard[ends] = words_of(_text(await bench.rest(stream)))
    if heard[False] != heard[True]:
        raise Failed(f"heard {heard[False]}; with end_utterance() before finish() it hears {heard[True]}")


async def the_words_are_heard(subject: Subject[Hearing]) -> None:
    """The transcript has the words of the recording, each time that it is sent in a stream.

    Each final has only the words since the one before. Wrong words suggest a wrong rate or encoding: `send` is given
    audio in the format that `input_for` asked for.
    """
    use = subject.use
    if use.speech is None:
        raise Skipped("no speech: hand in speech=(AudioFormat(8000), audio) and words='what is said in it'")
    _, got = await subject.undisturbed()
    heard = _text([received.event for received in got])
    if words_of(heard) != words_of(use.words) * 2:
        raise Failed(f"heard {heard!r}, said was twice {use.words!r}")


def _text(events: list[object]) -> str:
    return " ".join(event.text for event in events if isinstance(event, Transcript) and event.final)


async def a_slow_sender_is_waited_for(subject: Subject[Hearing]) -> None:
    """A stream that is sent no audio for a while goes on afterwards, without an error.

    Callers are put on hold. Keep the connection alive yourself, and start a deadline only with a request.
    """
    use = subject.use
    async with subject.bench() as bench, bench.stream() as stream:
        await trio.sleep(subject.limits.idle_s)
        await use.utter(bench.component, stream, use.utterance(bench.component))
        await stream.end_utterance()
        await _final(bench, stream, "a final transcript after a pause")
        with trio.move_on_after(subject.limits.idle_s):
            if (event := await stream.receive()) is None:
                raise Failed("receive() gave None before finish()")
            del event
        await stream.listen_for(Listen())
        await use.utter(bench.component, stream, use.utterance(bench.component))
        await stream.end_utterance()
        await _final(bench, stream, "a final transcript after a pause")


SPEECH_TO_TEXT = checks(
    input_for_is_pure_and_sane,
    events_are_well_formed,
    audio_end_ms_is_where_the_text_ends,
    each_end_utterance_gives_one_final,
    finishing_gives_the_rest,
    the_words_are_heard,
    a_slow_sender_is_waited_for,
)
