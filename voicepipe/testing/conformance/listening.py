"""Checks for speech-to-text in special cases: no silence around words, formats of other calls, short utterances."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voicepipe.audio import AudioFormat
from voicepipe.components.events import Transcript
from voicepipe.components.protocols import NowaitTranscriptStream
from voicepipe.components.requests import Listen
from voicepipe.testing.conformance.hearing import silence, spoken, words_of
from voicepipe.testing.conformance.kit import checks
from voicepipe.testing.conformance.verdicts import Failed
from voicepipe.testing.conformance.waiting import ended_after

if TYPE_CHECKING:
    from voicepipe.components.protocols import TranscriptStream
    from voicepipe.testing.conformance.hearing import Hearing
    from voicepipe.testing.conformance.subject import Bench, Subject

CALLS = (AudioFormat(16000), AudioFormat(48000), AudioFormat(8000, "mulaw"), AudioFormat(8000, "alaw"))
"""Formats of calls, other than that of all other checks."""

PADDING_MS = 600
"""The silence around words for comparison, in ms."""

FEWER = 2
"""The number of missing words that counts as a loss if the right words are not known."""

ENOUGH = 3
"""The least number of words for which a difference of one counts."""


async def the_first_and_last_words_are_heard(subject: Subject[Hearing]) -> None:
    """Words are recognised that begin with the stream's first sample, or end with the last before `end_utterance`.

    A caller may speak before the connection is up, and an utterance may be ended in its last word. Drop no audio: keep
    what arrives during connecting and send it first, send the rest of a chunk before the service is asked to finalise,
    and count what arrives while it finalises to the next utterance.
    """
    use = subject.use
    async with subject.bench() as bench:
        if use.speech is None:
            await _as_much_as_with_silence(bench, use.bare(bench.component))
            return
        heard = await _hear(bench, use.bare(bench.component), times=2)
    if words_of(heard) != words_of(use.words) * 2:
        raise Failed(f"heard {heard!r}; said, without any silence before or after it, was twice {use.words!r}")


async def _as_much_as_with_silence(bench: Bench[Hearing], sound: bytes) -> None:
    """Checks that a synthetic voice gives as many words without silence around it as with it."""
    audio = bench.component.input_for(bench.subject.use.call).format
    around = silence(audio, PADDING_MS)
    padded, bare = [
        [words_of(await _hear(bench, said, times=times)) for times in (2, 2, 1)]
        for said in (around + sound + around, sound)
    ]
    if padded[0] != padded[1] or bare[0] != bare[1]:
        return  # the words vary anyway
    if len(bare[0]) <= len(padded[0]) - FEWER:
        raise Failed(f"heard {bare[0]} where there was no silence around it, and {padded[0]} where there was")
    # What is lost where a stream begins is lost once, and so is what is kept back from each utterance for the next.
    if len(padded[2]) >= ENOUGH and padded[0] == padded[2] * 2 and bare[0] != bare[2] * 2:
        raise Failed(f"a sound without silence around it is {bare[2]}, and when it comes twice {bare[0]}")


async def expecting_other_phrases_loses_nothing(subject: Subject[Hearing]) -> None:
    """Speech before `listen_for` is still transcribed.

    The expected phrases change when a reply is complete, and the caller may be speaking by then. If the service needs a
    new session for them, wait for the end of the utterance, or send its audio again.
    """
    use = subject.use
    async with subject.bench() as bench:
        sound = use.bare(bench.component)
        plain = [words_of(await _hear(bench, sound, times=1)) for _ in range(2)]
        changed = words_of(await _hear(bench, sound, times=1, listens=True))
    if plain[0] == plain[1] and len(changed) <= len(plain[0]) - FEWER:
        raise Failed(f"heard {changed} where listen_for() was called before the end, and {plain[0]} of the same sound")


async def _hear(bench: Bench[Hearing], sound: bytes, times: int, *, listens: bool = False) -> str:
    """Returns the text of a sound that is sent several times, each time as an utterance, without pauses.

    Args:
        bench: the component.
        sound: the audio.
        times: the number of repetitions.
        listens: whether the expected phrases are changed, and changed back, before each end of the utterance.

    """
    use = bench.subject.use
    async with bench.stream() as stream:
        for _ in range(times):
            await use.utter(bench.component, stream, sound)
            for phrases in (("yes", "no"), ()) if listens else ():
                await stream.listen_for(Listen(phrases=phrases))
            with bench.subject.due("end_utterance()"):
                await stream.end_utterance()
        with bench.subject.due("finish()"):
            await stream.finish()
        finals = [event for event in await bench.rest(stream) if isinstance(event, Transcript) and event.final]
    ends = [final.audio_end_ms for final in finals if final.audio_end_ms is not None]
    if ends != sorted(ends):
        raise Failed(f"audio_end_ms goes back from one final to the next: {ends}, when all were received afterwards")
    return " ".join(final.text for final in finals)


async def calls_in_other_formats_are_heard(subject: Subject[Hearing]) -> None:
    """A call at 16 or 48 kHz, or in A-law, is transcribed like one at 8 kHz, with a correct `audio_end_ms`.

    Not every call comes from a telephone. The audio is in the format that `open_stream` was given, which is what
    `input_for` returned for that call: declare that format to the service, and compute times by it.
    """
    use = subject.use
    async with subject.bench() as bench:
        first = bench.component.input_for(use.call)
        formats = {bench.component.input_for(call).format: call for call in CALLS}
        heard = {first.format: await _heard_in(bench, use.call)}
        for audio, call in formats.items():
            if audio not in heard:
                heard[audio] = await _heard_in(bench, call)
    expected = words_of(use.words) or heard[first.format]
    for audio, words in heard.items():
        if use.speech is not None and words != expected:
            raise Failed(f"heard {words} as {audio}, said was {use.words!r}")
        if use.speech is None and abs(len(words) - len(expected)) >= max(FEWER, len(expected) // 3):
            raise Failed(f"heard {words} as {audio}, and {expected} as {first.format}, of the same sound")


async def _heard_in(bench: Bench[Hearing], call: AudioFormat) -> list[str]:
    """Returns the words of one utterance in a call of another format."""
    use = bench.subject.use.in_call(call)
    audio = bench.component.input_for(call).format
    said = use.utterance(bench.component)
    async with bench.subject.entered("a stream", use.open(bench.component, 0)) as stream:
        await use.utter(bench.component, stream, said)
        with bench.subject.due("end_utterance() or finish()"):
            await stream.end_utterance()
            await stream.finish()
        finals = [event for event in await bench.rest(stream) if isinstance(event, Transcript) and event.final]
    ends = [final.audio_end_ms for final in finals if final.audio_end_ms is not None]
    sent_ms = audio.ms_in(len(said))
    if ends and not 0.4 * sent_ms <= ends[-1] <= sent_ms + 1:
        raise Failed(f"audio_end_ms is {ends[-1]} when {sent_ms:.0f} ms of {audio} were sent")
    return words_of(" ".join(final.text for final in finals))


async def audio_that_is_sent_without_waiting_is_heard(subject: Subject[Hearing]) -> None:
    """The same is heard of audio sent with `send` and with `send_nowait`; a stream without the latter passes.

    `send_nowait` is optional. A call prefers it, since no task is woken for it. Take the audio and send it on, or raise
    `trio.WouldBlock` and leave the audio alone: then it comes again, by `send`.
    """
    use = subject.use
    heard = []
    async with subject.bench() as bench:
        sound = use.utterance(bench.component)
        for waits in (True, True, False):
            async with bench.stream() as stream:
                if not isinstance(stream, NowaitTranscriptStream):
                    return
                await use.utter(bench.component, stream, sound, waits=waits)
                with subject.due("end_utterance()"):
                    await stream.end_utterance()
                with subject.due("finish()"):
                    await stream.finish()
                finals = [event for event in await bench.rest(stream) if isinstance(event, Transcript) and event.final]
            heard.append(words_of(" ".join(final.text for final in finals)))
    if heard[0] == heard[1] and abs(len(heard[2]) - len(heard[0])) >= FEWER:
        raise Failed(f"heard {heard[2]} of audio that send_nowait() took, and {heard[0]} of the same audio by send()")


SHORT_MS = (0, 20, 60)
"""The durations of utterances that are shorter than any chunk, in ms."""


async def a_short_utterance_is_answered(subject: Subject[Hearing]) -> None:
    """`end_utterance` is answered by one final after 60 ms of audio, 20 ms, or none at all.

    A cough, a click, a turn that was ended twice. Services refuse less than 100 ms, or say nothing to it: don't ask,
    and give an empty final. A stream that raises is taken for a service that is down.
    """
    use = subject.use
    async with subject.bench() as bench, bench.stream() as stream:
        audio = bench.component.input_for(use.call).format
        for ms in SHORT_MS:
            await use.utter(bench.component, stream, spoken(audio, ms))
            with subject.due("end_utterance()"):
                await stream.end_utterance()
            await _one_final(bench, stream, f"{ms} ms of audio")
        await use.utter(bench.component, stream, use.utterance(bench.component))
        with subject.due("end_utterance()"):
            await stream.end_utterance()
        finals = [await _final(bench, stream), *(late := await _late(stream))]
    for partial in late:
        if not partial.final:
            raise Failed(f"after the final of an utterance came {partial!r}, although nothing more was said")
    texts = [final.text for final in finals if final.final and final.text]
    if len(texts) > len(set(texts)):
        raise Failed(f"of one utterance came the finals {texts}: each holds only what is new since the one before")


QUIET_S = 0.1
"""The time in which nothing must come, in s."""


async def _one_final(bench: Bench[Hearing], stream: TranscriptStream, what: str) -> None:
    """Receives the final that is due, and checks that nothing follows it."""
    await _final(bench, stream)
    for late in await _late(stream):
        raise Failed(f"after the final of {what} came {late!r}, although nothing more was said")


async def _final(bench: Bench[Hearing], stream: TranscriptStream) -> Transcript:
    """Returns the final transcript that is due."""
    event: object = None
    with bench.subject.due("receive()"):
        while not (isinstance(event, Transcript) and event.final):
            event = await bench.next(stream)
            if event is None:
                raise Failed("receive() gave None before finish()")
    return event


async def _late(stream: TranscriptStream) -> list[Transcript]:
    """Returns the transcripts that come within `QUIET_S`."""
    late: list[Transcript] = []
    with ended_after(QUIET_S):
        while (event := await stream.receive()) is not None:
            if isinstance(event, Transcript):
                late.append(event)
    return late


LISTENING = checks(
    the_first_and_last_words_are_heard,
    expecting_other_phrases_loses_nothing,
    calls_in_other_formats_are_heard,
    a_short_utterance_is_answered,
    audio_that_is_sent_without_waiting_is_heard,
)
