"""The conformance kit: tests of an adapter against the rules that calls rely on.

Three lines in a test file make a named test of each rule. The pytest plugin `voicepipe.testing.plugin`, which is
installed with the package, collects them:

    from voicepipe.testing import conformance
    from voicepipe_parrot import ParrotOptions, llm

    test_parrot = conformance.language_model(llm, ParrotOptions())

Without pytest, `await check_language_model(llm, ParrotOptions())` runs all checks, and raises one report of those
that failed.

Options may also be a function without parameters that returns an async context manager of options, for a local server
that has to run during a check and speaks the vendor's wire format. `faults` maps a kind of fault to options that cause
it: see `FAULTS`. Each check opens the component anew, behind the boundary that calls use, on real sockets and the real
clock; all checks of a fast adapter take a few seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from voicepipe.testing.conformance import (
    asking,
    conversing,
    listening,
    memory,
    repeating,
    replies,
    sharing,
    sounding,
    speech,
    streams,
    transcripts,
)
from voicepipe.testing.conformance.asking import REQUESTS, TOOL_REQUEST, Asking
from voicepipe.testing.conformance.failing import FAULTS, PROBING, FaultKind, fault_checks
from voicepipe.testing.conformance.hearing import Hearing
from voicepipe.testing.conformance.kit import Check, Conformance
from voicepipe.testing.conformance.speaking import MS_A_CHAR, MS_A_CHAR_OF_ANY, SEGMENTS, Speaking
from voicepipe.testing.conformance.subject import Limits, Options, Subject
from voicepipe.testing.conformance.verdicts import ConformanceError, Failed, Failure, Report, Skipped

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from voicepipe.audio import AudioFormat
    from voicepipe.components.labels import Role
    from voicepipe.components.registry import Adapter
    from voicepipe.components.requests import ReplyRequest

__all__ = [
    "FAULTS",
    "MS_A_CHAR",
    "MS_A_CHAR_OF_ANY",
    "REQUESTS",
    "SEGMENTS",
    "TOOL_REQUEST",
    "Check",
    "Conformance",
    "ConformanceError",
    "Failed",
    "Failure",
    "FaultKind",
    "Limits",
    "Options",
    "Report",
    "Skipped",
    "check_language_model",
    "check_speech_to_text",
    "check_text_to_speech",
    "language_model",
    "speech_to_text",
    "text_to_speech",
]


def speech_to_text(
    adapter: Adapter[Any],
    options: Options,
    *,
    speech: tuple[AudioFormat, bytes] | None = None,
    words: str = "",
    faults: Mapping[str, Options | None] | None = None,
    limits: Limits | None = None,
) -> Conformance:
    """Makes the checks of a speech-to-text adapter.

    Args:
        adapter: the adapter to check.
        options: its options, or a function that returns a context manager of them.
        speech: a recording of a few words, as its format and its audio; None: a synthetic voice, and no check of
            words.
        words: the expected transcript of the recording; case and punctuation don't count.
        faults: options that cause a fault, by a kind of `FAULTS`; None for a fault that is impossible for this adapter,
            such as a refused key of a local engine.
        limits: the time limits, and the number of repetitions.

    """
    if bool(speech) != bool(words):
        raise ValueError("speech and its words go together")
    subject = Subject(adapter, options, Hearing(speech, words), limits=limits or Limits(), **_faults(faults))
    own = (*transcripts.SPEECH_TO_TEXT, *listening.LISTENING)
    return _conformance("stt", subject, (*own, *streams.STREAMS, *memory.SPEECH_TO_TEXT))


def language_model(
    adapter: Adapter[Any],
    options: Options,
    *,
    requests: Sequence[ReplyRequest] = REQUESTS,
    tool_request: ReplyRequest | None = asking.ANY_TOOL_REQUEST,
    faults: Mapping[str, Options | None] | None = None,
    limits: Limits | None = None,
) -> Conformance:
    """Makes the checks of a language model's adapter.

    Args:
        adapter: the adapter to check.
        options: its options, or a function that returns a context manager of them.
        requests: requests with different replies, so that replies of concurrent streams can be told apart.
        tool_request: a request that it answers with a call of the offered tool, such as `TOOL_REQUEST`. By default that
            one is tried, and a reply without a call passes. None: the adapter never calls tools.
        faults: options that cause a fault, by a kind of `FAULTS`; None for a fault that is impossible for this adapter,
            such as a refused key of a local engine.
        limits: the time limits, and the number of repetitions.

    """
    use = Asking(tuple(requests), tool_request or asking.ANY_TOOL_REQUEST, calls_tools=tool_request is not None)
    subject = Subject(adapter, options, use, limits=limits or Limits(), **_faults(faults))
    own = (*replies.LANGUAGE_MODEL, *conversing.CONVERSING, *repeating.REPEATING)
    return _conformance("llm", subject, (*own, *streams.STREAMS))


def text_to_speech(
    adapter: Adapter[Any],
    options: Options,
    *,
    segments: Sequence[str] = SEGMENTS,
    language: str | None = None,
    ms_a_char: tuple[float, float] | None = None,
    faults: Mapping[str, Options | None] | None = None,
    limits: Limits | None = None,
) -> Conformance:
    """Makes the checks of a text-to-speech adapter.

    Args:
        adapter: the adapter to check.
        options: its options, or a function that returns a context manager of them.
        segments: the texts to speak, in a language of its voice.
        language: the language for `open_stream`: a BCP 47 tag, or None for the voice's own.
        ms_a_char: the least and the most time a character lasts, in ms; close bounds find a wrong sample rate better.
            None: `MS_A_CHAR` for `SEGMENTS`, else `MS_A_CHAR_OF_ANY`.
        faults: options that cause a fault, by a kind of `FAULTS`; None for a fault that is impossible for this adapter,
            such as a refused key of a local engine.
        limits: the time limits, and the number of repetitions.

    """
    usual = MS_A_CHAR if tuple(segments) == SEGMENTS else MS_A_CHAR_OF_ANY
    use = Speaking(tuple(segments), language, ms_a_char or usual)
    subject = Subject(adapter, options, use, limits=limits or Limits(), **_faults(faults))
    return _conformance(
        "tts", subject, (*speech.TEXT_TO_SPEECH, *sounding.SOUNDING, *streams.STREAMS, *memory.TEXT_TO_SPEECH)
    )


async def check_speech_to_text(adapter: Adapter[Any], options: Options, **settings: Any) -> Report:
    """Runs all checks of a speech-to-text adapter; `settings` are those of `speech_to_text`.

    Raises:
        ConformanceError: checks failed; the message has each with what happened, its consequence and a remedy.

    """
    return await speech_to_text(adapter, options, **settings).check()


async def check_language_model(adapter: Adapter[Any], options: Options, **settings: Any) -> Report:
    """Runs all checks of a language model's adapter; `settings` are those of `language_model`.

    Raises:
        ConformanceError: checks failed; the message has each with what happened, its consequence and a remedy.

    """
    return await language_model(adapter, options, **settings).check()


async def check_text_to_speech(adapter: Adapter[Any], options: Options, **settings: Any) -> Report:
    """Runs all checks of a text-to-speech adapter; `settings` are those of `text_to_speech`.

    Raises:
        ConformanceError: checks failed; the message has each with what happened, its consequence and a remedy.

    """
    return await text_to_speech(adapter, options, **settings).check()


def _conformance(role: Role, subject: Subject[Any], own: Iterable[Check]) -> Conformance:
    if subject.adapter.role != role:
        raise ValueError(f"{subject.adapter.name!r} is an adapter for {subject.adapter.role}, not for {role}")
    faults = dict.fromkeys(subject.impossible) | dict(subject.faults)
    others = (*sharing.SHARING, *memory.STREAMS, *PROBING, *fault_checks(faults))
    return Conformance(subject, (*streams.FIRST, *own, *others))


def _faults(faults: Mapping[str, Options | None] | None) -> dict[str, Any]:
    """Splits faults into those with options and the impossible kinds, as arguments of `Subject`."""
    given = dict(faults or {})
    impossible = frozenset(name.partition(":")[0].strip() for name, options in given.items() if options is None)
    return {
        "faults": {name: options for name, options in given.items() if options is not None},
        "impossible": impossible,
    }
