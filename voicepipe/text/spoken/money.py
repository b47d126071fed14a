"""Money in words: `$1.5m`, `10-15 €`, `Rs. 1,50,000`, `CHF 12.-`."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING

from voicepipe.text.spoken.figures import NUMBER, L

if TYPE_CHECKING:
    from voicepipe.text.spoken.figures import Figures
    from voicepipe.text.spoken.signs import Words

_CODES = (
    *("USD", "EUR", "GBP", "JPY", "INR", "CHF", "CNY", "AUD", "CAD", "MXN", "SAR", "AED", "BRL", "SEK", "NOK", "DKK"),
    *("PLN", "CZK", "HUF", "TRY", "ZAR", "SGD", "HKD", "NZD", "KRW", "ILS", "QAR", "KWD", "EGP"),
)
CURRENCIES = {
    "$": "USD",
    "€": "EUR",
    "£": "GBP",
    "¥": "JPY",
    "₹": "INR",
    "₽": "RUB",
    "₩": "KRW",
    "₺": "TRY",
    "₪": "ILS",
    "₫": "VND",
    "₦": "NGN",
    "₱": "PHP",
    "฿": "THB",
    "₴": "UAH",
    "US$": "USD",
    "A$": "AUD",
    "C$": "CAD",
    "R$": "BRL",
    "CN¥": "CNY",
    "HK$": "HKD",
    "NZ$": "NZD",
    "S$": "SGD",
    "Rs.": "INR",
    "Rs": "INR",
    "zł": "PLN",
    "Kč": "CZK",
    **{code: code for code in _CODES},
}
"""ISO 4217 codes by sign."""

_SIGN = "|".join(re.escape(sign) for sign in sorted(CURRENCIES, key=len, reverse=True))
_SHORT = {
    **dict.fromkeys(("k", "K"), "k"),
    **dict.fromkeys(("m", "M", "mm", "MM", "mn", "Mn", "mio", "Mio", "Mio.", "mln", "mill", "mi"), "m"),
    **dict.fromkeys(("b", "B", "bn", "Bn", "BN", "bln", "bi", "Mrd", "Mrd.", "mrd", "Md", "Mds", "mld"), "bn"),
    **dict.fromkeys(("t", "T", "tn", "trn"), "tn"),
    **dict.fromkeys(("L", "lakh", "lakhs", "lac", "lacs"), "lakh"),
    **dict.fromkeys(("Cr", "cr", "Cr.", "crore", "crores"), "cr"),
}
"""The currency or the multiple behind a number of money, by the way it is written."""
_SINGULAR_BELOW_TWO = {"fr", "pt"}
"""Languages in which 1.5 of something is singular."""
_ZEROS = {"k": 3, "m": 6, "bn": 9, "tn": 12, "lakh": 5, "cr": 7}
_LONG = (
    "million|billion|trillion|thousand|Millionen|Million|Milliarden|Milliarde|Billionen|Tausend|mil millones|millones|"
    "millón|millions|milliards|milliard|milioni|milione|miliardi|miliardo|mila|milhões|milhão|bilhões|bilhão|mil|"
    "miljoen|miljard|万亿|万|亿|लाख|करोड़|हज़ार|अरब|مليون|مليار|ألف"
)
_SHORTS = "|".join(re.escape(short) for short in sorted(_SHORT, key=len, reverse=True))
_SPACED = "|".join(
    re.escape(short)
    for short in sorted((short for short in _SHORT if len(short.rstrip(".")) > 1), key=len, reverse=True)
)
_SCALE = rf"(?:\s?(?:{_LONG})|(?:{_SHORTS})|\s(?:{_SPACED}))"
_DASH = r"\s?[-–—]\s?"
_NOTHING = r"(?:/-|[.,][-–—]{1,2})?"

MONEY = re.compile(
    rf"(?<![{L}.,^])(?:"
    rf"(?P<before>{_SIGN})\s?(?P<minus>-)?(?P<a>{NUMBER})(?P<scale_a>(?:{_SCALE}|\s[kKmMbB])(?![{L}]))?{_NOTHING}"
    rf"(?:{_DASH}(?:(?P=before)\s?)?(?P<b>{NUMBER})(?P<scale_b>{_SCALE}(?![{L}]))?{_NOTHING})?"
    rf"|(?P<c>{NUMBER})(?:{_DASH}(?P<d>{NUMBER}))?{_NOTHING}"
    rf"(?:(?P<scale_d>{_SCALE}|\s?(?:k|K|M|Md))?\s?(?P<after>{_SIGN}))"
    rf")(?![{L}$€£¥]|[.,][0-9])"
)


_GOES_ON = re.compile(r"[-–]\w")


def money(match: re.Match[str], figures: Figures, words: Words | None) -> str | None:
    """`12 dollars 50`, `10 to 15 euros`, `1.5 million dollars`; None if these are no amounts."""
    sign = match["before"] or match["after"]
    first, last = (match["a"], match["b"]) if match["before"] else (match["c"], match["d"])
    first_scale, scale = (match["scale_a"], match["scale_b"]) if match["before"] else ("", match["scale_d"])
    minus = match["minus"] or ""
    if last is None:
        if _GOES_ON.match(match.string, match.end()):
            return None
        amount = _amount(first, first_scale if match["before"] else scale, sign, figures, words)
        return amount and minus + amount
    if last.startswith("0") and last[1:2].isdigit():
        return None
    high = _amount(last, scale, sign, figures, words)
    low = figures.value(first)
    if _SHORT.get((scale or "").strip()) == "k" and low.isdigit():
        low += "000"
    if first_scale or len(figures.parts(first)[1]) == 2:
        low = _amount(first, first_scale or scale, sign, figures, words) or ""
    if not high or not low:
        return None
    return words.to.format(low, high) if words else f"{low} – {high}"


def _amount(number: str, scale: str | None, sign: str, figures: Figures, words: Words | None) -> str | None:
    whole, fraction = figures.parts(number)
    if not whole.isdigit():
        return None
    joint = figures.joint
    scale = (scale or "").strip()
    if scale and scale not in _SHORT:
        space = "" if scale in {"万", "亿", "万亿"} else " "
        preposition = words.of if words and not scale.startswith("mil ") and scale not in {"mil", "mila"} else ""
        return (
            f"{figures.value(number)}{space}{scale}{joint}{_of(preposition, _name(sign, 2, figures, words), figures)}"
        )
    if scale:
        return _scaled((whole, fraction), _SHORT[scale], sign, figures, words)
    is_round = not fraction.strip("0")
    is_counted = is_round or (len(fraction) == 2 and int(whole)) or figures.language in _SINGULAR_BELOW_TWO
    name = _name(sign, int(whole) if is_counted else 2, figures, words)
    if len(fraction) == 2 and int(whole) and joint:
        return f"{whole} {name}" if is_round else f"{whole} {name} {fraction}"
    return f"{figures.value(number)}{joint}{name}"


def _scaled(parts: tuple[str, str], scale: str, sign: str, figures: Figures, words: Words | None) -> str | None:
    whole, fraction = parts
    if scale == "lakh" and CURRENCIES[sign] != "INR":
        return None
    amount = Decimal(f"{whole}.{fraction or 0}")
    exact = amount * 10 ** _ZEROS[scale]
    name = _name(sign, 2, figures, words)
    if words is None or scale == "k" or scale not in words.scales:
        return f"{exact:.0f}{figures.joint}{name}" if exact == exact.to_integral() else None
    several = amount >= 2 if figures.language in _SINGULAR_BELOW_TWO else amount != 1
    number = f"{whole}{figures.decimal}{fraction}" if fraction else whole
    return f"{number} {words.scales[scale][several]} {_of(words.of, name, figures)}"


def _of(preposition: str, name: str, figures: Figures) -> str:
    """`d'euros`, `de dollars`."""
    return f"d'{name}" if figures.language == "fr" and preposition and name[0] in "aeiou" else preposition + name


def _name(sign: str, count: int, figures: Figures, words: Words | None) -> str:
    if words is not None and sign in words.money:
        is_one = count == 1 or (count == 0 and figures.language in _SINGULAR_BELOW_TWO)
        return words.money[sign][not is_one]
    return figures.currency(CURRENCIES[sign], count)
