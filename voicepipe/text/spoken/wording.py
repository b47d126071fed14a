"""Puts a language model's text, which was written to be read, into words that a synthesiser can speak. Sans-IO."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from voicepipe.text.spoken.markup import tidy, with_spoken_addresses, without_emoji, without_markdown
from voicepipe.text.spoken.numbers import load_figures, with_spoken_numbers
from voicepipe.text.spoken.signs import WORDS

if TYPE_CHECKING:
    from voicepipe.text.spoken.settings import SpeechSettings

_FENCE = re.compile(r"\s*(?:```|~~~)")
_SOUND = re.compile(r"\w")


class Wording:
    """Puts the segments of one reply into words.

    It keeps whether the text is inside a block of code, which is not spoken.
    """

    def __init__(self, settings: SpeechSettings) -> None:
        self._settings = settings
        self._language = settings.language
        self._words = None if settings.language is None else WORDS.get(re.split("[-_]", settings.language.lower())[0])
        self._in_code = False

    def spoken(self, text: str) -> str:
        """Returns the segment as it is to be spoken; empty if there is nothing in it to speak."""
        settings = self._settings
        if settings.markup:
            text = " ".join(filter(None, map(self._line, text.split("\n"))))
        if settings.emoji:
            text = without_emoji(text)
        if settings.addresses and self._words is not None:
            text = with_spoken_addresses(text, self._words)
        if settings.numbers and self._language is not None:
            text = with_spoken_numbers(text, self._language, self._words)
        text = tidy(text)
        return text if _SOUND.search(text) else ""

    def _line(self, line: str) -> str:
        if _FENCE.match(line):
            self._in_code = not self._in_code
            return ""
        return "" if self._in_code else without_markdown(line)


def prepare(settings: SpeechSettings) -> None:
    """Loads what `Wording` needs, which takes some 30 ms the first time: for a thread, when a pipeline opens."""
    if settings.numbers and settings.language is not None:
        load_figures(settings.language)
