"""Recognises intents: matches the caller's words with phrases and patterns. No I/O.

Case and punctuation are ignored, but words are compared as a whole: `book` does not match "booking".
`voicepipe.text.words` splits texts into words. The intent with the longest match in words wins; of equal ones, the one
that comes first in the script.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from voicepipe.adapters.scripted.format import expand, slots_in
from voicepipe.text.words import letters_of, phrase_of, words_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from voicepipe.adapters.scripted.format import Intent

MAX_CHARS = 500
"""The part of an utterance that is matched, in characters: the time of patterns may grow steeply with the length."""

UNBOUNDED = re.compile(r"[*+]|\{\d*,\}")
"""A part of a regular expression that repeats the expression before it without bound."""

PIECE = re.compile(rf"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|{UNBOUNDED.pattern}|.", re.DOTALL)
"""A piece of a regular expression: an escaped character, a class, a repeat, or one character."""


def spoken_words(text: str) -> str:
    """Returns the form of a text that is matched: its words in lower case with single spaces, at most `MAX_CHARS`.

    Apostrophes are removed ("don't" is "dont"); any other character that is no letter, mark or digit separates words.
    """
    return letters_of(text[:MAX_CHARS])[:MAX_CHARS].rstrip()


def count_words(words: str) -> int:
    """Returns the number of words; in writing systems without spaces each character counts as a word."""
    return len(words_in(words))


def find_last(values: Iterable[str], words: str) -> str | None:
    """Returns the value that occurs last among the words; of two that end together, the longer one."""
    positions = ((f" {words} ".rfind(f" {value} "), value) for value in values)
    occurring = [(at + len(value), len(value), value) for at, value in positions if at >= 0]
    return max(occurring)[2] if occurring else None


class IntentMatcher:
    """An intent that is prepared for matching.

    Args:
        intent: an intent without mistakes.
        slots: the slots of the script.

    """

    def __init__(self, intent: Intent, slots: Mapping[str, Mapping[str, str]]) -> None:
        phrases = {phrase_of(phrase) for template in intent.phrases for phrase in expand(template, slots)}
        self._phrases = sorted(phrases, key=count_words, reverse=True)
        self._patterns = [compile_pattern(pattern) for pattern in intent.patterns]
        self._slots = {
            slot: {phrase_of(words): value for words, value in slots[slot].items()} for slot in slots_of(intent)
        }

    def length(self, words: str) -> int:
        """Returns the length of the longest match in words; 0: the intent does not match."""
        padded = f" {phrase_of(words)} "
        phrase = next((phrase for phrase in self._phrases if f" {phrase} " in padded), "")
        matches = (pattern.search(words) for pattern in self._patterns)
        return max(map(count_words, [phrase, *(match[0] for match in matches if match)]))

    def slots(self, words: str) -> dict[str, str]:
        """Returns the values of the intent's slots that these words fill."""
        filled: dict[str, str] = {}
        for pattern in self._patterns:
            if match := pattern.search(words):
                filled = {slot: text for slot, text in match.groupdict().items() if text} | filled
        phrase = phrase_of(words)
        for slot, values in self._slots.items():
            if (value := find_last(values, phrase)) is not None:
                filled[slot] = values[value]
        return filled


def slots_of(intent: Intent) -> tuple[str, ...]:
    """Returns the slots with words that an intent fills: those that it lists and those in its phrases, each once."""
    named = (slot for phrase in intent.phrases for slot, _ in slots_in(phrase))
    return tuple(dict.fromkeys((*intent.slots, *named)))


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Compiles a pattern so that it matches whole words only.

    Raises:
        re.error: the pattern is not a regular expression.

    """
    re.compile(pattern)  # raises for an unbalanced parenthesis, which those around it below might balance
    return re.compile(rf"(?<!\S)(?:{pattern})(?!\S)", re.IGNORECASE)


def repeats_a_repeat(pattern: str) -> bool:
    """Whether a repeated group contains a repeat, as in `(a+)+`: matching may take exponential time."""
    repeats = [False]  # for each open group, whether it contains a repeat
    just_closed = False
    for piece in PIECE.findall(pattern):
        if UNBOUNDED.fullmatch(piece):
            if just_closed:
                return True
            repeats[-1] = True
        just_closed = False
        if piece == "(":
            repeats.append(False)
        elif piece == ")":
            just_closed = repeats.pop()
            repeats[-1] |= just_closed
    return False
