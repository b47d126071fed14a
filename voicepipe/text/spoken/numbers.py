"""Money, dates, telephone numbers and other figures, written so that any synthesiser says them properly.

Plain numbers stay in figures: every synthesiser says `1250` in its own language. They go wrong with other ways
to write figures: `$12.50`, `1.250,00`, `03.05.2026`, `555-0100`. Names and orders are those of the Unicode CLDR, which
Babel brings: it is released with each CLDR, is pure Python, and loads a language in 5 ms.

Each recogniser searches the text as it was written, in the order of `_RECOGNISERS`. A place that one has recognised is
closed to the others; a figure that none recognises stays as it is. Digits of other scripts are searched as 0 to 9, and
put back.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING
from unicodedata import decimal

from voicepipe.text.spoken.dates import (
    CLOCK,
    DATE,
    DAY,
    DOTTED,
    HALF_DAY,
    HOURS,
    ORDINALS,
    clock,
    date,
    day,
    dotted,
    half_day,
    hours,
    ordinals,
)
from voicepipe.text.spoken.digits import PHONE, SERIAL, VERSION, phone, serial, version
from voicepipe.text.spoken.figures import NUMBER, Figures, L, figures_of
from voicepipe.text.spoken.markup import EMAIL, SERVICE_CODE, URL
from voicepipe.text.spoken.money import MONEY, money

if TYPE_CHECKING:
    from voicepipe.text.spoken.signs import Words

_Recogniser = Callable[[re.Match[str], Figures, "Words | None"], "str | None"]

_UNITS = {
    "°C": "temperature-celsius",
    "℃": "temperature-celsius",
    "°F": "temperature-fahrenheit",
    "℉": "temperature-fahrenheit",
    "km/h": "speed-kilometer-per-hour",
    "mph": "speed-mile-per-hour",
    "km": "length-kilometer",
    "cm": "length-centimeter",
    "mm": "length-millimeter",
    "km²": "area-square-kilometer",
    "m²": "area-square-meter",
    "m³": "volume-cubic-meter",
    "kg": "mass-kilogram",
    "mg": "mass-milligram",
    "ml": "volume-milliliter",
    "kWh": "energy-kilowatt-hour",
    "kB": "digital-kilobyte",
    "KB": "digital-kilobyte",
    "MB": "digital-megabyte",
    "GB": "digital-gigabyte",
    "TB": "digital-terabyte",
    "kW": "power-kilowatt",
    "kHz": "frequency-kilohertz",
    "MHz": "frequency-megahertz",
    "GHz": "frequency-gigahertz",
}
"""CLDR's identifiers by sign; signs of one letter mean too much else."""
_DASH = r"\s?[-–—~〜]\s?"
_UNIT = re.compile(
    rf"(?<![{L}.,/])(?P<minus>(?<!\S)-)?(?:(?P<from>{NUMBER}){_DASH})?(?P<number>{NUMBER})\s?"
    rf"(?P<unit>{'|'.join(sorted(map(re.escape, _UNITS), key=len, reverse=True))})(?![{L}/²³^])"
)
_PERCENT = re.compile(rf"(?<![{L}.,])(?:(?P<from>{NUMBER})\s?%?{_DASH})?(?P<number>{NUMBER})\s?%(?![{L}])")
_PLAIN = r"(?>[0-9]{1,4}(?:[.,:][0-9]+)?)"
_RANGE = re.compile(
    rf"(?<![{L}.,:–—/*#+~-])(?P<a>{_PLAIN})(?:(?P<long>\s?[–—]\s?|[~〜])|\s?-\s?)(?P<b>{_PLAIN})(?![{L}–—/*#~-]|[.,:][0-9])"
)
_NUMBERED = re.compile(rf"(?<![{L}])#([0-9]+)(?![{L}#*])")
_AND = re.compile(r"(?<=\s)&(?=\s)")
_ANY_NUMBER = re.compile(rf"(?<![{L}.,:]){NUMBER}(?![{L}]|[.,:][0-9])")
_NINE_DIGITS = re.compile(r"[0-9]{3} [0-9]{3} [0-9]{2}[1-9]")
_WORD_BEFORE = re.compile(r"[^\W\d_][.:)]?\s\Z")
_WORD_AFTER = re.compile(r"\s?[^\W\d_]")

_LIKE_ASCII = str.maketrans("٪٫٬％＋－−（）／：．，＃＊‑￥", "%.,%+--()/:.,#*-¥")


