"""The conformance kit: does an adapter behave, before anyone calls it?

Three lines in a test file make a named test of each rule, by the pytest plugin `voicepipe.testing.plugin`, which
comes with the package:

    from voicepipe.testing import conformance
    from voicepipe_parrot import ParrotOptions, llm

    test_parrot = conformance.language_model(llm, ParrotOptions())

Without pytest, `await check_language_model(llm, ParrotOptions())` runs them all, and raises one report.

Options may also be a function without parameters that gives an async context manager of options, if something has to
run meanwhile, such as a local server that speaks the vendor's wire format. `faults` are options with which something
goes wrong, by what it is: see `FAULTS`. Every check opens the component anew, through the edge that calls have, on
real sockets and the real clock; a quick adapter takes a few seconds.
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
    """What a speech-to-text adapter has to do, as named checks.

    Args:
        adapter: which.
        options: its options, or what yields them.
        speech: a recording of a few words, as its format and its audio; None: something like a
            voice, and no check of words.
        words: what is said in it, as the recogniser is to hear it; case and punctuation don't count.
        faults: options with which something goes wrong, by a kind of `FAULTS`; None for what can't go wrong with it,
            such as a key that a local engine does not have.
        limits: how long to wait, how much to try.

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
    """What a language model's adapter has to do, as named checks.

    Args:
        adapter: which.
        options: its options, or what yields them.
        requests: what it is asked, each getting another reply, so that replies that mix can be told.
        tool_request: what it answers by calling the tool that the request offers, such as `TOOL_REQUEST`. Left out:
            that one is tried, and may be answered otherwise. None: it never calls any.
        faults: options with which something goes wrong, by a kind of `FAULTS`; None for what can't go wrong with it,
            such as a key that a local engine does not have.
        limits: how long to wait, how much to try.

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
    """What a text-to-speech adapter has to do, as named checks.

    Args:
        adapter: which.
        options: its options, or what yields them.
        segments: what it is to say, in a language that its voice speaks.
        language: what `open_stream` is told: a BCP 47 tag, or None for the voice's own.
        ms_a_char: how long a character of them lasts, at least and at most, in ms: the closer, the surer a wrong rate
            is found. None: `MS_A_CHAR` for `SEGMENTS`, else `MS_A_CHAR_OF_ANY`.
        faults: options with which something goes wrong, by a kind of `FAULTS`; None for what can't go wrong with it,
            such as a key that a local engine does not have.
        limits: how long to wait, how much to try.

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
        ConformanceError: some failed; it says which, what happened, what that means and how to mend it.

    """
    return await speech_to_text(adapter, options, **settings).check()


async def check_language_model(adapter: Adapter[Any], options: Options, **settings: Any) -> Report:
    """Runs all checks of a language model's adapter; `settings` are those of `language_model`.

    Raises:
        ConformanceError: some failed; it says which, what happened, what that means and how to mend it.

    """
    return await language_model(adapter, options, **settings).check()


async def check_text_to_speech(adapter: Adapter[Any], options: Options, **settings: Any) -> Report:
    """Runs all checks of a text-to-speech adapter; `settings` are those of `text_to_speech`.

    Raises:
        ConformanceError: some failed; it says which, what happened, what that means and how to mend it.

    """
    return await text_to_speech(adapter, options, **settings).check()


def _conformance(role: Role, subject: Subject[Any], own: Iterable[Check]) -> Conformance:
    if subject.adapter.role != role:
        raise ValueError(f"{subject.adapter.name!r} is an adapter for {subject.adapter.role}, not for {role}")
    faults = dict.fromkeys(subject.impossible) | dict(subject.faults)
    others = (*sharing.SHARING, *memory.STREAMS, *PROBING, *fault_checks(faults))
    return Conformance(subject, (*streams.FIRST, *own, *others))


def _faults(faults: Mapping[str, Options | None] | None) -> dict[str, Any]:
    """Those that can happen, with their options, and the kinds that can't, as `Subject` takes them."""
    given = dict(faults or {})
    can_t = frozenset(name.partition(":")[0].strip() for name, options in given.items() if options is None)
    return {"faults": {name: options for name, options in given.items() if options is not None}, "impossible": can_t}
