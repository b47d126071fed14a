"""Numbers that are read digit by digit, or letter by letter: of telephones, cards, codes, IBANs, serial numbers.

Only one thing matters here: that a figure is no quantity. Whether a telephone number exists does not: those in examples
do not exist, nor do those with a slip. A library of the world's numbering plans would need the country, which `en` does
not tell, and would not take the rest of these.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from voicepipe.text.spoken.figures import BLANKS, L
from voicepipe.text.spoken.signs import SAID_BEFORE_CODES, SAID_BEFORE_DIGITS

if TYPE_CHECKING:
    from voicepipe.text.spoken.figures import Figures
    from voicepipe.text.spoken.signs import Words

LONGEST_GROUP = 5
"""Digits of the longest group of a telephone number that is said without a pause."""

LONGEST_NUMBER = 6
"""Digits of the longest number that is read as one; more without separators are read one by one, as in an order."""

MOST_DIGITS = 40
"""Digits of the longest string of groups: longer ones are a table."""

_GROUP = rf"(?>[0-9]+(?![{L}]))"
_SEPARATOR = rf"(?:[{BLANKS}./\u2010-\u2013-]| [/\u2013-] |(?<=\))|(?=\())"
PHONE = re.compile(
    rf"(?<![{L}.,/#*$€£¥₹='\u2019])(?:tel:)?(?<![-\u2013](?=[0-9(]))(?P<plus>\+\s?)?(?P<body>(?:\([0-9]{{1,5}}\)|{_GROUP})"
    rf"(?:{_SEPARATOR}(?:\([0-9]{{1,5}}\)|{_GROUP}))*)"
    rf"(?P<more>[,;]?\s?(?:ext(?:ension)?\.?|x|durchwahl|dw|poste|interno|ramal|toestel|extensión|;?ext=)\s?(?P<extension>[0-9]{{1,6}})(?![{L}]))?"
    rf"(?![{L}%]|[.,/'\u2019-][0-9])",
    re.IGNORECASE,
)
VERSION = re.compile(rf"(?<![{L}.,])[0-9]{{1,3}}(?:\.[0-9]{{1,3}}){{2,}}(?![{L}]|[.,][0-9])")
_IP = re.compile(r"(?:(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])\.){3}(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])")
_IBAN = rf"[A-Z]{{2}}[0-9]{{2}}(?: [A-Z0-9]{{4}}){{2,7}}(?: [A-Z0-9]{{1,4}})?(?![{L}])"
SERIAL = re.compile(rf"(?<![{L}@/.-])(?:{_IBAN}|(?>[A-Z0-9]+(?:-[A-Z0-9]+)*)(?![{L}@/-]|\.[0-9A-Za-z]))")

_NORTH_AMERICAN = re.compile(r"(?:\([0-9]{3}\) ?|[0-9]{3}[ .-])?[0-9]{3}[.-][0-9]{4}|[0-9]{3} [0-9]{3} [0-9]{4}")
_THOUSANDS = re.compile(rf"[1-9][0-9]{{0,2}}(?:([.{BLANKS}])[0-9]{{3}})(?:\1[0-9]{{3}})*")
_AFTER_WORD = re.compile(rf"(?<!\w)(?:{SAID_BEFORE_DIGITS})\b[^0-9\n]{{0,12}}\Z", re.IGNORECASE)
_AFTER_CODE = re.compile(rf"(?<!\w)(?:{SAID_BEFORE_CODES})\b[^0-9\n]{{0,8}}\Z", re.IGNORECASE)


def phone(match: re.Match[str], figures: Figures, words: Words | None) -> str | None:
    """A telephone number, a card or a code digit by digit, group by group; None: any other number."""
    body, plus = match["body"], match["plus"]
    before = match.string[max(0, match.start() - 40) : match.start()]
    rest = ""
    if not plus and (first := _NORTH_AMERICAN.match(body)) and body[first.end() :][:1] in set(BLANKS):
        body, rest = body[: first.end()], body[first.end() :]  # another number follows
    groups = re.findall("[0-9]+", body)
    is_marked = plus or match.group().startswith("tel:") or match["extension"]
    if is_marked and (max(map(len, groups)) < 2 or sum(map(len, groups)) <= LONGEST_NUMBER):
        return None
    if not is_marked and not _is_dialled(body, before, figures):
        return None
    if sum(map(len, groups)) > MOST_DIGITS:
        return None
    wording = ", ".join(" ".join(piece) for group in groups for piece in _thirds(group))
    if plus:
        wording = f"{words.plus if words else '+'} {wording}"
    if match["extension"] and not rest:
        wording += (
            f", {words.extension if words else match['more'].strip(' ,;0123456789')} {' '.join(match['extension'])}"
        )
    elif match["more"]:
        rest += match["more"]
    return wording + rest


def _is_dialled(text: str, before: str, figures: Figures) -> bool:
    """Returns True if figures without a plus are read digit by digit."""
    groups = re.findall("[0-9]+", text)
    after_word = _AFTER_WORD.search(before) is not None
    if len(groups) == 1:
        return not text.startswith("(") and _is_string(text, before, after_word=after_word)
    if _NORTH_AMERICAN.fullmatch(text) or ("-" in text and _AFTER_CODE.search(before)):
        return True
    if not after_word:
        if _IP.fullmatch(text):
            return False
        if thousands := _THOUSANDS.fullmatch(text):
            by_space = figures.groups_by_space or text.endswith("000")
            return thousands[1] == " " and not by_space and len(groups) > 2
    return not ("/" in text and not text.startswith("0")) and _are_string(groups, text, after_word=after_word)


def _is_string(digits: str, before: str, *, after_word: bool) -> bool:
    """Returns True if digits in one piece are no number."""
    if _AFTER_CODE.search(before):
        return len(digits) > 3
    if after_word and len(digits) > 4 and not digits.endswith("000"):
        return True
    if digits.startswith("0"):
        return len(digits) > 2
    return len(digits) > LONGEST_NUMBER and not (digits.endswith("000") and len(digits.rstrip("0")) < 6)


def _are_string(groups: list[str], text: str, *, after_word: bool) -> bool:
    """Returns True if groups of digits belong together, and are neither several numbers nor a date."""
    first, *others = groups
    digits = "".join(groups)
    longest = max(map(len, groups))
    if len(digits) <= LONGEST_NUMBER or longest < 2 or all(map(_is_year, groups)):
        return False
    if digits.startswith("0") or after_word:
        return True
    is_listed = longest < 3  # 14 15 92 65 35
    is_date = len(first) == 4 and max(map(len, others)) < 3  # 2026-13-01, which is meant to be one
    if is_listed or is_date or len(groups) > 2:
        return not (is_listed or is_date)
    if "19" <= first < "21" and len(first) == 4:
        return False  # a year, and another number
    if len(digits) == 8 and len(first) == 4:
        return not any(group.endswith("00") for group in groups)
    return len(digits) > 8 or (others[0].startswith("0") and "." not in text)


def _is_year(group: str) -> bool:
    return len(group) == 4 and 1000 <= int(group) < 2200


def version(match: re.Match[str], _figures: Figures, _words: Words | None) -> str | None:
    """A version or an address stays as it is; None: it may be something else."""
    text = match.group()
    if _IP.fullmatch(text) and not _AFTER_WORD.search(match.string[: match.start()]):
        return text
    return text if len(text.replace(".", "")) <= LONGEST_NUMBER and not _THOUSANDS.fullmatch(text) else None


def serial(match: re.Match[str], _figures: Figures, _words: Words | None) -> str | None:
    """An IBAN, a serial number, a code of letters and digits, sign by sign; None: a word such as `MP3` or `F-16`."""
    text = match.group()
    groups = re.split("[ -]", text)
    signs = "".join(groups)
    borders = sum(sign.isdigit() != following.isdigit() for sign, following in pairwise(signs))
    digits = sum(map(str.isdigit, signs))
    if not borders or len(signs) > 40:
        return None
    is_mixed = (len(signs) > 5 and borders > 2) or (len(signs) > 7 and borders > 1 and digits > 3)
    if not (" " in text or is_mixed or (len(signs) > 9 and digits > 5)):
        return None
    pieces = [piece for group in groups for piece in _fours(group)]
    return ", ".join(" ".join(piece) for piece in pieces)


def _fours(signs: str) -> list[str]:
    return [signs] if len(signs) <= LONGEST_GROUP + 1 else [signs[at : at + 4] for at in range(0, len(signs), 4)]


def _thirds(digits: str) -> list[str]:
    """Groups of three of a long group; the last may be of four or two."""
    if len(digits) <= LONGEST_GROUP:
        return [digits]
    cut = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    if len(cut) > 1 and len(cut[-1]) == 1:
        cut[-2:] = [cut[-2] + cut[-1]]
    return cut
