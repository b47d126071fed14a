"""A speech-to-text adapter in memory that behaves, and others like it that each have one fault."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from math import inf

import trio
from attrs import frozen
from leftovers import leave_a_process, leave_a_socket, leave_a_thread

from voicepipe.audio import AudioFormat, level, to_pcm16
from voicepipe.components.events import EndOfTurn, Transcript, TurnResumed
from voicepipe.components.registry import Adapter
from voicepipe.components.requests import StreamInput
from voicepipe.errors import ComponentError


@frozen
class EarsOptions:
    """What goes wrong."""

    fault: str = ""
    """A kind of the kit's; empty: nothing."""


class EarsStream:
    """Hears how many chunks of an utterance were loud: "buzz buzz buzz"."""

    def __init__(self, ears, audio):
        self.ears, self.audio = ears, audio
        self.bytes = self.loud = 0
        self.found, self.events = trio.open_memory_channel(inf)
        self.finished = False

    async def send(self, audio):
        await trio.lowlevel.checkpoint()
        if self.ears.fault in {"half_close", "server_error"}:
            raise ComponentError("the connection ended early")
        if self.ears.fault == "deaf":
            with trio.move_on_after(0.1):
                await trio.sleep_forever()
            raise ComponentError("the service takes no audio")
        self.bytes += len(audio)
        if level(to_pcm16(audio, self.audio.encoding)) > 500:
            self.loud += 1
            self.found.send_nowait(Transcript(self.text, final=False, audio_end_ms=self.ms))

    @property
    def text(self):
        return " ".join(["buzz"] * self.loud)

    @property
    def ms(self):
        return int(self.audio.ms_in(self.bytes))

    async def end_utterance(self):
        if self.ears.fault == "stall":
            await trio.sleep(0.1)
            raise ComponentError("nothing came for 0.1 s")
        await trio.lowlevel.checkpoint()
        self.conclude()

    def conclude(self):
        text, self.loud = self.text, 0
        self.found.send_nowait(Transcript(text, final=True, audio_end_ms=self.ms))

    async def listen_for(self, listen):
        await trio.lowlevel.checkpoint()

    async def finish(self):
        await trio.lowlevel.checkpoint()
        if self.loud:
            self.conclude()
        self.found.close()

    async def receive(self):
        try:
            return await self.events.receive()
        except trio.EndOfChannel:
            return None


class Ears:
    """Shared by all streams."""

    stream = EarsStream

    def __init__(self, options):
        self.fault = options.fault

    def input_for(self, call):
        return StreamInput(AudioFormat(16000 if call.rate >= 16000 else 8000, call.encoding), 100)

    @asynccontextmanager
    async def open_stream(self, stream_input, listen):
        yield self.stream(self, stream_input.format)


def adapter(component=Ears):
    @asynccontextmanager
    async def opening(options, resources):
        async with trio.open_nursery() as nursery:
            opened = component(options)
            opened.nursery = nursery
            yield opened
            nursery.cancel_scope.cancel()

    return Adapter(name="ears", role="stt", options=EarsOptions, open=opening)


def with_stream(stream):
    """The component with other streams."""
    return type(stream.__name__, (Ears,), {"stream": stream})


class LeaksATask(Ears):
    @asynccontextmanager
    async def open_stream(self, stream_input, listen):
        self.nursery.start_soon(trio.sleep_forever)
        yield EarsStream(self, stream_input.format)


class LeaksASocketWhenCancelled(Ears):
    @asynccontextmanager
    async def open_stream(self, stream_input, listen):
        one = leave_a_socket()
        await trio.lowlevel.checkpoint()
        try:
            yield EarsStream(self, stream_input.format)
        finally:
            one.close()


class LeaksAThread(Ears):
    @asynccontextmanager
    async def open_stream(self, stream_input, listen):
        leave_a_thread()
        yield EarsStream(self, stream_input.format)


