"""Transcripts from the responses of a transcription API: OpenAI's formats, and their variants on other servers.

Source: the API reference of OpenAI, "Create transcription": the objects `Transcription` and `TranscriptionVerbose`, the
events `transcript.text.delta` and `transcript.text.done`. Servers before those events stream a `Transcription` for
each segment (faster-whisper-server, speaches).
"""

from __future__ import annotations

import re
from math import exp, isfinite
from statistics import fmean
from typing import TYPE_CHECKING, Any

from attrs import frozen

from voicepipe.adapters.openai.reply_builder import token_count
from voicepipe.components.events import Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

WHISPER_LANGUAGES = dict(
    re.findall(
        r"(\w+):(\w+)",
        "afrikaans:af albanian:sq amharic:am arabic:ar armenian:hy assamese:as azerbaijani:az bashkir:ba basque:eu "
        "belarusian:be bengali:bn bosnian:bs breton:br bulgarian:bg burmese:my cantonese:yue castilian:es catalan:ca "
        "chinese:zh croatian:hr czech:cs danish:da dutch:nl english:en estonian:et faroese:fo finnish:fi flemish:nl "
        "french:fr galician:gl georgian:ka german:de greek:el gujarati:gu haitian:ht hausa:ha hawaiian:haw hebrew:he "
        "hindi:hi hungarian:hu icelandic:is indonesian:id italian:it japanese:ja javanese:jv kannada:kn kazakh:kk "
        "khmer:km korean:ko lao:lo latin:la latvian:lv letzeburgesch:lb lingala:ln lithuanian:lt luxembourgish:lb "
        "macedonian:mk malagasy:mg malay:ms malayalam:ml maltese:mt mandarin:zh maori:mi marathi:mr moldavian:ro "
        "moldovan:ro mongolian:mn myanmar:my nepali:ne norwegian:no nynorsk:nn occitan:oc panjabi:pa pashto:ps "
        "persian:fa polish:pl portuguese:pt punjabi:pa pushto:ps romanian:ro russian:ru sanskrit:sa serbian:sr "
        "shona:sn sindhi:sd sinhala:si sinhalese:si slovak:sk slovenian:sl somali:so spanish:es sundanese:su "
        "swahili:sw swedish:sv tagalog:tl tajik:tg tamil:ta tatar:tt telugu:te thai:th tibetan:bo turkish:tr "
        "turkmen:tk ukrainian:uk urdu:ur uzbek:uz valencian:ca vietnamese:vi welsh:cy yiddish:yi yoruba:yo",
    )
)
"""ISO 639 codes of the names that Whisper gives its languages."""


@frozen
class TranscribedAudio:
    """The transcript of a piece of audio."""

    text: str
    """Without spaces around it; empty: nothing."""
    language: str | None = None
    """BCP 47 tag, where it was detected."""
    confidence: float | None = None
    """0 to 1, where it can be told."""
    usage: Usage | None = None
    """What the server charges for it, where it tells."""


def read_transcription(answer: Mapping[str, Any], no_speech_threshold: float) -> TranscribedAudio:
    """The transcript in a `Transcription`, a `TranscriptionVerbose` or a `transcript.text.done`.

    Args:
        answer: the object.
        no_speech_threshold: a segment that is silence with more than this probability is left out.

    Raises:
        ValueError: it is none of those.

    """
    text = answer.get("text")
    if not isinstance(text, str):
        raise ValueError("it has no text")  # noqa: TRY004 - of what was answered, not of an argument
    segments = [segment for segment in _list(answer, "segments") if isinstance(segment, dict)]
    spoken = [segment for segment in segments if (_number(segment, "no_speech_prob") or 0.0) <= no_speech_threshold]
    if len(spoken) < len(segments):
        text = "".join(str(segment.get("text", "")) for segment in spoken)
    confidence = _confidence([*spoken, *_list(answer, "logprobs")])
    return TranscribedAudio(text.strip(), _language(answer), confidence, _usage(answer.get("usage")))


class StreamedTranscript:
    """A transcript that comes in events, as far as it came.

    Args:
        no_speech_threshold: as for `read_transcription`.

    """

    def __init__(self, no_speech_threshold: float) -> None:
        self._threshold = no_speech_threshold
        self._segments: list[TranscribedAudio] = []
        self._said = ""
        self.text = ""
        """What was said so far, without spaces around it."""
        self.done: TranscribedAudio | None = None
        """All of it, once that was said."""

    def take(self, event: Mapping[str, Any]) -> None:
        """Takes the next event; those that it doesn't know mean nothing.

        Raises:
            ValueError: it lacks what events of its type have.

        """
        match event.get("type"):
            case "transcript.text.delta":
                if not isinstance(delta := event.get("delta"), str):
                    raise ValueError("it has no delta")  # noqa: TRY004 - of what was answered, not of an argument
                self._said += delta
                self.text = self._said.strip()
            case "transcript.text.done":
                self.done = read_transcription(event, self._threshold)
            case None if "text" in event:
                self._segments.append(read_transcription(event, self._threshold))
                self.text = " ".join(segment.text for segment in self._segments if segment.text)

    def end(self) -> TranscribedAudio | None:
        """The transcript at the end of the response; None if its own end is missing."""
        if self.done is not None or not self._segments:
            return self.done
        confidences = [segment.confidence for segment in self._segments if segment.confidence is not None]
        return TranscribedAudio(self.text, self._segments[0].language, fmean(confidences) if confidences else None)


def _usage(told: object) -> Usage | None:
    """`usage` of a transcription: `{type: tokens, input_tokens, ...}` or `{type: duration, seconds}`."""
    if not isinstance(told, dict):
        return None
    seconds = _number(told, "seconds")
    usage = Usage(
        token_count(told.get("input_tokens")),
        token_count(told.get("output_tokens")),
        audio_s=seconds if seconds is not None and isfinite(seconds) and seconds >= 0 else None,
    )
    return None if usage == Usage() else usage


def _language(answer: Mapping[str, Any]) -> str | None:
    codes = [language.get("code") for language in _list(answer, "languages") if isinstance(language, dict)]
    named = str(codes[0] if codes else answer.get("language") or "")
    if re.fullmatch(r"[A-Za-z]{2,3}(-\w+)*", named):
        return named
    return WHISPER_LANGUAGES.get(named.lower())


def _confidence(parts: list[Any]) -> float | None:
    """From the logarithms of probabilities: of segments, averages over their tokens, or of single tokens."""
    both = ((_number(part, "avg_logprob"), _number(part, "logprob")) for part in parts if isinstance(part, dict))
    logprobs = [segment if segment is not None else token for segment, token in both]
    known = [logprob for logprob in logprobs if logprob is not None]
    return min(1.0, exp(fmean(known))) if known else None


def _list(answer: Mapping[str, Any], name: str) -> list[Any]:
    value = answer.get(name)
    return value if isinstance(value, list) else []


def _number(part: Mapping[str, Any], name: str) -> float | None:
    value = part.get(name)
    return float(value) if isinstance(value, int | float) else None
