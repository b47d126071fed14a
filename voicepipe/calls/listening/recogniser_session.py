"""One recogniser's share of a call: its stream, fed with the caller's audio, within its budgets.

A chunk of audio is sent by the call of `CallerAudio.hear` that brings its last frame (`_send_due`), if the stream
takes it without waiting. Whatever has to wait is done by a task (`_feed`): audio for a stream that takes no more, or
takes none that way, the end of an utterance, other expected phrases. Meanwhile chunks are left to that task, so that
all is sent in order.
"""

from __future__ import annotations

from functools import partial
from math import inf
from typing import TYPE_CHECKING

import trio

from voicepipe.audio import open_converter
from voicepipe.calls.failover import BudgetExceeded
from voicepipe.components.boundary import error_from_use, refuse
from voicepipe.components.events import Usage
from voicepipe.components.protocols import NowaitTranscriptStream
from voicepipe.components.validation import fault_of_input
from voicepipe.errors import ComponentError, without_frames
from voicepipe.nurseries import forget_cancellation

if TYPE_CHECKING:
    from collections.abc import Callable

    from voicepipe.audio import AudioFormat, Converter
    from voicepipe.calls.failover import Attempts
    from voicepipe.calls.listening.caller_audio import CallerAudio
    from voicepipe.calls.usage import StreamUsage
    from voicepipe.components.events import TranscriptEvent
    from voicepipe.components.protocols import TranscriptStream
    from voicepipe.components.requests import Listen
    from voicepipe.config.call_settings import SpeechToTextBudgets
    from voicepipe.pipelines.snapshot import OpenedSpeechToText


