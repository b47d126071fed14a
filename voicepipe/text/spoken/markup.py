"""Removes marks that are only for the eye (Markdown, HTML, emoji), and puts addresses into words. Pure functions."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from voicepipe.text.spoken.signs import Words

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
_UNSEEN = re.compile(r"<!--.*?-->|<(script|style)\b[^<>]*>.*?</\1\s*>", re.DOTALL | re.IGNORECASE)
_TAG = re.compile(r"</?([a-zA-Z][\w:-]*)(?:\s[^<>]*)?/?>")
_POWER = re.compile(r"(?<=[0-9])<sup>(?=-?[0-9])")
_ITEMS = frozenset(
    {"li", "td", "th", "tr", "dt", "dd", "option", "p", "div", "h1", "h2", "h3", "h4", "h5", "h6", "section", "article"}
)
"""Tags between which a pause is due, as a comma makes one."""
_BLOCKS = _ITEMS | {
    *("br", "hr", "break", "ul", "ol", "dl", "table", "thead", "tbody", "blockquote", "header", "footer", "pre"),
    *("s", "speak", "paragraph", "sentence"),
}
"""Tags that part words; others, such as `b`, may stand within one."""
_PARTED = re.compile("\\s*[\x00\x01][\\s\x00\x01]*")
_EMPHASIS = re.compile(r"(?<![\w*])(\*{1,3})(?=[^\s*])([^*]*[^\s*])\1(?![\w*])")
_STARS = re.compile(r"(?<![\s\d*])\*+|\*+(?![\s*\d.,;:!?)]|$)|\*{2,}(?=[.,;:!?)]|$)")
_UNDERSCORES = re.compile(r"(?<!\w)_+(?=\w)|(?<=[\w.!?,;:])_+(?!\w)|__+")
_TICKS = re.compile(r"`+|~~+")
URL = re.compile(r"(?:https?://|www\.)[^\s<>\"')\]]*[^\s<>\"')\].,;:!?。，؟।]", re.IGNORECASE)
EMAIL = re.compile(r"(?<![\w.+-])(?:mailto:)?([\w.+-]+)@([\w-]+(?:\.[\w-]+)+)")
SERVICE_CODE = re.compile(
    r"(?<![\w*#])(?:\*#?[0-9]{2,3}(?![0-9])(?:\*[0-9*]*)?#?(?!\s[^*]*[^\s*]\*)"
    r"|\*[0-9]#?(?![\w*#])(?!\s[^*]*[^\s*]\*)|\*{2}[0-9]{2}\*[0-9*]*#|#{1,2}[0-9]{2,3}#|\*#[0-9*]+#)(?![\w*])"
)
"""Codes that are dialled to switch services on or off: `*82`, `#31#`, `*21*`, `**61*0301234567#`."""
_SNAKE = re.compile(r"(?<=\w)_(?=\w)")
_SPACES = re.compile(r"[^\S\n]+")


def without_markdown(line: str) -> str:
    """One line without Markdown's and HTML's signs; a rule or the line under a table's head comes to nothing."""
    if _RULE.fullmatch(line) or ("|" in line and _TABLE_RULE.fullmatch(line)):
        return ""
    line = _LINE_START.sub("", line)
    if line.startswith("|"):
        line = ", ".join(cell for text in line.strip("| ").split("|") if (cell := text.strip()))
    line = _LINK.sub(r"\1", line)
    line = _AUTOLINK.sub(r"\1", line)
    line = html.unescape(_without_tags(line))
    if "*" in line:
        line = _EMPHASIS.sub(lambda match: match.group() if SERVICE_CODE.fullmatch(match.group()) else match[2], line)
    for signs, instead in ((_UNDERSCORES, ""), (_STARS, ""), (_TICKS, ""), (_SNAKE, " ")):
        line = _outside_addresses(signs, instead, line)
    return line


def _without_tags(line: str) -> str:
    if "<" not in line:
        return line
    line = _TAG.sub(_parting, _POWER.sub("^", _UNSEEN.sub("", line)))
    return _PARTED.sub(lambda match: _pause(match, line), line)


def _parting(tag: re.Match[str]) -> str:
    name = tag[1].lower()
    return "\x01" if name in _ITEMS else "\x00" if name in _BLOCKS else ""


def _pause(match: re.Match[str], line: str) -> str:
    is_within = match.start() > 0 and match.end() < len(line)
    is_pause = is_within and "\x01" in match.group() and line[match.start() - 1] not in ".,;:!?。，！？"
    return ", " if is_pause else " "


def _outside_addresses(signs: re.Pattern[str], instead: str, line: str) -> str:
    if not any(sign in line for sign in ("@", "://", "www.", "*", "#")):
        return signs.sub(instead, line)
    spans = [match.span() for pattern in (URL, EMAIL, SERVICE_CODE) for match in pattern.finditer(line)]
    if not spans:
        return signs.sub(instead, line)

    def replaced(sign: re.Match[str]) -> str:
        return sign.group() if any(start <= sign.start() < end for start, end in spans) else instead

    return signs.sub(replaced, line)


def without_emoji(text: str) -> str:
    """Text without emoji, arrows and other pictures, and without the space that one leaves before a mark."""
    if text.isascii():
        return text
    without = _EMOJI.sub("", text)
    return text if without == text else re.sub(r"\s+(?=[.,;:!?。，！？])", "", without)


def with_spoken_addresses(text: str, words: Words) -> str:
    """Web addresses as their host, e-mail addresses whole, both in words: `jane dot doe at example dot com`."""
    if "://" in text or "www." in text.lower():
        text = URL.sub(lambda match: _spelled(_host(match.group()), words), text)
    if "@" in text:
        text = EMAIL.sub(lambda match: f"{_spelled(match[1], words)} {words.at} {_spelled(match[2], words)}", text)
    return text


def tidy(text: str) -> str:
    """Text with single spaces."""
    return _SPACES.sub(" ", text).strip()


def _host(url: str) -> str:
    host = re.split(r"[/?#]", url.partition("://")[2] or url)[0]
    return host.rpartition("@")[2].partition(":")[0].removeprefix("www.")


def _spelled(address: str, words: Words) -> str:
    signs = {".": words.dot, "_": words.underscore, "-": words.dash, "+": words.plus}
    return re.sub("[._+-]", lambda sign: f" {signs[sign.group()]} ", address).strip()
