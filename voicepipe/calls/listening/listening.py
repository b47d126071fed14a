"""Listening: the caller's audio on its way to a recogniser, and what the recogniser says on its way to turn-taking.

Theory of operation
-------------------

Audio comes in synchronously, frame by frame (`hear`, called by the transport). When a whole chunk is due, a recogniser
that takes audio without waiting gets it at once; for any other a task is woken that sends it. Between the two lies a
buffer. No task is switched for a frame.

    transport --> CallerAudio.hear --> AudioBuffer --> RecogniserSession._feed --> recogniser
                  echo, voice activity                                                 |
                  edges --> turn-taking           turn-taking <-- Listening <----------+ transcripts

Buffer positions. All positions count bytes of the caller's audio since the call began, so they stay valid whatever is
forgotten:

    0 ......... start ............ words_from ........... read ................. written
      forgotten |   covered by     |  heard, but no final | not yet taken by the |
                |   a final        |  transcript covers it| recogniser           |

- `written` moves with each frame, `read` with each chunk that is taken.
- `words_from` moves with each final transcript: to the end that it tells (`audio_end_ms`), else to `read`. While
  nobody speaks it follows `written` at a distance of `IDLE_MS`, since voice activity detection needs some frames before
  it is sure that speech began. What lies before both `words_from` and `read` is forgotten.
- When a recogniser is replaced, `read` goes back to `words_from`. So the next one hears exactly the audio of which the
  former made no final words, once, and the caller need not repeat anything.
- If nobody takes audio, the buffer is full after `BUFFER_MS`; then the oldest is dropped, and counted in `dropped_ms`.

A recogniser counts time from the first audio that it got. It has not heard what lay before `read` when it began, nor
what was dropped since; `RecogniserSession.behind_ms` is the sum, and `call_ms` adds it to the times that it tells.

Hurrying. A recogniser gets chunks of the size that it likes (`StreamInput.chunk_ms`), since many small messages cost
more than a few large ones. But at the end of speech a chunk that is not yet full would keep the last words back. So
from the first frame without voice after speech, each frame is sent as it comes (`CallerAudio._hurried`). That ends when
the caller goes on speaking, or with the final transcript. Turn-taking asks for the latter (`finalise`): then all audio
that there is goes out, whatever the chunk size, and `end_utterance` after it. If the final does not come within
`budgets.stt.first_transcript_ms`, turn-taking says so (`give_up_on_final`), and the recogniser has failed.

Where a task must be woken to send (`RecogniserSession` says where not), several small chunks wait for one wake-up, of
`WAKE_MS` while the caller speaks and `IDLE_WAKE_MS` in silence, but none while chunks are hurried.

Which recogniser listens. `run` holds one session after another, each with the current recogniser of a failover list:

- it fails or is too slow: the breaker counts it, and the list's next gets the audio since `words_from`;
- a recogniser that is preferred works again: it takes over when nothing is being said (`return_to_preferred`);
- the audio's format turns out to be another: the same one is opened anew (`take_format`);
- it returned no words for speech: see `second_opinion`.

What a recogniser says is cleaned on the way: labels of noises ("[music]"), credits of subtitles that Whisper hears in
silence, and the phrases that it was told to expect, if they come back all at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from voicepipe.calls.listening.caller_audio import CallerAudio
from voicepipe.calls.listening.recogniser_session import RecogniserSession
from voicepipe.calls.listening.second_opinion import SecondOpinion
from voicepipe.components.events import Transcript
from voicepipe.components.requests import Listen
from voicepipe.errors import ComponentError, TransportError
from voicepipe.text.credits import may_become_credit
from voicepipe.text.noises import spoken
from voicepipe.text.prompt_echo import without_echo

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from voicepipe.audio import AudioFormat
    from voicepipe.calls.failover import FailoverList
    from voicepipe.calls.listening.echo import EchoGuard
    from voicepipe.calls.listening.vad import Edge
    from voicepipe.components.events import TranscriptEvent
    from voicepipe.config.call_settings import SpeechToTextBudgets
    from voicepipe.pipelines.snapshot import OpenedSpeechToText


class Listening:
    """Feeds the caller's audio to recognisers, one at a time, and passes on their transcripts.

    Args:
        audio: the call's format.
        sustained_ms: how long speech must last to interrupt, in ms.
        on_edge: called synchronously at each edge of speech.
        echo: recognises the agent's own voice, which is heard as silence; None: nothing is compared.
        second_opinion_ms: for how much voice, in ms, an empty transcript is doubted; 0: it never is.

    """

    def __init__(
        self,
        audio: AudioFormat,
        sustained_ms: int,
        on_edge: Callable[[Edge], None],
        echo: EchoGuard | None = None,
        *,
        second_opinion_ms: int = 0,
    ) -> None:
        self._audio = CallerAudio(audio, sustained_ms, on_edge, echo)
        # Bound here, since a method that passes each frame on would cost every call some of its time.
        self.hear: Callable[[bytes | memoryview], None] = self._audio.hear
        """Takes the caller's next audio, of any length; whole frames of 20 ms are the fast way."""
        self._second_opinion_ms = second_opinion_ms
        self._listen = Listen()
        self._language: str | None = None  # of the call, once it was switched
        self._is_outdated = False  # the session listens in the language before
        self._final_due = False  # a final transcript was asked for, and has not come
        self._session: RecogniserSession | None = None

    def take_format(self, audio: AudioFormat) -> None:
        """Takes another format than was announced; the recogniser is opened anew for it.

        Raises:
            TransportError: some audio has come already.

        """
        if self._audio.has_begun:
            raise TransportError(f"the transport changed from {self._audio.format} to {audio} in mid-call")
        self._audio.take_format(audio)
        self._stop_session()

    @property
    def audio_ms(self) -> float:
        """The length of the caller's audio so far, in ms."""
        return self._audio.audio_ms

    @property
    def silent_ms(self) -> float:
        """The length of the silence within or at the end of the caller's speech, in ms."""
        return self._audio.silent_ms

    @property
    def dropped_ms(self) -> float:
        """The length of the audio that was dropped because no recogniser took it in time, in ms."""
        return self._audio.dropped_ms

    def call_ms(self, stream_ms: float) -> float:
        """Converts a time of the present recogniser's stream to a position in the caller's audio, both in ms."""
        return stream_ms + (self._session.behind_ms if self._session is not None else 0.0)

    def stop_reporting_edges(self) -> None:
        """Reports no edges of speech any more: the call is over."""
        self._audio.stop_reporting_edges()

    def set_language(self, language: str) -> None:
        """Switches the language in which the caller is understood, from their next turn on.

        A recogniser is opened for the language: at once if nothing is being said, else with the next reply, so that no
        turn is understood half in one language and half in another.
        """
        self._language, self._is_outdated = language, True
        self._listen = evolve(self._listen, language=language)
        if not self._audio.voiced_ms:
            self._replace_outdated()

    def _replace_outdated(self) -> None:
        if self._is_outdated:
            self._is_outdated = False
            self._stop_session()

    def set_expected_phrases(self, listen: Listen) -> None:
        """Gives the recogniser the words that the caller is likely to say from now on."""
        if self._language is not None and listen.language is None:
            listen = evolve(listen, language=self._language)
        if listen != self._listen:
            self._listen = listen
            if self._session is not None:
                self._session.set_expected_phrases(listen)

    def finalise(self) -> None:
        """Requests a final transcript of the audio so far."""
        self._final_due = True
        if self._session is not None:
            self._session.finalise()

    def give_up_on_final(self) -> None:
        """Counts the recogniser as failed: its final transcript has not come in time."""
        if self._session is not None:
            self._session.overdue()

    def return_to_preferred(self) -> None:
        """Goes back to a recogniser that is preferred and works again, if there is one: nothing is being said now.

        A recogniser that listens in another language than the call's is replaced, too.
        """
        self._replace_outdated()
        if self._session is not None:
            self._session.stop_for_preferred()

    async def run(
        self,
        stts: FailoverList[OpenedSpeechToText],
        budgets: SpeechToTextBudgets,
        on_event: Callable[[TranscriptEvent], None],
        on_recogniser: Callable[[bool], None],
    ) -> NoReturn:
        """Feeds recognisers and passes on what they say, until cancelled.

        Args:
            stts: the recognisers.
            budgets: how long they may take.
            on_event: called with what they say.
            on_recogniser: called with True when a recogniser listens, and with False when it does no more.

        Raises:
            ComponentError: no recogniser is left.

        """
        with await stts.begin(budgets.connect_ms) as attempts:
            opinion = SecondOpinion(self._second_opinion_ms, stts, attempts)
            doubted = False

            def pass_on(event: TranscriptEvent) -> None:
                nonlocal doubted
                if isinstance(event, Transcript):
                    event = self._cleaned(event)
                    if event.final:
                        if opinion.doubts(event, self._audio.voiced_ms):
                            doubted = True
                            self._stop_session()
                            return
                        self._note_final(event)
                    if event.text:
                        attempts.succeeded()
                        attempts.begin_anew()
                on_event(event)

            while True:
                doubted = False
                # `pass_on` must not know the session: the two would stay until the garbage collector comes.
                session = RecogniserSession(self._audio, attempts, budgets, self._listen, pass_on)
                error = await self._hold(session, on_recogniser)
                if doubted:
                    attempts.skip()
                elif error is None:
                    attempts.prefer()
                else:
                    try:
                        await attempts.failed(error, retry_slow=True)
                    finally:
                        del error
                self._audio.rewind()

    async def _hold(self, session: RecogniserSession, on_recogniser: Callable[[bool], None]) -> ComponentError | None:
        """Runs a session to its end; returns the error if it failed, None if it was stopped."""
        if self._final_due:
            session.finalise()
        self._session = session
        try:
            await session.run(lambda: on_recogniser(True))
        except ComponentError as error:
            error.__traceback__ = None  # it is kept
            return error
        finally:
            self._session = None
            on_recogniser(False)
        return None

    def _stop_session(self) -> None:
        if self._session is not None:
            self._session.stop()

    def _note_final(self, final: Transcript) -> None:
        self._final_due = False
        self._audio.note_final(None if final.audio_end_ms is None else self.call_ms(final.audio_end_ms))

    def _cleaned(self, transcript: Transcript) -> Transcript:
        """Returns the transcript with the caller's words alone: no labels of noises, no echo of expected phrases."""
        said, phrases = spoken(transcript.text), self._listen.phrases
        if not transcript.final and may_become_credit(said):
            said = ""  # the next words tell whether it is one
        elif 0 < len(phrases) <= said.count(" ") + 1:  # else there are too few words for all of the phrases
            said = without_echo(said, None, phrases)
        return transcript if said == transcript.text else evolve(transcript, text=said)