class RecogniserSession:
    """Has one recogniser listen, until it fails, or until another one is to take over.

    Args:
        audio: the caller's.
        attempts: its current recogniser is the one.
        budgets: how long the recogniser may take.
        listen: what the caller is likely to say.
        on_event: called with what the recogniser says.

    """

    def __init__(
        self,
        audio: CallerAudio,
        attempts: Attempts[OpenedSpeechToText],
        budgets: SpeechToTextBudgets,
        listen: Listen,
        on_event: Callable[[TranscriptEvent], None],
    ) -> None:
        self._audio, self._attempts, self._budgets = audio, attempts, budgets
        self._listen, self._on_event = listen, on_event
        self._listen_changed = False  # since the stream was asked for
        self._finalise = False  # a final transcript is to be asked for
        self._stt = attempts.current
        self._scope = trio.CancelScope()
        self._verdict: ComponentError | None = None  # why the scope is cancelled; None: for no failure
        self._is_open = False
        self._converter: Converter | None = None  # to the recogniser's format
        self._is_feeding = True  # the task is sending something
        self._unsent: bytes | None = None  # a chunk that the stream did not take without waiting
        # What this recogniser does not hear: the call before it began, and what is dropped from then on.
        self._origin_ms = audio.taken_ms - audio.dropped_ms

    @property
    def behind_ms(self) -> float:
        """How much later a moment comes in the caller's audio than in what this recogniser got, in ms."""
        return self._origin_ms + self._audio.dropped_ms

    def finalise(self) -> None:
        """Asks for a final transcript, once all audio so far was sent."""
        self._finalise = True
        self._audio.wake()

    def set_expected_phrases(self, listen: Listen) -> None:
        """Tells the recogniser what the caller is likely to say from now on."""
        self._listen, self._listen_changed = listen, True
        self._audio.wake()

    def overdue(self) -> None:
        """Ends the session as failed: the final transcript has not come in time."""
        if self._is_open:
            late = f"sent no final transcript within {self._budgets.first_transcript_ms} ms"
            self._verdict = BudgetExceeded.of(self._stt.ref, late, "budgets.stt.first_transcript_ms")
            self._scope.cancel()

    def stop(self) -> None:
        """Ends the session for no failure; nothing that the recogniser says afterwards is reported."""
        self._verdict = None
        self._scope.cancel()

    def stop_for_preferred(self) -> None:
        """Ends the session if a recogniser that is preferred to this one works again."""
        if self._is_open and self._attempts.has_better:
            self.stop()

    async def run(self, on_open: Callable[[], None]) -> None:
        """Opens the recogniser's stream and feeds it; returns when the session was stopped.

        Args:
            on_open: called when the stream is open.

        Raises:
            ComponentError: the recogniser failed, took too long, or ended by itself.

        """
        stt = self._stt
        wanted = stt.component.input_for(self._audio.format)
        refuse(fault_of_input(wanted), stt.ref)
        self._audio.set_chunk_ms(wanted.chunk_ms)
        usage = self._attempts.begin_stream()
        with self._scope:
            late = f"was not open within {self._budgets.connect_ms} ms"
            self._verdict = BudgetExceeded.of(stt.ref, late, "budgets.stt.connect_ms")
            self._scope.deadline = trio.current_time() + self._budgets.connect_ms / 1000
            try:
                async with (
                    stt.component.open_stream(wanted, self._listen) as stream,
                    trio.open_nursery() as nursery,
                ):
                    if not self._scope.cancel_called:  # else it was too late, by a moment
                        self._scope.deadline, self._verdict = inf, None
                    self._is_open = True
                    self._converter = open_converter(self._audio.format, wanted.format, live=True)
                    nursery.start_soon(self._feed, stream, wanted.format, usage)
                    if isinstance(stream, NowaitTranscriptStream):
                        self._audio.notify_chunks(partial(self._send_due, stream, wanted.format, usage))
                    on_open()
                    while (event := await stream.receive()) is not None:
                        if isinstance(event, Usage):
                            usage.report(event)
                        else:
                            self._on_event(event)
                        await trio.lowlevel.checkpoint_if_cancelled()  # `on_event` may have stopped the session
                    raise ComponentError("ended while the call was on", component=stt.ref.name, role=stt.ref.role)
            except BaseExceptionGroup as group:
                ended = error_from_use(group, stt.ref)
            finally:
                self._audio.notify_chunks(None)
            try:
                raise ended
            finally:
                del ended
        verdict, self._verdict = self._verdict, None
        try:
            if verdict is not None:
                raise verdict
        finally:
            del verdict

    def _take_chunk(self, wanted: AudioFormat, usage: StreamUsage) -> bytes:
        """The next audio, in the recogniser's format."""
        chunk = self._audio.take_chunk()
        converted = chunk if self._converter is None else self._converter.convert(chunk)
        usage.count_audio(wanted.ms_in(len(converted)))
        return converted

    def _send_due(self, stream: NowaitTranscriptStream, wanted: AudioFormat, usage: StreamUsage) -> None:
        """Sends the chunks that are due, or leaves them to the task."""
        audio = self._audio
        if self._is_feeding or self._unsent is not None or self._finalise or self._listen_changed:
            audio.wake()
            return
        try:
            while audio.is_chunk_due:
                self._unsent = self._take_chunk(wanted, usage)
                stream.send_nowait(self._unsent)
                self._unsent = None
        except trio.WouldBlock:
            audio.wake()
        except ComponentError as error:
            self._verdict = without_frames(error)
            self._scope.cancel()

    async def _feed(self, stream: TranscriptStream, wanted: AudioFormat, usage: StreamUsage) -> None:
        """Sends what has to wait."""
        audio = self._audio
        with forget_cancellation():
            while True:
                if self._unsent is not None:
                    unsent, self._unsent = self._unsent, None
                    await stream.send(unsent)
                elif audio.is_chunk_due or (self._finalise and not audio.is_all_taken):
                    await stream.send(self._take_chunk(wanted, usage))
                elif self._finalise:
                    self._finalise = False
                    await stream.end_utterance()
                elif self._listen_changed:
                    self._listen_changed = False
                    await stream.listen_for(self._listen)
                else:
                    self._is_feeding = False
                    await audio.wait()
                    self._is_feeding = True
