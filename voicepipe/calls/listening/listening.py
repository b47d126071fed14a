"""Listening: the caller's audio on its way to a recogniser, and the edges of speech on the way."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import trio
from attrs import evolve

from voicepipe.audio import FRAME_MS, AudioFormat, open_converter
from voicepipe.calls.failover import BudgetExceeded
from voicepipe.calls.listening.audio_buffer import AudioBuffer
from voicepipe.calls.listening.vad import Edge, VoiceActivity
from voicepipe.components.boundary import error_from_use, refuse
from voicepipe.components.events import Transcript
from voicepipe.components.requests import Listen
from voicepipe.components.validation import fault_of_input
from voicepipe.errors import ComponentError, TransportError
from voicepipe.nurseries import forget_cancellation
from voicepipe.text.credits import may_become_credit
from voicepipe.text.noises import spoken
from voicepipe.text.prompt_echo import without_echo

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from voicepipe.audio import Converter
    from voicepipe.calls.failover import Alternatives, Attempts
    from voicepipe.calls.listening.echo import EchoGuard
    from voicepipe.components.events import TranscriptEvent
    from voicepipe.components.protocols import TranscriptStream
    from voicepipe.config.call_settings import SpeechToTextBudgets
    from voicepipe.pipelines.snapshot import OpenedSpeechToText

BUFFER_MS = 15_000
"""How much of the caller's audio is kept at the most for a recogniser that is slow, or for the next one, in ms."""

IDLE_MS = 200
"""How much of it is kept while nothing is said, in ms: where speech begins is known a little after it has."""

TRIM_MS = 60
"""How much more than that there may be, in ms, before it is forgotten."""

DOUBTFUL_MS = 400
"""Voice of which a recogniser must make words, in ms, or another one is asked if there is one."""


