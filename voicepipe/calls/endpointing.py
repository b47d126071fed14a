"""Endpointing: how much silence ends the caller's turn, by what was said so far. Sans-IO.

Somebody who has finished a sentence wants an answer soon; somebody who said "um, and" has not finished; somebody
who reads out a number pauses between its groups.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from voicepipe.config.settings import TurnsSettings

_GOES_ON = (
    "a an and at because but for if my of or than the their to uh um er erm hmm until with your",
    "aber als am beim bis das dass dem den der die ein eine einen für im mit oder um und vom von weil wenn zum zur äh",
    "al como con cuando de del el eh la las los mi o para pero por porque pues su una y",
    "au aux avec car ce des du et euh je les mais mon ou par pour que sur une à",
)
GOES_ON = frozenset(" ".join(_GOES_ON).split())
"""Words that somebody who has finished hardly ends with: English, German, Spanish and French."""

_DIGITS = (
    "zero oh one two three four five six seven eight nine double triple hundred",
    "null eins zwei drei vier fünf sechs sieben acht neun",
    "cero uno dos tres cuatro cinco seis siete ocho nueve",
    "zéro un deux trois quatre cinq six sept huit neuf",
)
DIGITS = frozenset(" ".join(_DIGITS).split())
"""Words that digits are read out with."""

READING_OUT = 3
"""So many digits in a row are a number that is being read out."""

_WORDS = re.compile(r"[^\W_]+(?:['\N{RIGHT SINGLE QUOTATION MARK}][^\W_]+)*")
_FINISHED = re.compile(r"[.!?。！？।؟][\"'”“’‘»›)\]]*\s*$")  # noqa: RUF001 - full-width marks end sentences too
_TRAILS_OFF = re.compile(r"(?:\.\.\.|…|[,;:،、，-])\s*$")  # noqa: RUF001


def silence_ms(text: str, turns: TurnsSettings) -> int:
    """How long the caller must be silent after these words for the turn to be over, in ms."""
    endpointing = turns.endpointing
    words = [word.casefold().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'") for word in _WORDS.findall(text)]
    if not words:
        return turns.end_of_turn_ms
    if _reads_out(words):
        return max(turns.end_of_turn_ms, endpointing.digits_ms)
    finished, goes_on = _FINISHED.search(text) is not None, words[-1] in GOES_ON
    if _TRAILS_OFF.search(text) or (goes_on and not finished):
        return max(turns.end_of_turn_ms, endpointing.unfinished_ms)
    if finished and not goes_on:
        return min(turns.end_of_turn_ms, endpointing.complete_ms)
    return turns.end_of_turn_ms  # `What is it for?`: word and mark disagree


def _reads_out(words: list[str]) -> bool:
    count = 0
    for word in reversed(words):
        if word.isdecimal():
            count += len(word)
        elif word in DIGITS:
            count += 1
        else:
            break
    return count >= READING_OUT
