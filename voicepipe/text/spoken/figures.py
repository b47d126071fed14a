"""A language's figures: its marks, the order of its dates, and the names that the Unicode CLDR has in it."""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from babel import Locale

L = "0-9A-Za-z\u00c0-\u024f_"
"""Letters that make a figure part of a name, such as `B12`; other scripts write figures next to their letters."""
BLANKS = " \u00a0\u202f\u2009"
"""Spaces within a figure: plain, not to be broken, narrow."""
NUMBER = (
    rf"(?>[0-9]{{1,3}}(?:[{BLANKS}][0-9]{{3}}(?![0-9]))+(?:[.,][0-9]{{1,2}}(?![0-9]))?"
    r"|[0-9]+(?:[.,'’\u00a0\u202f\u2009][0-9]+)*)"
)
"""A pattern of a whole figure."""
_MARKED = re.compile(rf"[0-9]{{1,3}}(?:(?P<mark>[.,'’{BLANKS}])(?:[0-9]{{2,3}}(?P=mark))*[0-9]{{3}})?")


@lru_cache(maxsize=32)
def figures_of(language: str) -> Figures:
    """Returns the figures of a BCP 47 tag; of English, if the tag is unknown. The first time takes some 30 ms."""
    return Figures(locale_of(language))


@lru_cache(maxsize=32)
def locale_of(language: str) -> Locale:
    """Returns the locale of a BCP 47 tag; that of English, if the tag is unknown."""
    from babel import Locale, UnknownLocaleError  # noqa: PLC0415 - 25 ms, for those who speak

    try:
        return Locale.parse(language, sep="-" if "-" in language else "_")
    except (UnknownLocaleError, ValueError):
        return Locale("en")


class Figures:
    """A language's way to write figures."""

    def __init__(self, locale: Locale) -> None:
        from babel.dates import format_date, format_skeleton, get_date_format  # noqa: PLC0415 - as above
        from babel.numbers import get_currency_name  # noqa: PLC0415 - as above
        from babel.units import format_unit  # noqa: PLC0415 - as above

        self._locale, self._format_date, self._format_skeleton = locale, format_date, format_skeleton
        self._currency_name, self._format_unit = get_currency_name, format_unit
        symbols = locale.number_symbols
        self.decimal = str(symbols.get("latn", symbols).get("decimal", "."))
        self.groups_by_space = str(symbols.get("latn", symbols).get("group", ",")).isspace()
        pattern = str(get_date_format("short", locale).pattern).lower()
        self._order = "".join(sorted("dmy", key=pattern.find))
        self.has_dots = "." in pattern
        self.joint = "" if locale.language in {"zh", "ja"} else " "
        self.language = locale.language

    def plain(self, number: str) -> str:
        """A number without marks of thousands; one whose marks this language uses otherwise stays as it is."""
        whole, fraction = self.parts(number, any_mark=False)
        return f"{whole}{self.decimal}{fraction}" if fraction else whole

    def value(self, number: str) -> str:
        """Returns a number without marks of thousands, with the decimal mark of the language."""
        whole, fraction = self.parts(number)
        return f"{whole}{self.decimal}{fraction}" if fraction else whole

    def parts(self, number: str, *, any_mark: bool = True) -> tuple[str, str]:
        """Splits a number at its decimal mark; text that is no number stays whole.

        Args:
            number: the number as it is written.
            any_mark: whether a single mark may be decimal that is not the language's own.

        """
        marks = [character for character in number if not character.isdigit()]
        if not marks:
            return number, ""
        whole, last, fraction = number.rpartition(marks[-1])
        is_decimal = last in ".," and marks.count(last) == 1 and _MARKED.fullmatch(whole)
        if is_decimal and len(marks) > 1:
            return re.sub(r"\D", "", whole), fraction
        if is_decimal and (last == self.decimal or not _MARKED.fullmatch(number)):
            return (whole, fraction) if any_mark or last == self.decimal else (number, "")
        if _MARKED.fullmatch(number) and not number.startswith("0"):
            return re.sub(r"\D", "", number), ""
        return number, ""

    def currency(self, code: str, count: int) -> str:
        """Returns the name of a currency, by its ISO 4217 code, in the form for an amount."""
        return str(self._currency_name(code, count=count, locale=self._locale))

    def unit(self, number: str, unit: str) -> str:
        """Returns a quantity of a unit, by its CLDR identifier: `20 degrees Celsius`."""
        whole, fraction = self.parts(number)
        amount = float(f"{whole}.{fraction}") if fraction else int(whole)
        return str(self._format_unit(amount, unit, "long", f"0.{'0' * len(fraction)}", self._locale))

    def date(self, first: str, mark: str, second: str, third: str) -> str | None:
        """`3 May 2026`, in the language's own order; None if these are no date in it."""
        if len(first) == 4 and len(third) == 2:
            numbers = dict(zip("ymd", (first, second, third), strict=True))
        elif len(first) <= 2 and (len(third) == 4 or mark == "/" or (mark == "." and self.has_dots)):
            order = self._order if not self._order.startswith("y") else "dmy"
            if order == "mdy" and (mark == "." or int(first) > 12):
                order = "dmy"
            numbers = dict(zip(order, (first, second, third), strict=True))
        else:
            return None
        year = int(numbers["y"])
        try:
            day = date(year + 2000 if year < 100 else year, int(numbers["m"]), int(numbers["d"]))
        except ValueError:
            return None
        return str(self._format_date(day, "long", self._locale))

    def day(self, day: str, month: str) -> str | None:
        """`12. Mai`; None if there is no such day."""
        try:
            return str(self._format_skeleton("MMMMd", date(2024, int(month), int(day)), locale=self._locale))
        except ValueError:
            return None