class Listening:
    """Takes the caller's audio synchronously, frame by frame, and feeds a recogniser from a task of its own.

    The recogniser gets chunks of the size it likes. From the first silent frame after speech until the final
    transcript it gets every frame at once (it *hurries*), so that big chunks cost no response time.

    When a recogniser fails, the next one gets all audio since the last final transcript, once.

    Args:
        audio: the call's format.
        sustained_ms: how long speech must last to interrupt.
        on_edge: called synchronously at each edge of speech.
        echo: tells the agent's own voice, which is heard as silence; None: nothing is compared.

    """

    def __init__(
        self,
        audio: AudioFormat,
        sustained_ms: int,
        on_edge: Callable[[Edge], None],
        echo: EchoGuard | None = None,
    ) -> None:
        self._echo = echo
        self._on_edge = on_edge
        self._sustained_ms = sustained_ms
        self._use(audio)
        self._rest = b""  # of a frame that came in parts
        self._hurried = False
        self._finalise = False
        self._final_due = False
        self._words_from = 0  # where in the buffer that begins which no final covers
        self._voiced_frames = 0  # since then
        self._listen = Listen()
        self._listen_changed = False
        self._wake = trio.Event()
        self._recognition: _Recognition | None = None

    def _use(self, audio: AudioFormat) -> None:
        self._format = audio
        self._silence = audio.silence * (audio.bytes_in(FRAME_MS) // audio.sample_bytes)
        self._frame_bytes = self._chunk_bytes = audio.bytes_in(FRAME_MS)
        self._vad = VoiceActivity(audio, self._sustained_ms)
        self._buffer = AudioBuffer(audio.bytes_in(BUFFER_MS))
        self._idle_bytes, self._trim_bytes = audio.bytes_in(IDLE_MS), audio.bytes_in(IDLE_MS + TRIM_MS)

    def take_format(self, audio: AudioFormat) -> None:
        """The caller's audio comes in another format than was thought: the recogniser is opened anew for it.

        Raises:
            TransportError: some has come already.

        """
        if self._buffer.written or self._rest:
            raise TransportError(f"the transport changed from {self._format} to {audio} in mid-call")
        self._use(audio)
        if self._echo is not None:
            self._echo.take_format(audio)
        if self._recognition is not None:
            self._recognition.restart()

    @property
    def audio_ms(self) -> float:
        """How much audio the caller has sent, in ms."""
        return self._format.ms_in(self._buffer.written)

    @property
    def silent_ms(self) -> float:
        """How long the caller has been silent at the end of speech, in ms."""
        return self._vad.silent_ms

    @property
    def dropped_ms(self) -> float:
        """Audio that no recogniser took in time, in ms."""
        return self._format.ms_in(self._buffer.dropped)

    def hear(self, audio: bytes | memoryview) -> None:
        """Takes the next audio, of any length; frames of 20 ms, whole, are the quick way."""
        size = self._frame_bytes
        if len(audio) == size and not self._rest:
            self._hear_frame(bytes(audio))
            return
        data = self._rest + bytes(audio)
        for start in range(0, len(data) - size + 1, size):
            self._hear_frame(data[start : start + size])
        self._rest = data[len(data) - len(data) % size :]

    def stop_reporting_edges(self) -> None:
        """The call is over: nobody is told of edges any more."""
        self._on_edge = _ignore

    def set_expected_phrases(self, listen: Listen) -> None:
        """Tells the recogniser what the caller is likely to say from now on."""
        if listen != self._listen:
            self._listen, self._listen_changed = listen, True
            self._wake.set()

    def finalise(self) -> None:
        """Asks the recogniser for its last word on what was said so far."""
        self._finalise = self._final_due = True
        self._wake.set()

    def give_up_on_final(self) -> None:
        """The last word has not come in time: the recogniser has failed."""
        if self._recognition is not None:
            self._recognition.overdue()

    def return_to_preferred(self) -> None:
        """Nothing is being said: a moment to go back to a recogniser that is preferred and works again."""
        if self._recognition is not None:
            self._recognition.prefer()

    async def run(
        self,
        stts: Alternatives[OpenedSpeechToText],
        budgets: SpeechToTextBudgets,
        on_event: Callable[[TranscriptEvent], None],
        on_recogniser: Callable[[bool], None],
    ) -> NoReturn:
        """Feeds the recogniser and passes on what it says, until cancelled.

        Args:
            stts: the recognisers.
            budgets: how long they may take.
            on_event: told what they say.
            on_recogniser: told False when one is lost, and True when another listens.

        Raises:
            ComponentError: no recogniser is left.

        """
        with await stts.begin(budgets.connect_ms) as attempts:
            doubt: _Doubt | None = None
            agreed = False  # that there may be voice without words on this line

            def heard(event: TranscriptEvent) -> None:
                nonlocal doubt, agreed
                if isinstance(event, Transcript) and (said := self._said(event)) != event.text:
                    event = evolve(event, text=said)
                if isinstance(event, Transcript) and event.final:
                    if doubt is not None and event.text:
                        doubt.confirm(stts, attempts)
                    elif not event.text and self._is_doubtful and not agreed and doubt is None and attempts.has_other:
                        raise _Doubt(attempts.current)
                    agreed, doubt = not event.text and (agreed or doubt is not None), None
                    self._note_final(event)
                if isinstance(event, Transcript) and event.text:
                    attempts.succeeded()
                    attempts.begin_anew()
                on_event(event)

            while True:
                why = await self._recognise(_Recognition(self, attempts, budgets, heard, on_recogniser), on_recogniser)
                if why is None:
                    attempts.prefer()
                elif isinstance(why, _Doubt):
                    doubt = why
                    attempts.pass_over()
                else:
                    try:
                        await attempts.failed(why, persistent=True)
                    finally:
                        del why
                self._buffer.rewind(self._words_from)
                self._finalise = self._final_due

    async def _recognise(
        self, recognition: _Recognition, on_recogniser: Callable[[bool], None]
    ) -> ComponentError | _Doubt | None:
        """Has a recogniser listen; why it ceased to, None if a better one is to take over."""
        self._listen_changed = False
        self._recognition = recognition
        try:
            await recognition.run()
        except (ComponentError, _Doubt) as why:
            why.__traceback__ = None  # it is kept
            return why
        finally:
            self._recognition = None
            on_recogniser(False)
        return None

    def call_ms(self, stream_ms: float) -> float:
        """Where a position in the present recogniser's audio lies in the call's; it has not heard what was dropped."""
        return stream_ms + (self._recognition.behind_ms if self._recognition is not None else 0.0)

    def _said(self, transcript: Transcript) -> str:
        """What of a transcript the caller said: neither labels of noises nor an echo of what was expected."""
        said, phrases = spoken(transcript.text), self._listen.phrases
        if not transcript.final and may_become_credit(said):
            return ""  # the next words tell
        # Only where there are words enough for all of them.
        return without_echo(said, None, phrases) if 0 < len(phrases) <= said.count(" ") + 1 else said

    @property
    def _is_doubtful(self) -> bool:
        return self._voiced_frames * FRAME_MS >= DOUBTFUL_MS

    def _note_final(self, final: Transcript) -> None:
        """What a final covers need never be said to another recogniser."""
        self._hurried = self._final_due = False
        self._voiced_frames = 0
        end_ms = final.audio_end_ms
        self._words_from = self._buffer.read if end_ms is None else self._format.bytes_in(self.call_ms(end_ms))
        self._buffer.forget(min(self._words_from, self._buffer.read))

    def _hear_frame(self, frame: bytes) -> None:
        echo = self._echo
        if echo is not None and echo.is_echo(trio.current_time(), frame):
            frame = self._silence
        edge = self._vad.process(frame)
        if edge == "sustained" and echo is not None and echo.explains():
            edge = self._vad.end()
        buffer = self._buffer
        buffer.append(frame)
        if self._vad.speaking:
            self._hurried = not self._vad.voiced
            self._voiced_frames += self._vad.voiced
        elif not self._voiced_frames and buffer.written - self._words_from > self._trim_bytes:
            self._words_from = buffer.written - self._idle_bytes
            buffer.forget(min(self._words_from, buffer.read))
        if edge is not None:
            self._on_edge(edge)
        if buffer.written - buffer.read >= (self._frame_bytes if self._hurried else self._chunk_bytes):
            self._wake.set()

    def _wanted_bytes(self) -> int:
        return self._frame_bytes if self._hurried else self._chunk_bytes

    def _next_chunk(self, converter: Converter | None) -> bytes:
        audio = self._buffer.take(self._chunk_bytes)
        return audio if converter is None else converter.convert(audio)

    async def _feed(self, stream: TranscriptStream, wanted: AudioFormat) -> None:
        converter = open_converter(self._format, wanted, live=True)
        with forget_cancellation():
            while True:
                if len(self._buffer) >= self._wanted_bytes() or (self._finalise and len(self._buffer)):
                    await stream.send(self._next_chunk(converter))
                elif self._finalise:
                    self._finalise = False
                    await stream.end_utterance()
                elif self._listen_changed:
                    self._listen_changed = False
                    await stream.listen_for(self._listen)
                else:
                    self._wake = trio.Event()
                    await self._wake.wait()


def _ignore(_edge: Edge) -> None:
    pass


class _Doubt(Exception):  # noqa: N818 - nothing is wrong yet
    """A recogniser made no words of a good deal of voice; another one is to say whether there were any."""

    def __init__(self, doubted: OpenedSpeechToText) -> None:
        self._doubted = doubted

    def confirm(self, stts: Alternatives[OpenedSpeechToText], attempts: Attempts[OpenedSpeechToText]) -> None:
        """There were words."""
        who = self._doubted.ref
        error = ComponentError("heard nothing where there were words", component=who.name, role=who.role)
        self._doubted.breaker.failed(error, trio.current_time())
        stts.tell(error)
        stts.tell_next("alternate", attempts.current.ref.name)


class _Recognition:
    """One recogniser's share of a call."""

    def __init__(
        self,
        listening: Listening,
        attempts: Attempts[OpenedSpeechToText],
        budgets: SpeechToTextBudgets,
        on_event: Callable[[TranscriptEvent], None],
        on_recogniser: Callable[[bool], None],
    ) -> None:
        self._listening, self._attempts, self._budgets = listening, attempts, budgets
        self._on_event, self._on_recogniser = on_event, on_recogniser
        self._stt = attempts.current
        self._scope = trio.CancelScope()
        self._verdict: ComponentError | None = None
        self._opened = False
        # What it does not hear: the call before it began, and what is dropped from then on.
        self._origin_ms = listening._format.ms_in(listening._buffer.read) - listening.dropped_ms  # noqa: SLF001

    @property
    def behind_ms(self) -> float:
        """How much later a moment comes in the call's audio than in this recogniser's."""
        return self._origin_ms + self._listening.dropped_ms

    def overdue(self) -> None:
        """Its last word has not come in time."""
        if self._opened:
            late = f"sent no final transcript within {self._budgets.first_transcript_ms} ms"
            self._end(BudgetExceeded.of(self._stt.ref, late, "budgets.stt.first_transcript_ms"))

    def restart(self) -> None:
        """Ends it, so that it is opened anew, for audio of another format."""
        self._end(None)

    def prefer(self) -> None:
        """Ends it if there is a better one."""
        if self._opened and self._attempts.has_better:
            self._end(None)

    async def run(self) -> None:
        """Listens until a better recogniser is to take over.

        Raises:
            ComponentError: this one failed, or ended by itself.

        """
        listening, stt = self._listening, self._stt
        wanted = stt.component.input_for(listening._format)  # noqa: SLF001 - two halves of one thing
        refuse(fault_of_input(wanted), stt.ref)
        listening._chunk_bytes = listening._format.bytes_in(max(wanted.chunk_ms, FRAME_MS))  # noqa: SLF001
        with self._scope:
            late = f"was not open within {self._budgets.connect_ms} ms"
            self._verdict = BudgetExceeded.of(stt.ref, late, "budgets.stt.connect_ms")
            self._scope.deadline = trio.current_time() + self._budgets.connect_ms / 1000
            try:
                async with (
                    stt.component.open_stream(wanted, listening._listen) as stream,  # noqa: SLF001
                    trio.open_nursery() as nursery,
                ):
                    self._scope.deadline, self._verdict, self._opened = inf, None, True
                    nursery.start_soon(listening._feed, stream, wanted.format)  # noqa: SLF001
                    self._on_recogniser(True)
                    while (event := await stream.receive()) is not None:
                        self._on_event(event)
                    raise ComponentError("ended while the call was on", component=stt.ref.name, role=stt.ref.role)
            except BaseExceptionGroup as group:
                ended = error_from_use(group, stt.ref)
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

    def _end(self, verdict: ComponentError | None) -> None:
        self._verdict = verdict
        self._scope.cancel()