class LeaksAGenerator(Ears):
    @asynccontextmanager
    async def open_stream(self, stream_input, listen):
        async def pieces():
            yield 1
            yield 2

        begun = pieces()
        await anext(begun)
        yield EarsStream(self, stream_input.format)


class KeepsAGenerator(Ears):
    kept = ()

    @asynccontextmanager
    async def open_stream(self, stream_input, listen):
        async def pieces():
            yield 1
            yield 2

        self.kept = (*self.kept, pieces())
        await anext(self.kept[-1])
        yield EarsStream(self, stream_input.format)


class LeaksAProcess(Ears):
    def __init__(self, options):
        super().__init__(options)
        leave_a_process()


class KeepsStreams(Ears):
    def __init__(self, options):
        super().__init__(options)
        self.streams = []

    @asynccontextmanager
    async def open_stream(self, stream_input, listen):
        self.streams.append(EarsStream(self, stream_input.format))
        yield self.streams[-1]


class KeepsWhatItHeard(Ears):
    def __init__(self, options):
        super().__init__(options)
        self.log = []

    @asynccontextmanager
    async def open_stream(self, stream_input, listen):
        self.log.append(bytearray(10_000))
        yield EarsStream(self, stream_input.format)


class SwallowsCancelled(EarsStream):
    async def receive(self):
        try:
            return await super().receive()
        except trio.Cancelled:
            return None


class SwallowsItOnLeaving(Ears):
    @asynccontextmanager
    async def open_stream(self, stream_input, listen):
        with suppress(trio.Cancelled):
            yield EarsStream(self, stream_input.format)


class TurnsCancelledIntoAnError(EarsStream):
    async def receive(self):
        try:
            return await super().receive()
        except BaseException as error:
            raise ComponentError("it failed") from error


class LosesAnEventWhenCancelled(EarsStream):
    async def receive(self):
        event = await super().receive()
        await trio.lowlevel.checkpoint()
        return event


class HasAGeneratorBehindReceive(EarsStream):
    def __init__(self, ears, audio):
        super().__init__(ears, audio)
        self.iterator = self.iterate()

    async def iterate(self):
        async for event in self.events:
            yield event

    async def receive(self):
        return await anext(self.iterator, None)


class EndsByItself(EarsStream):
    async def end_utterance(self):
        await super().end_utterance()
        self.found.close()

    async def send(self, audio):
        if self.events.statistics().open_send_channels:
            await super().send(audio)


class NeverEnds(EarsStream):
    async def finish(self):
        await trio.lowlevel.checkpoint()


class LosesTheRest(EarsStream):
    async def finish(self):
        self.loud = 0
        await super().finish()


class Mixes(EarsStream):
    @property
    def loud(self):
        return self.ears.__dict__.setdefault("heard", 0)

    @loud.setter
    def loud(self, value):
        self.ears.heard = value


class CountsFromTheUtterance(EarsStream):
    def conclude(self):
        super().conclude()
        self.bytes = 0


class CountsAhead(EarsStream):
    @property
    def ms(self):
        return super().ms + 100


class SaysItTwice(EarsStream):
    def conclude(self):
        super().conclude()
        super().conclude()


class SaysNothingAfterSilence(EarsStream):
    def conclude(self):
        if self.loud:
            super().conclude()


class HasEmptyPartials(EarsStream):
    async def send(self, audio):
        await super().send(audio)
        self.found.send_nowait(Transcript("", final=False))


class ResumesWhatDidNotEnd(EarsStream):
    async def end_utterance(self):
        self.found.send_nowait(EndOfTurn(eager=False))
        self.found.send_nowait(TurnResumed())
        await super().end_utterance()


class ChangesItsMind(Ears):
    asked = 0

    def input_for(self, call):
        self.asked += 1
        return StreamInput(AudioFormat(8000 if self.asked % 2 else 16000), 100)


