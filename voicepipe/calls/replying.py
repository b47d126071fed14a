"""Replying: from a trigger to speech in playout, everything streamed; one reply is one cancel scope."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from attrs import define, field

from voicepipe.audio import AudioFormat, open_converter
from voicepipe.calls.heard import Segment, heard_text
from voicepipe.calls.segmenting import Segmenter
from voicepipe.edge import settle
from voicepipe.errors import ComponentError
from voicepipe.events import ReplyDone, SpeechAudio, TextDelta
from voicepipe.requests import ReplyRequest, ToolCall

if TYPE_CHECKING:
    from voicepipe.calls.playout import Playout
    from voicepipe.components import SpeechStream
    from voicepipe.pipelines.snapshot import Pipeline


@define(eq=False)
class SpokenReply:
    """A reply on its way to the caller."""

    playout_reply: int
    """Its number in playout."""
    request: ReplyRequest | None
    """What the language model is asked; None: `announcement` is said."""
    announcement: str = ""
    """Text that is said without asking anybody."""
    scope: trio.CancelScope = field(factory=trio.CancelScope)
    """Cancelling it stops everything that this reply does."""
    segments: list[Segment] = field(factory=list)
    """The text that was sent to be spoken, in order."""
    tool_calls: list[ToolCall] = field(factory=list)
    """What the model asked for."""
    done: ReplyDone | None = None
    """The model's own end of the reply; None: not yet, or there is no model."""

    def heard(self, played_ms: float) -> str:
        """The words that the caller heard, when so much of it was played."""
        return heard_text(self.segments, played_ms)


async def speak(reply: SpokenReply, pipeline: Pipeline, playout: Playout, audio: AudioFormat) -> None:
    """Streams a reply: text from the model, in segments to the synthesiser, its speech into playout.

    Returns when all of it has been heard.

    Raises:
        ComponentError: the language model or the synthesiser failed; `role` says which.

    """
    tts = pipeline.tts[0]
    output = tts.component.output_for(audio)
    try:
        async with tts.component.open_stream(output, None) as speech, trio.open_nursery() as nursery:
            nursery.start_soon(_write, reply, pipeline, speech)
            await _play(reply, speech, playout, output, audio)
    except BaseExceptionGroup as group:
        raise settle(group, tts.who) from None
    playout.finish(reply.playout_reply)
    await playout.wait_played(reply.playout_reply)


async def _write(reply: SpokenReply, pipeline: Pipeline, speech: SpeechStream) -> None:
    """Sends the reply's text to the synthesiser, a sentence at a time."""
    if reply.request is None:
        await _send(reply, speech, [reply.announcement])
    else:
        segmenter = Segmenter()
        async with pipeline.llm[0].component.respond(reply.request) as replies:
            while (event := await replies.receive()) is not None:
                if isinstance(event, TextDelta):
                    await _send(reply, speech, segmenter.feed(event.text))
                elif isinstance(event, ToolCall):
                    reply.tool_calls.append(event)
                elif isinstance(event, ReplyDone):
                    reply.done = event
                    break
            else:
                who = pipeline.llm[0].who
                raise ComponentError("ended before its reply did", component=who.name, role=who.role)
        await _send(reply, speech, segmenter.finish())
    await speech.finish()


async def _send(reply: SpokenReply, speech: SpeechStream, texts: list[str]) -> None:
    for text in texts:
        reply.segments.append(Segment(text))
        await speech.send(text, len(reply.segments) - 1)


async def _play(
    reply: SpokenReply, speech: SpeechStream, playout: Playout, output: AudioFormat, audio: AudioFormat
) -> None:
    """Moves speech into playout, and keeps account of which text lies where."""
    converter = open_converter(output, audio, live=False)
    while (event := await speech.receive()) is not None:
        segment = reply.segments[event.segment]
        if isinstance(event, SpeechAudio):
            if segment.start_ms is None:
                segment.start_ms = playout.queued_ms
                for earlier in reply.segments[: event.segment]:
                    earlier.complete = True
            speech_audio = event.audio if converter is None else converter.convert(event.audio)
            segment.end_ms = playout.queued_ms + audio.ms_in(len(speech_audio))
            await playout.play(reply.playout_reply, speech_audio)
        else:
            segment.marks.append((event.at_ms, event.chars))
    if converter is not None:
        await playout.play(reply.playout_reply, converter.finish())
    for segment in reply.segments:
        segment.complete = True
