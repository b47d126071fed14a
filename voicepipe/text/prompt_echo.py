"""A recogniser's prompt, given back as if the caller had said it. Sans-IO.

Whisper, and models like it, continue a text: the prompt is the text's beginning. Where they hear nothing they may
write it again. So a transcript that is the whole prompt is none, nor is one that is all keywords
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
        prompt: the sentences that the recogniser was given.
        keywords: the words and phrases that it was given to expect, in order.
        sound_ms: how long there was sound in the audio, in ms; None: not known.

    """
    heard = words_in(text)
    if not heard:
        return text
    beginnings = []
    if prompt and len(prompted := words_in(prompt)) >= FEWEST_WORDS:
        beginnings.append(prompted)
    listed = [words for words in map(words_in, keywords) if words]
    prompted = [word for words in listed for word in words]
    if len(listed) >= FEWEST_KEYWORDS and not is_read_out(prompted):
        beginnings.append(prompted)
    for prompted in beginnings:
        rest = _after_all(heard, prompted)
        if rest < len(heard):
            return _last_words(text, rest)
    if sound_ms is not None and sum(map(len, heard)) * 1000 > FASTEST_LETTERS_A_S * sound_ms:
        runs = [words_in(prompt)] if prompt else []
        if any(_is_run(heard, run, FEWEST_WORDS) for run in runs) or _are_keywords(heard, listed):
            return ""
    return text


def may_become_echo(text: str, prompt: str | None, keywords: Sequence[str] = ()) -> bool:
    """Returns True if a transcript that is still being written is so far a piece of the prompt."""
    heard = words_in(text)
    prompted = words_in(prompt or ""), [word for keyword in keywords for word in words_in(keyword)]
    may_be_echoed = len(prompted[0]) >= FEWEST_WORDS, len(keywords) >= FEWEST_KEYWORDS
    return any(may and _has_run(words, heard) for may, words in zip(may_be_echoed, prompted, strict=True))


def _has_run(prompted: list[str], heard: list[str]) -> bool:
    """Returns True if these words stand together in the prompt; of the last perhaps only the beginning has come."""
    size = len(heard)
    return any(
        prompted[at : at + size - 1] == heard[:-1] and prompted[at + size - 1].startswith(heard[-1])
        for at in range(len(prompted) - size + 1)
        if heard
    )


def _after_all(heard: list[str], prompted: list[str]) -> int:
    """Returns how many words are left after the prompt, however often it came."""
    at = 0
    while heard[at : at + len(prompted)] == prompted:
        at += len(prompted)
    return len(heard) - at


def _last_words(text: str, count: int) -> str:
    if not count:
        return ""
    parts = text.split()
    for at in range(len(parts)):
        if len(words_in(" ".join(parts[at:]))) <= count:
            return " ".join(parts[at:])
    return text


def _is_run(heard: list[str], prompted: list[str], fewest: int) -> bool:
    size = len(heard)
    return size >= fewest and any(prompted[at : at + size] == heard for at in range(len(prompted) - size + 1))


def _are_keywords(heard: list[str], listed: list[list[str]]) -> bool:
    """Returns True if this is at least two keywords that follow one another in the list."""
    for first in range(len(listed) - 1):
        run: list[str] = []
        for last, words in enumerate(listed[first:], first):
            run += words
            if run == heard and last > first:
                return True
            if len(run) > len(heard):
                break
    return False
