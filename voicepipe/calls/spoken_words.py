"""The few words by which signs are said, by language; names of months and currencies come from the Unicode CLDR."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen


@frozen
class Words:
    """How signs are said."""

    dot: str
    """`.` in an address."""
    at: str
    """`@` in an address."""
    plus: str
    """`+` before a telephone number."""
    percent: str
    """`{}` is the number."""
    to: str
    """`{}` twice: a range."""
    and_: str
    """`&`."""
    number: str
    """`#` before a number: `{}`."""
    money: Mapping[str, tuple[str, str]] = field(factory=dict)
    """One and several of a currency by its sign, where people don't say its full name."""


EN = {"$": ("dollar", "dollars"), "£": ("pound", "pounds"), "₹": ("rupee", "rupees"), "¥": ("yen", "yen")}

WORDS = {
    "en": Words("dot", "at", "plus", "{} percent", "{} to {}", "and", "number {}", EN),
    "de": Words(
        "Punkt",
        "ät",
        "plus",
        "{} Prozent",
        "{} bis {}",
        "und",
        "Nummer {}",
        {"$": ("Dollar", "Dollar"), "£": ("Pfund", "Pfund")},
    ),
    "es": Words(
        "punto",
        "arroba",
        "más",
        "{} por ciento",
        "{} a {}",
        "y",
        "número {}",
        {"$": ("dólar", "dólares"), "£": ("libra", "libras")},
    ),
    "zh": Words("点", "艾特", "加", "百分之{}", "{}到{}", "和", "{}号", {"¥": ("元", "元")}),
    "ar": Words("نقطة", "آت", "زائد", "{} بالمئة", "{} إلى {}", "و", "رقم {}", {"$": ("دولار", "دولار")}),
    "hi": Words(
        "डॉट", "ऐट", "प्लस", "{} प्रतिशत", "{} से {}", "और", "नंबर {}", {"$": ("डॉलर", "डॉलर"), "₹": ("रुपया", "रुपये")}
    ),
}
"""By language. In others such signs are left to the synthesiser."""
