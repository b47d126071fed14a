"""Text without what is only for the eye: Markdown, HTML, emoji; addresses in words. Pure functions."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from voicepipe.calls.spoken_words import Words

_EMOJI = re.compile(
    # The blocks of pictographs of Unicode 16, with what joins and varies them. A joiner alone is Hindi or Persian.
    "(?:[\U0001f000-\U0001faff\u2600-\u27bf\u2b00-\u2bff\u2190-\u21ff\u2300-\u23ff\u25a0-\u25ff]"
    "[\ufe0e\ufe0f\u200d\u20e3\U000e0020-\U000e007f]*)+|[\ufe0e\ufe0f\u20e3]+"
)
_RULE = re.compile(r"\s*(?:[-*_=]\s*){3,}")
_TABLE_RULE = re.compile(r"\s*\|?[\s:|-]*-{2,}[\s:|-]*")
_LINE_START = re.compile(r"^\s*(?:#{1,6}\s+|>\s?|[-*+•‣◦]\s+(?:\[[ xX]\]\s+)?)+")
_LINK = re.compile(r"!?\[([^\[\]]*)\]\([^()\s]*(?:\([^()\s]*\)[^()\s]*)*(?:\s+\"[^\"]*\")?\)")
_AUTOLINK = re.compile(r"<((?:https?://|mailto:)?[^<>\s]+[@.:][^<>\s]+)>")
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>|<!--.*?-->", re.DOTALL)
_STARS = re.compile(r"(?<![\s\d*])\*+|\*+(?![\s*]|\d)")
_UNDERSCORES = re.compile(r"(?<!\w)_+(?=\w)|(?<=[\w.!?,;:])_+(?!\w)|__+")
_TICKS = re.compile(r"`+|~~+")
_URL = re.compile(r"(?:https?://|www\.)[^\s<>\"')\]]*[^\s<>\"')\].,;:!?。，؟।]", re.IGNORECASE)  # noqa: RUF001 - as written
_EMAIL = re.compile(r"(?<![\w.+-])(?:mailto:)?([\w.+-]+)@([\w-]+(?:\.[\w-]+)+)")
_SNAKE = re.compile(r"(?<=\w)_(?=\w)")
_SPACES = re.compile(r"[^\S\n]+")


def without_markdown(line: str) -> str:
    """One line without Markdown's and HTML's signs; a rule or the line under a table's head comes to nothing."""
    if _RULE.fullmatch(line) or ("|" in line and _TABLE_RULE.fullmatch(line)):
        return ""
    line = _LINE_START.sub("", line)
    if line.startswith("|"):
        line = ", ".join(cell for one in line.strip("| ").split("|") if (cell := one.strip()))
    line = _LINK.sub(r"\1", line)
    line = _AUTOLINK.sub(r"\1", line)
    line = html.unescape(_TAG.sub("", line))
    for signs, instead in ((_UNDERSCORES, ""), (_STARS, ""), (_TICKS, ""), (_SNAKE, " ")):
        line = _outside_addresses(signs, instead, line)
    return line


def _outside_addresses(signs: re.Pattern[str], instead: str, line: str) -> str:
    if "@" not in line and "://" not in line and "www." not in line:
        return signs.sub(instead, line)
    spans = [found.span() for pattern in (_URL, _EMAIL) for found in pattern.finditer(line)]

    def replaced(sign: re.Match[str]) -> str:
        return sign.group() if any(start < sign.start() < end for start, end in spans) else instead

    return signs.sub(replaced, line)


def without_emoji(text: str) -> str:
    """Text without emoji, arrows and other pictures, and without the space that one leaves before a mark."""
    if text.isascii():
        return text
    return re.sub(r"\s+(?=[.,;:!?。，！？])", "", found) if (found := _EMOJI.sub("", text)) != text else text  # noqa: RUF001


def with_spoken_addresses(text: str, words: Words) -> str:
    """Web addresses as their host, e-mail addresses whole, both in words: `jane dot doe at example dot com`."""
    if "://" in text or "www." in text.lower():
        text = _URL.sub(lambda found: _dotted(_host(found.group()), words), text)
    if "@" in text:
        text = _EMAIL.sub(lambda found: _dotted(f"{found[1]} {words.at} {found[2]}", words), text)
    return text


def tidy(text: str) -> str:
    """Text with single spaces."""
    return _SPACES.sub(" ", text).strip()


def _host(url: str) -> str:
    host = re.split(r"[/?#]", url.partition("://")[2] or url)[0]
    return host.rpartition("@")[2].partition(":")[0].removeprefix("www.")


def _dotted(address: str, words: Words) -> str:
    return address.replace(".", f" {words.dot} ")
