"""Telephone numbers in the spellings that people and transports have for one number. Pure."""

from __future__ import annotations

import unicodedata

SEPARATORS = " -.()/"
"""What is between the digits of a number as a transport writes it, besides other spaces and dashes in Unicode."""

_UNSEEN = {"Zs", "Pd", "Cf"}
"""Categories of characters: spaces, dashes, and what only formats."""


def plain_number(number: str) -> str:
    """Returns a number without what groups its digits, and with `+` for the international prefix 00.

    `+49 (0)30 901820`, `0049 30-901820` and `tel:+4930901820` are one number; `030 901820` is another one, because
    nothing says in which country.
    """
    number = number.removeprefix("tel:")
    plain = "".join(char for char in number if unicodedata.category(char) not in _UNSEEN)
    if plain.startswith(("+", "00")):
        plain = plain.replace("(0)", "")
    for separator in SEPARATORS:
        plain = plain.replace(separator, "")
    return f"+{plain[2:]}" if plain.startswith("00") else plain
