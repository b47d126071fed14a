"""Money, dates, telephone numbers and other figures, written so that any synthesiser says them properly.

Plain numbers stay in figures: every synthesiser says `1250` in its own language. What they get wrong is how figures
are written: `$12.50`, `1.250,00`, `03.05.2026`, `555-0100`. Names and orders are those of the Unicode CLDR, which
Babel brings: it is released with each CLDR, is pure Python, and loads a language in 5 ms.
"""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from babel import Locale

    from voicepipe.calls.spoken_words import Words

CURRENCIES = {
    **dict(zip("$€£¥₹₽₩₺₪", ("USD", "EUR", "GBP", "JPY", "INR", "RUB", "KRW", "TRY", "ILS"), strict=True)),
    **dict(zip(("US$", "A$", "C$", "R$", "CN¥"), ("USD", "AUD", "CAD", "BRL", "CNY"), strict=True)),
    **{code: code for code in ("USD", "EUR", "GBP", "JPY", "INR", "CHF", "CNY", "AUD", "CAD", "MXN", "SAR", "AED")},
}
"""ISO 4217 codes by sign."""

_L = "0-9A-Za-z\u00c0-\u024f_"
"""What a figure is part of a name with, such as `B12`; other scripts write figures next to their letters."""
_NUMBER = r"[0-9]+(?:[.,'’\u00a0\u202f][0-9]+)*"  # noqa: RUF001 - the Swiss apostrophe
_SIGN = "|".join(re.escape(sign) for sign in sorted(CURRENCIES, key=len, reverse=True))
_SCALE = (
    r"(?:\s?(?:million|billion|Million(?:en)?|Milliarden?|millón|millones|Mio\.|Mrd\.|万|亿|लाख|करोड़|مليون|مليار)"
    r"|(?:k|K|M|bn)(?!\w))?"
)
_MONEY = re.compile(
    rf"(?<![{_L}.,])(?:(?P<before>{_SIGN})\s?(?P<a>{_NUMBER})(?P<scale_a>{_SCALE})"
    rf"|(?P<b>{_NUMBER})(?P<scale_b>{_SCALE})\s?(?P<after>{_SIGN}))(?![{_L}$€£¥])"
)
_SCALES = {"k": "000", "K": "000", "M": "000000", "bn": "000000000"}
_DATE = re.compile(rf"(?<![{_L}./-])([0-9]{{1,4}})([./-])([0-9]{{1,2}})\2([0-9]{{4}}|[0-9]{{2}})(?![{_L}/-]|\.[0-9])")
_PHONE = re.compile(
    rf"(?<![{_L}.,/-])(?:\+[0-9]{{1,3}}[ .-]?)?(?:\([0-9]{{1,5}}\)[ .-]?)?[0-9]{{2,}}(?:[ .-][0-9]{{2,}})*"
    rf"(?![{_L}/]|[.,-][0-9])"
)
_NORTH_AMERICAN = re.compile(r"(?:\([0-9]{3}\) ?|[0-9]{3}[ .-])?[0-9]{3}[.-][0-9]{4}|[0-9]{3} [0-9]{3} [0-9]{4}")
_GROUPED = re.compile(r"[0-9]{1,3}(?:(?P<mark>[.,'’\u00a0\u202f])(?:[0-9]{2,3}(?P=mark))*[0-9]{3})?")  # noqa: RUF001
_PERCENT = re.compile(rf"({_NUMBER})\s?[%٪](?![{_L}])")
_RANGE = re.compile(rf"(?<![{_L}.,–—/-])([0-9]+(?:[.:][0-9]{{2}})?)\s?[–—]\s?([0-9]+(?:[.:][0-9]{{2}})?)(?![{_L}–—/-])")  # noqa: RUF001
_NUMBERED = re.compile(rf"(?<![{_L}])#([0-9]+)(?![{_L}])")
_AND = re.compile(r"(?<=\s)&(?=\s)")
_ANY_NUMBER = re.compile(rf"(?<![{_L}.,]){_NUMBER}(?![{_L}]|[.,][0-9])")

LONGEST_GROUP = 5
"""Digits of the longest group of a telephone number that is said without a pause."""

LONGEST_NUMBER = 6
"""Digits of the longest number that is read as one; more without separators are read one by one, as in an order."""


def with_spoken_numbers(text: str, language: str, words: Words | None) -> str:
    """Text whose figures any synthesiser says properly.

    Args:
        text: of one language.
        language: its BCP 47 tag.
        words: how signs are said in it; None: unknown, so signs are left as they are.

    """
    if not any(character in text for character in "0123456789"):
        return _AND.sub(words.and_, text) if words and "&" in text else text
    figures = _figures(language)
    text = _MONEY.sub(lambda found: figures.money(found, words), text)
    text = _DATE.sub(figures.date, text)
    text = _PHONE.sub(lambda found: figures.phone(found, words), text)
    if words is not None:
        text = _PERCENT.sub(lambda found: words.percent.format(figures.plain(found[1])), text)
        text = _RANGE.sub(lambda found: words.to.format(found[1], found[2]), text)
        text = _NUMBERED.sub(lambda found: words.number.format(found[1]), text)
        text = _AND.sub(words.and_, text)
    return _ANY_NUMBER.sub(lambda found: figures.plain(found.group()), text)


