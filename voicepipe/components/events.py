"""Events of components as frozen values: transcripts, reply text, speech.

Everything that a speech-to-text stream reports is a `TranscriptEvent`, a language model's reply a
`ReplyEvent`, synthesised speech a `SpeechEvent`. Times are in ms of audio since the stream opened.
"""

from __future__ import annotations

from typing import Any, Literal

from attrs import frozen

from voicepipe.components.requests import Listen, ToolCall


@frozen
class Word:
    """One recognised word."""

    text: str
    """The word as it is written."""
    start_ms: int
    """The beginning of the word, in ms of the stream's audio."""
    end_ms: int
    """The end of the word, in ms of the stream's audio."""
    confidence: float | None = None
    """0 to 1, or None where the engine gives none."""


@frozen
class Transcript:
    """The recognised text of an utterance, partial or final."""

    text: str
    """Empty only in a final one: nothing was recognised in what `end_utterance()` closed."""
    final: bool
    """True if this text won't change; each final holds only what is new since the one before."""
    language: str | None = None
    """BCP 47 tag, where the engine detects one."""
    confidence: float | None = None
    """0 to 1, or None where the engine gives none."""
    words: tuple[Word, ...] = ()
    """Word times, where the engine gives them."""
    audio_end_ms: int | None = None
    """The end of this text, in ms of the stream's audio; failover replays from here."""


@frozen
class EndOfTurn:
    """The recogniser, which listens to the words, thinks that the caller has finished."""

    eager: bool = False
    """True if it is a guess that a `TurnResumed` may take back. With `preemptive`, a reply is begun at it."""


@frozen
class TurnResumed:
    """The caller went on after an eager `EndOfTurn`."""


@frozen
class Usage:
    """The usage that a provider reports for a stream, since the `Usage` before it in this stream.

    Each field is None where the provider doesn't tell. What can be counted without it is not for adapters to tell:
    calls count the audio that they send, the characters, and the audio that they get.
    """

    input_tokens: int | None = None
    """Tokens of the request: text, or audio of models that count it so."""
    output_tokens: int | None = None
    """Tokens of the answer."""
    characters: int | None = None
    """Characters of text that the provider charges for."""
    audio_s: float | None = None
    """Audio that the provider charges for, in s."""


TranscriptEvent = Transcript | EndOfTurn | TurnResumed | Usage


@frozen
class TextDelta:
    """The next piece of a reply's text."""

    text: str
    """Any length, spaces included."""


@frozen
class ReplyDone:
    """The reply ended by itself: always the last event of a reply."""

    reason: Literal["complete", "truncated", "empty"] = "complete"
    """`truncated`: the model hit its length limit; `empty`: it said nothing and called nothing, so that the call asks
    again where words are due."""
    state: Any = None
    """The state that the model's next request of this call brings, if this reply wins; opaque to the call."""
    listen: Listen | None = None
    """Hints about the caller's next words; None leaves them as they are."""


ReplyEvent = TextDelta | ToolCall | Usage | ReplyDone


@frozen
class SpeechAudio:
    """The next piece of synthesised speech."""

    audio: bytes
    """Whole samples in the format that `open_stream` was given."""
    segment: int
    """The number of the piece of text that is spoken; never decreases in a stream."""


@frozen
class SpeechMark:
    """The position in the audio at which a position in the text is spoken."""

    segment: int
    """The number of the piece of text."""
    chars: int
    """Characters of that piece spoken by `at_ms`."""
    at_ms: int
    """In ms of audio since the segment's first sample."""


SpeechEvent = SpeechAudio | SpeechMark | Usage
