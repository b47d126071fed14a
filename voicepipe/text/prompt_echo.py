"""A recogniser's prompt, given back as if the caller had said it. Sans-IO.

Whisper, and models like it, continue a text: what they are told beforehand is the text's beginning. Where they hear
nothing they may write that again. So a transcript that is the whole prompt is none, nor is one that is all keywords
in their order. A part of either may have been said: it is an echo only if the sound was too short for so many letters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from voicepipe.text.spelling import is_read_out
from voicepipe.text.words import words_in

if TYPE_CHECKING:
    from collections.abc import Sequence

FASTEST_LETTERS_A_S = 30
"""Letters a second that nobody says; hurried speech has about twenty."""
FEWEST_WORDS = 3
"""The fewest words of a prompt that are an echo; a shorter one may well be the caller's words."""
FEWEST_KEYWORDS = 3
"""The fewest keywords that are an echo; one or two may well be the caller's words."""


def without_echo(text: str, prompt: str | None, keywords: Sequence[str] = (), sound_ms: float | None = None) -> str:
    """A transcript without the prompt that it begins with, or empty if there is nothing else in it.

    Args:
        text: the transcript.
        prompt: what the recogniser was told in sentences.
        keywords: words and phrases that it was told to expect, in the order in which it was told.
        sound_ms: how long there was sound in the audio, in ms; None: not known.

    """
    said = words_in(text)
    if not said:
        return text
    beginnings = []
    if prompt and len(told := words_in(prompt)) >= FEWEST_WORDS:
        beginnings.append(told)
    listed = [words for words in map(words_in, keywords) if words]
    told = [word for words in listed for word in words]
    if len(listed) >= FEWEST_KEYWORDS and not is_read_out(told):
        beginnings.append(told)
    for told in beginnings:
        rest = _after_all(said, told)
        if rest < len(said):
            return _last_words(text, rest)
    if sound_ms is not None and sum(map(len, said)) * 1000 > FASTEST_LETTERS_A_S * sound_ms:
        runs = [words_in(prompt)] if prompt else []
        if any(_is_run(said, run, FEWEST_WORDS) for run in runs) or _are_keywords(said, listed):
            return ""
    return text


def may_become_echo(text: str, prompt: str | None, keywords: Sequence[str] = ()) -> bool:
    """Returns True if a transcript that is still being written is so far a piece of the prompt."""
    said = words_in(text)
    told = words_in(prompt or ""), [word for keyword in keywords for word in words_in(keyword)]
    may_be_echoed = len(told[0]) >= FEWEST_WORDS, len(keywords) >= FEWEST_KEYWORDS
    return any(may and _has_run(words, said) for may, words in zip(may_be_echoed, told, strict=True))


def _has_run(told: list[str], said: list[str]) -> bool:
    """Returns True if these words stand together in the prompt; of the last perhaps only the beginning has come."""
    size = len(said)
    return any(
        told[at : at + size - 1] == said[:-1] and told[at + size - 1].startswith(said[-1])
        for at in range(len(told) - size + 1)
        if said
    )


def _after_all(said: list[str], told: list[str]) -> int:
    """Returns how many words are left after the prompt, however often it came."""
    at = 0
    while said[at : at + len(told)] == told:
        at += len(told)
    return len(said) - at


def _last_words(text: str, count: int) -> str:
    if not count:
        return ""
    parts = text.split()
    for at in range(len(parts)):
        if len(words_in(" ".join(parts[at:]))) <= count:
            return " ".join(parts[at:])
    return text


def _is_run(said: list[str], told: list[str], fewest: int) -> bool:
    size = len(said)
    return size >= fewest and any(told[at : at + size] == said for at in range(len(told) - size + 1))


def _are_keywords(said: list[str], listed: list[list[str]]) -> bool:
    """Returns True if this is at least two keywords that follow one another in the list."""
    for first in range(len(listed) - 1):
        run: list[str] = []
        for last, words in enumerate(listed[first:], first):
            run += words
            if run == said and last > first:
                return True
            if len(run) > len(said):
                break
    return False