def load_figures(language: str) -> None:
    """Loads what `with_spoken_numbers` needs for a language, which takes some 30 ms the first time: for a thread."""
    _figures(language)


@lru_cache(maxsize=32)
def _figures(language: str) -> _Figures:
    from babel import Locale, UnknownLocaleError  # noqa: PLC0415 - 25 ms, for those who speak

    try:
        return _Figures(Locale.parse(language, sep="-" if "-" in language else "_"))
    except (UnknownLocaleError, ValueError):
        return _Figures(Locale("en"))


class _Figures:
    """How a language writes figures."""

    def __init__(self, locale: Locale) -> None:
        from babel.dates import format_date, get_date_format  # noqa: PLC0415 - as above
        from babel.numbers import get_currency_name  # noqa: PLC0415 - as above

        self._locale, self._format_date, self._currency_name = locale, format_date, get_currency_name
        symbols = locale.number_symbols
        self._decimal = str(symbols.get("latn", symbols).get("decimal", "."))
        self._groups_by_space = str(symbols.get("latn", symbols).get("group", ",")).isspace()
        pattern = str(get_date_format("short", locale).pattern).lower()
        self._order = "".join(sorted("dmy", key=pattern.find))
        self._has_dots = "." in pattern

    def plain(self, number: str) -> str:
        """A number without separators of thousands, with the language's own decimal sign."""
        whole, fraction = self._parts(number)
        return f"{whole}{self._decimal}{fraction}" if fraction else whole

    def _parts(self, number: str) -> tuple[str, str]:
        """Its digits before and after the decimal sign, whichever that is; one that is no number stays whole."""
        marks = [character for character in number if not character.isdigit()]
        if not marks:
            return number, ""
        whole, last, fraction = number.rpartition(marks[-1])
        is_decimal = last in ".," and marks.count(last) == 1 and _GROUPED.fullmatch(whole)
        if is_decimal and (len(marks) > 1 or last == self._decimal or not _GROUPED.fullmatch(number)):
            return re.sub(r"\D", "", whole), fraction
        if _GROUPED.fullmatch(number) and not number.startswith("0"):
            return re.sub(r"\D", "", number), ""
        return number, ""

    def money(self, found: re.Match[str], words: Words | None) -> str:
        """`12 dollars 50`, `12 Euro 50`."""
        sign = found["before"] or found["after"]
        number, scale = found["a"] or found["b"], (found["scale_a"] or found["scale_b"] or "")
        whole, fraction = self._parts(number)
        if not whole.isdigit():
            return found.group()
        count = int(whole) if not (fraction.strip("0") or scale) else 2
        name = self._name(sign, count, words)
        joint = "" if self._locale.language in {"zh", "ja"} else " "
        if scale.strip() in _SCALES and not fraction:
            return f"{whole}{_SCALES[scale.strip()]}{joint}{name}"
        if scale:
            return f"{self.plain(number)}{scale}{joint}{name}"
        if len(fraction) == 2 and int(whole) and joint:
            cents = f" {fraction}" if int(fraction) else ""
            return f"{whole} {name}{cents}"
        return f"{self.plain(number)}{joint}{name}"

    def _name(self, sign: str, count: int, words: Words | None) -> str:
        if words is not None and sign in words.money:
            return words.money[sign][count != 1]
        return self._currency_name(CURRENCIES[sign], count=count, locale=self._locale)

    def date(self, found: re.Match[str]) -> str:
        """`3 May 2026`, in the language's own order."""
        first, mark, second, third = found.groups()
        if len(first) == 4 and len(third) == 2:
            numbers = dict(zip("ymd", (first, second, third), strict=True))
        elif len(first) <= 2 and (len(third) == 4 or (mark == "/" or (mark == "." and self._has_dots))):
            order = self._order if not self._order.startswith("y") else "dmy"
            if order == "mdy" and (mark == "." or int(first) > 12):
                order = "dmy"
            numbers = dict(zip(order, (first, second, third), strict=True))
        else:
            return found.group()
        year = int(numbers["y"])
        try:
            day = date(year + 2000 if year < 100 else year, int(numbers["m"]), int(numbers["d"]))
        except ValueError:
            return found.group()
        return str(self._format_date(day, "long", self._locale))

    def phone(self, found: re.Match[str], words: Words | None) -> str:
        """A telephone number digit by digit, group by group; any other number as it is."""
        text = found.group()
        digits = re.sub(r"\D", "", text)
        is_long = len(digits) > LONGEST_NUMBER and not text.endswith("000")
        is_phone = (
            text.startswith(("+", "("))
            or (text.startswith("0") and is_long)
            or _NORTH_AMERICAN.fullmatch(text) is not None
            or (text.isdigit() and is_long)
            or (text.count(" ") > 1 and is_long and not self._groups_by_space)
        )
        if not is_phone or not 4 <= len(digits) <= 19:
            return text
        groups = re.findall(r"[0-9]+", text)
        said = ", ".join(" ".join(piece) for group in groups for piece in _thirds(group))
        return f"{words.plus if words else '+'} {said}" if text.startswith("+") else said


def _thirds(digits: str) -> list[str]:
    """Groups of three of a long group; the last may be of four or two."""
    if len(digits) <= LONGEST_GROUP:
        return [digits]
    cut = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    if len(cut) > 1 and len(cut[-1]) == 1:
        cut[-2:] = [cut[-2] + cut[-1]]
    return cut
