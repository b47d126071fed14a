"""Deepgram's Flux models, over listen v2: they hear when the caller's turn is over.

Format: developers.deepgram.com/docs/flux/state and /reference/speech-to-text/listen-flux. No I/O.
"""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING, Any, ClassVar

from voicepipe.adapters.deepgram.client import LISTEN_V2
from voicepipe.adapters.deepgram.transcript_assembler import ENCODINGS, TranscriptAssembler, keyterms
from voicepipe.components.events import EndOfTurn, Transcript, TurnResumed
from voicepipe.errors import ComponentError
from voicepipe.wire.refusals import fault_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from voicepipe.adapters.deepgram.replay_buffer import Timeline
    from voicepipe.adapters.deepgram.stt_options import DeepgramSttOptions
    from voicepipe.audio import AudioFormat
    from voicepipe.components.events import TranscriptEvent
    from voicepipe.components.requests import Listen

RATES = (8000, 16000, 24000, 44100, 48000)
"""Sample rates that Flux takes, in Hz."""

LOOK_BACK_MS = 500
"""How long before its first word was noticed a turn may have begun, in ms."""

UPDATE_MS = 300
"""How far recognition may be behind what it last reported, in ms: it reports every 250."""

_IN_TURN = {"StartOfTurn", "EagerEndOfTurn", "TurnResumed"}
"""Events that come only in a turn."""

_LASTING = ("UNPARSABLE", "INVALID", "UNSUPPORTED", "BAD")
"""How the codes of errors begin that are the client's fault."""


class Flux(TranscriptAssembler):
    """One stream's recognition over listen v2."""

    api = LISTEN_V2
    finalise: ClassVar[Mapping[str, str]] = {"type": "ForceEndTurn"}
    finalises_in_order = False  # it ends the turn where recognition has got to
    keep_alive: ClassVar[Mapping[str, str] | None] = None

    def __init__(self, options: DeepgramSttOptions, audio: AudioFormat) -> None:
        super().__init__()
        self._options, self._audio = options, audio
        self._in_turn = self._eager = False
        self._forces = True  # whether the server knows ForceEndTurn: those of one's own may not
        self._known_words = (-1, 0)  # a turn, and how many of its words were given as final
        self._turn = (-1, 0)  # the present one, and how many words it has

    @property
    def can_finalise(self) -> bool:
        """Whether there is a turn to be ended."""
        return self._in_turn and self._forces

    def query(self, listen: Listen) -> Mapping[str, Any]:
        """The parameters of a connection."""
        options = self._options
        return {
            "model": options.model,
            "encoding": ENCODINGS[self._audio.encoding],
            "sample_rate": self._audio.rate,
            "eot_threshold": options.eot_threshold,
            "eager_eot_threshold": options.eager_eot_threshold,
            "eot_timeout_ms": options.eot_timeout_ms,
            "numerals": options.numerals or None,
            "mip_opt_out": options.mip_opt_out or None,
            "keyterm": keyterms(options.keyterms, listen) or None,
            "language_hint": self._languages(listen) or None,
        }

    def changes(self, listen: Listen) -> Mapping[str, Any] | None:
        """Other keyterms, and another language where the model knows several."""
        languages = self._languages(listen)
        hints = {"language_hints": languages} if languages else {}
        return {"keyterms": keyterms(self._options.keyterms, listen), **hints}

    def _languages(self, listen: Listen) -> list[str]:
        language = listen.language or self._options.language
        return [language] if language is not None and self._options.model.endswith("-multi") else []

    def connected(self, timeline: Timeline) -> list[TranscriptEvent]:
        """Starts over on a new connection; an eager end of turn from the lost connection is taken back."""
        events = super().connected(timeline)
        if self._eager:
            events.append(TurnResumed())
        self._in_turn = self._eager = False
        self._known_words = self._turn = (-1, 0)  # turns count from 0 again
        return events

    def reached(self) -> list[TranscriptEvent]:
        """Empty final transcripts for ends that recognition has passed outside of any turn: nothing was said there."""
        found: list[TranscriptEvent] = []
        while self.asked and not self._in_turn and self.heard_ms + UPDATE_MS >= self.waiting[0]:
            found += self.answer()
        return found

    def _gave(self, end_ms: int) -> None:
        del end_ms  # words of a turn are counted
        self._known_words = self._turn

    def _hear(self, message: Mapping[str, Any]) -> Iterator[TranscriptEvent]:
        code = str(message.get("code"))
        match message.get("type"):
            case "TurnInfo":
                yield from self._turn_info(message)
                self.heard_ms = self._timeline.stream_ms(message["audio_window_end"])
                yield from self.reached()
            case "ConfigureSuccess" | "ConfigureFailure":
                self.reconfiguring = False
            case "Error" if self.reconfiguring:
                self.reconfiguring = False
            case "Error" if self.waiting and self._forces and "UNPARSABLE" in code:
                self._forces = False
            case "Error":
                said = str(message.get("description"))
                raise ComponentError(
                    "reports an error",
                    retryable=not code.startswith(_LASTING),
                    fault="local" if code.startswith("UNPARSABLE") else fault_of(500, said, [code]),
                    answered=": ".join(str(part) for part in (message.get("code"), message.get("description")) if part),
                )

    def _turn_info(self, message: Mapping[str, Any]) -> Iterator[TranscriptEvent]:
        event, turn = message.get("event"), message["turn_index"]
        heard = list(message.get("words") or ())
        given = self._known_words[1] if self._known_words[0] == turn else 0
        fresh = heard[given:]
        self._turn = (turn, len(heard))
        languages = message.get("languages")
        transcript = Transcript(
            text=" ".join(word["word"] for word in fresh) if given else message["transcript"].strip(),
            final=event == "EndOfTurn",
            language=languages[0] if languages else None,
            confidence=fmean(word["confidence"] for word in fresh) if fresh else None,
            words=self._words((word["word"], word) for word in fresh),
            audio_end_ms=self._timeline.stream_ms(message["audio_window_end"]),
        )
        if event == "EndOfTurn":
            yield from self._end_of_turn(transcript, message.get("trigger"))
            return
        if event == "TurnResumed" and self._eager:
            self._eager = False
            yield TurnResumed()
        self._in_turn = self._in_turn or event in _IN_TURN or bool(transcript.text)
        if not self._in_turn:
            self.covered_ms = max(self.covered_ms, (transcript.audio_end_ms or 0) - LOOK_BACK_MS)
        yield from self._partially(transcript)
        if event == "EagerEndOfTurn" and not self._eager:
            self._eager = True
            yield EndOfTurn(eager=True)

    def _end_of_turn(self, transcript: Transcript, trigger: str | None) -> Iterator[TranscriptEvent]:
        """The text for good; then its end, unless it was our own idea or that text is known already."""
        forced = self.asked > 0 and trigger in {"manual", None}
        self._in_turn = self._eager = False
        yield from self._final(transcript, answers=forced)
        if transcript.text and not forced:
            yield EndOfTurn()