class TakesAllAudioAtOnce(EarsStream):
    def __init__(self, ears, audio):
        super().__init__(ears, audio)
        self.hoard = []

    async def send(self, audio):
        self.hoard.append(audio)
        await trio.lowlevel.checkpoint()


class TakesAllAudioInAnotherForm(TakesAllAudioAtOnce):
    async def send(self, audio):
        await super().send(bytearray(audio))


class GivesUpWhenNobodySpeaks(EarsStream):
    async def receive(self):
        with trio.move_on_after(0.15):
            return await super().receive()
        raise ComponentError("nothing came for 0.15 s")


class RaisesAGroup(EarsStream):
    async def send(self, audio):
        if self.ears.fault:
            raise ExceptionGroup("unhandled errors in a TaskGroup", [ValueError("bad data"), KeyError("text")])
        await super().send(audio)


class TakesAHalfCloseForTheEnd(EarsStream):
    async def send(self, audio):
        await trio.lowlevel.checkpoint()
        if self.ears.fault == "half_close":
            self.found.close()
            return
        await super().send(audio)

    async def end_utterance(self):
        if self.ears.fault != "half_close":
            await super().end_utterance()


class WaitsForAStalledService(EarsStream):
    async def end_utterance(self):
        if self.ears.fault == "stall":
            await trio.sleep_forever()
        await super().end_utterance()


MUTANTS = [
    (LeaksATask, "leaving_early_leaves_nothing"),
    (LeaksASocketWhenCancelled, "cancelled_anywhere_it_leaves_nothing"),
    (LeaksAThread, "leaving_early_leaves_nothing"),
    (LeaksAGenerator, "leaving_early_leaves_nothing"),
    (KeepsAGenerator, "leaving_early_leaves_nothing"),
    (LeaksAProcess, "closing_leaves_nothing"),
    (LeaksAProcess, "opening_can_be_cancelled"),
    (KeepsStreams, "many_streams_give_everything_back"),
    (KeepsWhatItHeard, "many_streams_give_everything_back"),
    (with_stream(SwallowsCancelled), "cancelled_is_not_swallowed"),
    (SwallowsItOnLeaving, "cancelled_is_not_swallowed"),
    (with_stream(TurnsCancelledIntoAnError), "cancelled_is_not_swallowed"),
    (with_stream(LosesAnEventWhenCancelled), "a_cancelled_receive_loses_nothing"),
    (with_stream(HasAGeneratorBehindReceive), "a_cancelled_receive_loses_nothing"),
    (with_stream(EndsByItself), "none_comes_only_at_the_end"),
    (with_stream(NeverEnds), "finishing_gives_the_rest"),
    (with_stream(LosesTheRest), "finishing_gives_the_rest"),
    (with_stream(Mixes), "streams_do_not_mix"),
    (with_stream(CountsFromTheUtterance), "audio_end_ms_is_where_the_text_ends"),
    (with_stream(CountsAhead), "audio_end_ms_is_where_the_text_ends"),
    (with_stream(SaysItTwice), "each_end_utterance_gives_one_final"),
    (with_stream(SaysNothingAfterSilence), "each_end_utterance_gives_one_final"),
    (with_stream(HasEmptyPartials), "events_are_well_formed"),
    (with_stream(ResumesWhatDidNotEnd), "events_are_well_formed"),
    (ChangesItsMind, "input_for_is_pure_and_sane"),
    (with_stream(TakesAllAudioAtOnce), "audio_that_is_not_taken_is_bounded"),
    (with_stream(TakesAllAudioInAnotherForm), "audio_that_is_not_taken_is_bounded"),
    (with_stream(GivesUpWhenNobodySpeaks), "a_slow_sender_is_waited_for"),
    (with_stream(RaisesAGroup), "a_server_error_is_told"),
    (with_stream(TakesAHalfCloseForTheEnd), "a_half_close_is_noticed"),
    (with_stream(WaitsForAStalledService), "a_stall_is_noticed"),
]
"""Each with the check that is meant for it."""