def with_spoken_numbers(text: str, language: str, words: Words | None) -> str:
    """Returns a text with its figures rewritten so that any synthesiser says them properly.

    Args:
        text: of one language.
        language: its BCP 47 tag.
        words: the language's words for signs; None: unknown, so signs stay as they are.

    """
    if not any(map(str.isdecimal, text)):
        return _AND.sub(words.and_, text) if words and "&" in text else text
    figures, like_ascii = figures_of(language), _like_ascii(text)
    replacements: list[tuple[int, int, str]] = []
    for pattern, recogniser in _RECOGNISERS:
        for match in pattern.finditer(like_ascii):
            start, end = match.span()
            if any(start < claimed_end and claimed_start < end for claimed_start, claimed_end, _ in replacements):
                continue
            wording = recogniser(match, figures, words)
            if wording is not None:
                written = text[start:end]
                replacements.append((start, end, written if wording == match.group() else _in_script(wording, written)))
    pieces, at = [], 0
    for start, end, wording in sorted(replacements):
        pieces += [text[at:start], wording]
        at = end
    return "".join([*pieces, text[at:]])


def load_figures(language: str) -> None:
    """Loads what `with_spoken_numbers` needs for a language, which takes some 30 ms the first time: for a thread."""
    figures_of(language)


def _like_ascii(text: str) -> str:
    """Returns a text with digits and signs of other scripts in ASCII, character for character."""
    if text.isascii():
        return text
    return "".join(
        str(decimal(char)) if char.isdecimal() and not char.isascii() else char for char in text.translate(_LIKE_ASCII)
    )


def _in_script(wording: str, written: str) -> str:
    """Returns the wording, with the digits as they were written."""
    digit = next((char for char in written if char.isdecimal()), "0")
    if digit.isascii() or "\uff10" <= digit <= "\uff19":  # full-width ones are for the eye
        return wording
    zero = ord(digit) - decimal(digit)
    return re.sub("[0-9]", lambda digit: chr(zero + int(digit[0])), wording)


def _stays(match: re.Match[str], _figures: Figures, _words: Words | None) -> str:
    return match.group()


def _percent(match: re.Match[str], figures: Figures, words: Words | None) -> str | None:
    if words is None:
        return None
    number = figures.value(match["number"])
    return words.percent.format(words.to.format(figures.value(match["from"]), number) if match["from"] else number)


def _unit(match: re.Match[str], figures: Figures, words: Words | None) -> str | None:
    number = match["number"]
    if not figures.parts(number)[0].isdigit() or (match["from"] and words is None):
        return None
    wording = (match["minus"] or "") + figures.unit(number, _UNITS[match["unit"]])
    return words.to.format(figures.value(match["from"]), wording) if match["from"] and words else wording


def _range(match: re.Match[str], _figures: Figures, words: Words | None) -> str | None:
    """`10 to 15`; with a hyphen only where it can't be anything else, such as a score or a part of a number."""
    if words is None or not (match["long"] or _is_range(match)):
        return None
    return words.to.format(match["a"], match["b"])


def _is_range(match: re.Match[str]) -> bool:
    low, high = match["a"], match["b"]
    if any(bound[0] == "0" and bound[1:2].isdigit() for bound in (low, high)) or ":" in low + high:
        return False
    if float(low.replace(",", ".")) >= float(high.replace(",", ".")):
        return False
    before = _WORD_BEFORE.search(match.string[: match.start()])
    after = _WORD_AFTER.match(match.string[match.end() :])
    if max(len(low), len(high)) < 3 or not (low + high).isdigit():
        return bool(before or after)
    if len(low) == len(high) == 4 and int(low) >= 1000 and int(high) < 2200:
        return True
    return bool(after) and int(low) % 5 == int(high) % 5 == 0


def _numbered(match: re.Match[str], _figures: Figures, words: Words | None) -> str | None:
    return None if words is None else words.number.format(match[1])


def _and(_found: re.Match[str], _figures: Figures, words: Words | None) -> str | None:
    return None if words is None else words.and_


def _number(match: re.Match[str], figures: Figures, _words: Words | None) -> str | None:
    number = match.group()
    is_grouped = " " not in number or figures.groups_by_space or number.endswith(" 000")
    if _NINE_DIGITS.fullmatch(number):
        return None  # as many telephone numbers are written that way
    return figures.plain(number) if is_grouped else None


_RECOGNISERS: tuple[tuple[re.Pattern[str], _Recogniser], ...] = (
    (URL, _stays),
    (EMAIL, _stays),
    (SERVICE_CODE, _stays),
    (MONEY, money),
    (_PERCENT, _percent),
    (_UNIT, _unit),
    (DATE, date),
    (DAY, day),
    (ORDINALS, ordinals),
    (HALF_DAY, half_day),
    (CLOCK, clock),
    (DOTTED, dotted),
    (HOURS, hours),
    (VERSION, version),
    (_RANGE, _range),
    (SERIAL, serial),
    (PHONE, phone),
    (_NUMBERED, _numbered),
    (_ANY_NUMBER, _number),
    (_AND, _and),
)
"""The recognisers in order of precedence."""
