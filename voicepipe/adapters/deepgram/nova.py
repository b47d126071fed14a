"""Deepgram's Nova models and their elders, over listen v1: transcripts of the words, and little opinion on turns.

Format: developers.deepgram.com/reference/speech-to-text/listen-streaming. No I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from voicepipe.adapters.deepgram.client import LISTEN_V1
from voicepipe.adapters.deepgram.transcript_assembler import ENCODINGS, TranscriptAssembler, keyterms
from voicepipe.components.events import EndOfTurn, Transcript, Usage
from voicepipe.errors import ComponentError
from voicepipe.wire.refusals import fault_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from voicepipe.adapters.deepgram.stt_options import DeepgramSttOptions
    from voicepipe.audio import AudioFormat
    from voicepipe.components.events import TranscriptEvent
    from voicepipe.components.requests import Listen


def takes_keyterms(model: str) -> bool:
    """Whether a model of listen v1 takes keyterms; the elder ones have keywords, which can't be changed later."""
    return model.startswith("nova-3")


class Nova(TranscriptAssembler):
    """One stream's recognition over listen v1."""

    api = LISTEN_V1
    finalise: ClassVar[Mapping[str, str]] = {"type": "Finalize"}
    finalises_in_order = True
    keep_alive: ClassVar[Mapping[str, str] | None] = {"type": "KeepAlive"}

    def __init__(self, options: DeepgramSttOptions, audio: AudioFormat) -> None:
        super().__init__()
        self._options, self._audio = options, audio
        self._given_ms = 0  # up to there partial text was given as final
        self._said = False  # since the last end of a turn

    @property
    def reports(self) -> bool:
        """Whether it gives partial text."""
        return self._options.interim_results

    def query(self, listen: Listen) -> Mapping[str, Any]:
        """The parameters of a connection."""
        options = self._options
        newer = takes_keyterms(options.model)
        return {
            "model": options.model,
            "encoding": ENCODINGS[self._audio.encoding],
            "sample_rate": self._audio.rate,
            "channels": 1,
            "language": listen.language or options.language,
            "interim_results": options.interim_results,
            "endpointing": options.endpointing_ms or False,
            "utterance_end_ms": options.utterance_end_ms,
            "vad_events": True,  # a sign of life before the first words; nothing else is made of it
            "punctuate": options.punctuate,
            "smart_format": options.smart_format or None,
            "numerals": options.numerals or None,
            "mip_opt_out": options.mip_opt_out or None,
            "keyterm": (keyterms(options.keyterms, listen) or None) if newer else None,
            "keywords": None if newer else options.keyterms or None,
        }

    def changes(self, listen: Listen) -> Mapping[str, Any] | None:
        """Other keyterms, where the model has any."""
        if not takes_keyterms(self._options.model):
            return None
        return {"keyterms": keyterms(self._options.keyterms, listen)}

    def _gave(self, end_ms: int) -> None:
        self._given_ms = end_ms

    def _hear(self, message: Mapping[str, Any]) -> Iterator[TranscriptEvent]:
        match message.get("type"):
            case "Results":
                yield from self._results(message)
            case "UtteranceEnd":
                yield from self._turn_over()
            case "Metadata":
                self.over = True
                # Of this connection: one that broke has told nothing, though it may be charged for.
                duration = message.get("duration")
                if isinstance(duration, int | float) and duration > 0:
                    yield Usage(audio_s=duration)
            case "ConfigureSuccess" | "ConfigureFailure":
                self.reconfiguring = False
            case "Error" if self.reconfiguring:  # a server that knows no Configure: it listens on as before
                self.reconfiguring = False
            case "Error":
                parts = (message.get(name) for name in ("variant", "code", "description", "message"))
                said = ": ".join(str(part) for part in parts if part)
                fault = fault_of(500, said, [str(message.get("code"))])
                raise ComponentError("reports an error", answered=said, fault=fault)

    def _results(self, message: Mapping[str, Any]) -> Iterator[TranscriptEvent]:
        start, is_final = message["start"], bool(message.get("is_final"))
        end_ms = self._timeline.stream_ms(start + message["duration"])
        self.heard_ms = max(self.heard_ms, end_ms)
        best = message["channel"]["alternatives"][0]
        text = best["transcript"].strip()
        words = self._words((word.get("punctuated_word") or word["word"], word) for word in best.get("words") or ())
        if words and words[0].start_ms < self._given_ms:
            # By their middles: Deepgram moves words a little as it hears on.
            words = tuple(word for word in words if word.start_ms + word.end_ms >= 2 * self._given_ms)
            text = " ".join(word.text for word in words)
        languages = best.get("languages")
        transcript = Transcript(
            text=text,
            final=is_final,
            language=languages[0] if languages else None,
            confidence=best.get("confidence") if text else None,
            words=words,
            audio_end_ms=end_ms,
        )
        if not is_final:
            if not best["transcript"]:
                self.covered_ms = max(self.covered_ms, self._timeline.stream_ms(start))
            yield from self._partially(transcript)
            return
        self._said = self._said or bool(text)
        yield from self._final(transcript, answers=bool(message.get("from_finalize")) and self.asked > 0)
        if message.get("speech_final"):
            yield from self._turn_over()

    def _turn_over(self) -> Iterator[TranscriptEvent]:
        if self._options.ends_turns and self._said:
            self._said = False
            yield EndOfTurn()
