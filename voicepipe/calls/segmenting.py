"""A reply's text in pieces that are worth speaking: sans-IO."""

from __future__ import annotations

import re

ABBREVIATIONS = frozenset({"mr", "mrs", "ms", "dr", "st", "no", "vs", "e.g", "i.e", "etc", "approx", "a.m", "p.m"})
"""What a full stop may follow without ending a sentence."""

_END = re.compile(r"[.!?…]+[\"'”’)\]]*(?=\s)|[。！？]+|\n+")  # noqa: RUF001 - full-width marks end sentences too
_WORD_BEFORE = re.compile(r"([^\s(\"']+)\.$")


class Segmenter:
    """Cuts streamed text into sentences as soon as each is complete."""

    def __init__(self) -> None:
        self._text = ""

    def feed(self, text: str) -> list[str]:
        """The sentences that this piece completes."""
        self._text += text
        segments, start = [], 0
        for end in _END.finditer(self._text):
            if self._is_abbreviation(self._text[start : end.end()]):
                continue
            if segment := self._text[start : end.end()].strip():
                segments.append(segment)
            start = end.end()
        self._text = self._text[start:]
        return segments

    def finish(self) -> list[str]:
        """What is left when the text ends."""
        rest, self._text = self._text.strip(), ""
        return [rest] if rest else []

    @staticmethod
    def _is_abbreviation(text: str) -> bool:
        word = _WORD_BEFORE.search(text)
        return word is not None and word.group(1).lower() in ABBREVIATIONS
