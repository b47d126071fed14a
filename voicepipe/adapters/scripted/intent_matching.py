"""Finding out what was meant: words against phrases and patterns.

Upper and lower case and punctuation don't matter, words do: `book` is not in "booking". What words are,
`voicepipe.text.words` says. Of all that is found the one with the most words wins, of equals the one that comes first.
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
"""More than this of one utterance is not looked at: patterns may take time that grows steeply with the length."""

UNBOUNDED = re.compile(r"[*+]|\{\d*,\}")
"""What repeats the expression before it without bound."""

PIECE = re.compile(rf"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|{UNBOUNDED.pattern}|.", re.DOTALL)
"""A piece of a regular expression: an escaped character, a class, a repeat, or one character."""


def spoken_words(text: str) -> str:
    """The text's words in lower case with one space between, at most `MAX_CHARS` long: what matching works on.

    Apostrophes vanish ("don't" is "dont"), all else that is neither letter, mark nor digit separates words.
    """
    return letters_of(text[:MAX_CHARS])[:MAX_CHARS].rstrip()


def count_words(words: str) -> int:
    """The number of words; in writing systems without spaces each character counts as a word."""
    return len(words_in(words))


def find_last(values: Iterable[str], words: str) -> str | None:
    """The value that is mentioned last; of two that end together, the longer one."""
    ends = ((f" {words} ".rfind(f" {value} "), value) for value in values)
    found = [(at + len(value), len(value), value) for at, value in ends if at >= 0]
    return max(found)[2] if found else None


class IntentMatcher:
    """An intent made ready for matching.

    Args:
        intent: as in the script, without errors.
        slots: the script's slots.

    """

    def __init__(self, intent: Intent, slots: Mapping[str, Mapping[str, str]]) -> None:
        phrases = {phrase_of(phrase) for template in intent.phrases for phrase in expand(template, slots)}
        self._phrases = sorted(phrases, key=count_words, reverse=True)
        self._patterns = [compile_pattern(pattern) for pattern in intent.patterns]
        self._slots = {
            slot: {phrase_of(heard): said for heard, said in slots[slot].items()} for slot in slots_of(intent)
        }

    def length(self, words: str) -> int:
        """The number of words that match the intent; 0: it does not match."""
        said = f" {phrase_of(words)} "
        phrase = next((phrase for phrase in self._phrases if f" {phrase} " in said), "")
        matches = (pattern.search(words) for pattern in self._patterns)
        return max(map(count_words, [phrase, *(match[0] for match in matches if match)]))

    def slots(self, words: str) -> dict[str, str]:
        """The values that these words fill the intent's slots with."""
        filled: dict[str, str] = {}
        for pattern in self._patterns:
            if match := pattern.search(words):
                filled = {slot: text for slot, text in match.groupdict().items() if text} | filled
        said = phrase_of(words)
        for slot, values in self._slots.items():
            if (value := find_last(values, said)) is not None:
                filled[slot] = values[value]
        return filled


def slots_of(intent: Intent) -> tuple[str, ...]:
    """The slots with word lists that an intent fills: those it names and those in its phrases; each once."""
    named = (slot for phrase in intent.phrases for slot, _ in slots_in(phrase))
    return tuple(dict.fromkeys((*intent.slots, *named)))


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """The pattern, made to begin and end with whole words.

    Raises:
        re.error: it is not a regular expression.

    """
    re.compile(pattern)  # else an unbalanced parenthesis could pair up with those around it
    return re.compile(rf"(?<!\S)(?:{pattern})(?!\S)", re.IGNORECASE)


def repeats_a_repeat(pattern: str) -> bool:
    """Whether a group that may repeat holds something that may repeat, as in `(a+)+`: that can take for ever."""
    repeats = [False]  # whether something repeats, in each group that is open
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
