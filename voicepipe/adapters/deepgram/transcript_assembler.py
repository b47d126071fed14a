"""Assembles Deepgram's messages into transcripts of a stream; the part that both of its APIs share. No I/O."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from typing import TYPE_CHECKING, Any, ClassVar

from attrs import evolve

from voicepipe.adapters.deepgram.replay_buffer import Timeline
from voicepipe.components.events import Transcript, Word
from voicepipe.errors import ComponentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from voicepipe.adapters.deepgram.client import SocketApi
    from voicepipe.components.events import TranscriptEvent
    from voicepipe.components.requests import Listen

ENCODINGS = {"pcm16": "linear16", "mulaw": "mulaw", "alaw": "alaw"}
"""By ours: Deepgram's names of encodings."""

COVERED_MS = 20
"""How far a final transcript may end before a position and still cover it, in ms: a telephone frame."""

MOST_KEYTERMS = 100
"""How many keyterms Deepgram takes."""

MOST_KEYTERM_CHARS = 1000
"""How long they may be together: Deepgram's limit is 500 tokens, and past it a stream falls silent."""


class TranscriptAssembler(ABC):
    """One stream's recognition, over all its connections."""

    api: ClassVar[SocketApi]
    """The WebSocket that it is heard by."""
    finalise: ClassVar[Mapping[str, str]]
    """The message that asks for a final transcript."""
    finalises_in_order: ClassVar[bool]
    """Whether that takes all the audio in that was sent before, and nothing of what is sent after."""
    keep_alive: ClassVar[Mapping[str, str] | None]
    """The message that keeps a connection open without audio; None: there is none, silence does it."""

    def __init__(self) -> None:
        self.covered_ms = 0
        """How far into the stream the final transcripts reach, silence included."""
        self.heard_ms = 0
        """How far recognition is known to have got."""
        self.waiting: deque[int] = deque()
        """Ends of utterances that no final transcript has answered, in ms."""
        self.asked = 0
        """How many of those this connection has heard up to."""
        self.over = False
        """Whether Deepgram has said its last word."""
        self.reconfiguring = False
        """Whether a `Configure` is out that was not answered."""
        self._timeline = Timeline()
        self._partial: Transcript | None = None

    @property
    def reports(self) -> bool:
        """Whether Deepgram says something every second or so while there is speech."""
        return True

    @property
    def can_finalise(self) -> bool:
        """Whether asking for a final transcript has any effect now."""
        return True

    @abstractmethod
    def query(self, listen: Listen) -> Mapping[str, Any]:
        """The parameters of a connection."""

    @abstractmethod
    def changes(self, listen: Listen) -> Mapping[str, Any] | None:
        """The settings of a `Configure` message for what is expected; None: the model takes none in mid-stream."""

    def connected(self, timeline: Timeline) -> list[TranscriptEvent]:
        """A connection was opened: it gets the audio from the last final transcript on, again where need be."""
        self._timeline = timeline
        self._partial = None
        self.asked = self.heard_ms = 0
        self.over = self.reconfiguring = False
        return []

    def end_utterance(self, at_ms: int) -> list[TranscriptEvent]:
        """A final transcript up to there is asked for; gives it if everything is covered already."""
        if self._partial is None and not self.waiting and self.covered_ms + COVERED_MS >= at_ms:
            return [Transcript("", final=True, audio_end_ms=at_ms)]
        self.waiting.append(at_ms)
        return []

    def reached(self) -> list[TranscriptEvent]:
        """Deepgram has got all audio up to the last of what was `asked`; gives what is final by that."""
        return []

    def hear(self, message: Any) -> list[TranscriptEvent]:
        """The events that a message adds: an object of its JSON; anything else is nonsense.

        Raises:
            ComponentError: Deepgram reports an error, or the message is nonsense.

        """
        try:
            return list(self._hear(message))
        except (TypeError, ValueError, AttributeError, LookupError, OverflowError) as error:
            raise ComponentError("sent a malformed message", answered=str(message)) from error

    @abstractmethod
    def _hear(self, message: Mapping[str, Any]) -> Iterable[TranscriptEvent]:
        """The events of a message; any exception means a malformed one, and `hear` makes a `ComponentError` of it."""

    def answer(self) -> list[TranscriptEvent]:
        """The final transcript that was asked for, made of what is known: Deepgram does not always send one."""
        if self._partial is None:
            return self._final(Transcript("", final=True, audio_end_ms=self.waiting[0]), answers=True)
        return self._final(self._given(self._partial), answers=True)

    def conclude(self) -> list[TranscriptEvent]:
        """The rest at the end of the stream: partial text that no final replaced, and finals that were asked for."""
        rest: list[TranscriptEvent] = []
        if self._partial is not None:
            rest += self._final(self._given(self._partial), answers=True)
        while self.waiting:
            rest += self.answer()
        return rest

    def _given(self, partial: Transcript) -> Transcript:
        """A partial text as a final one: up to its last word, since the next may have been heard in part."""
        end_ms = partial.words[-1].end_ms if partial.words else partial.audio_end_ms
        self._gave(end_ms or 0)
        return evolve(partial, final=True, audio_end_ms=end_ms)

    @abstractmethod
    def _gave(self, end_ms: int) -> None:
        """The partial text was given as a final one, up to there: it must not be given again."""

    def _partially(self, transcript: Transcript) -> list[TranscriptEvent]:
        """A partial transcript, unless it says nothing new."""
        if not transcript.text:
            return []
        known, self._partial = self._partial, transcript
        return [] if known is not None and known.text == transcript.text else [transcript]

    def _final(self, transcript: Transcript, *, answers: bool = False) -> list[TranscriptEvent]:
        """A final transcript, unless it is empty and nobody asked for it.

        Args:
            transcript: what was recognised since the last one.
            answers: whether it is the answer to the first end of an utterance, however far it reaches.

        """
        self._partial = None
        end_ms = transcript.audio_end_ms or 0
        if answers and self.waiting:
            end_ms = max(end_ms, self.waiting[0])
        asked = [at_ms for at_ms in self.waiting if at_ms <= end_ms + COVERED_MS]
        for _ in asked:
            self.waiting.popleft()
        self.asked = max(0, self.asked - len(asked))
        end_ms = max([end_ms, *asked])
        self.covered_ms = max(self.covered_ms, end_ms)
        if not transcript.text and not asked:
            return []
        more = [Transcript("", final=True, audio_end_ms=end_ms) for _ in asked[1:]]
        return [evolve(transcript, audio_end_ms=end_ms), *more]

    def _words(self, found: Iterable[tuple[str, Any]]) -> tuple[Word, ...]:
        """Words with their times; none if a time is missing."""
        listed = [(text, word) for text, word in found if text]
        if any(word.get("start") is None or word.get("end") is None for _, word in listed):
            return ()
        stream_ms = self._timeline.stream_ms
        return tuple(
            Word(text, stream_ms(word["start"]), stream_ms(word["end"]), word.get("confidence"))
            for text, word in listed
        )


def keyterms(configured: tuple[str, ...], listen: Listen) -> list[str]:
    """The configured terms and the expected phrases, each once, as many as Deepgram takes."""
    terms: list[str] = []
    chars = 0
    for term in dict.fromkeys(" ".join(term.split()) for term in (*configured, *listen.phrases)):
        chars += len(term)
        if len(terms) == MOST_KEYTERMS or chars > MOST_KEYTERM_CHARS:
            break
        if term:
            terms.append(term)
    return terms
