"""Tells the caller's words from what recognisers write where nobody said a word. Sans-IO.

    spoken("[BLANK_AUDIO]")                  # ""
    spoken("(coughs) yes, [door slams] please")  # "yes, please"
    spoken("Thanks for watching!")           # ""

Speech has no brackets, so text in brackets is a label, in any language: `[BLANK_AUDIO]`, `(sighs)`, `<unk>`,
`*coughs*`, `【音楽】`. Text between notes is a song. Exceptions are what can only have been said: digits in
round brackets (a telephone number), a letter at their end (`Smyth (with a y)`), and what a service puts in the place of
words that it conceals (`[PHONE_NUMBER_1]`, `[REDACTED]`). A text without a letter or a digit says nothing.

Whisper was trained on subtitles and writes their credits into silence, in all its languages. Nobody says those on a
telephone, so a sentence that is one is none. It also writes "Thank you." and "Bye." there. Callers say these, and the
text does not tell which it was; they stay. And it falls into a loop: what comes five times in a row came once.
"""

from __future__ import annotations

import re

from voicepipe.text.credits import may_have_credits, without_credits

_SIGNS = re.compile(r"[\[\](){}<>*+~♩♪♫♬♭♯🎵🎶🎼【】（）［］｛｝＜＞〈〉〔〕｢]")
_FULL_WIDTH = str.maketrans("（）［］｛｝＜＞", "()[]{}<>")
_BRACKETS = (
    re.compile(r"\[([^\[\]]*)\]"),
    re.compile(r"\(([^()]*)\)"),
    re.compile(r"\{([^{}]*)\}"),
    re.compile(r"<([^<>]*)>"),
    re.compile(r"【([^【】]*)】"),
    re.compile(r"〔([^〔〕]*)〕"),
    re.compile(r"〈([^〈〉]*)〉"),
)
_STARRED = re.compile(r"(?<![^\s.,!?])\*+(?=[^\s*\d])([^*]*[^\s*])\*+(?![^\s.,!?])")
_DOUBLE_PLUS = re.compile(r"\+\+[^\s+]+\+\+")
_SONG = re.compile(r"[♩♪♫♬🎵🎶🎼][^♩♪♫♬🎵🎶🎼]*(?:[♩♪♫♬🎵🎶🎼]|$)")
_NOT_CLOSED = re.compile(r"[\[{<【〔〈][^\]}>】〕〉\d]*$|\([^)\d]*$|^\*+[^\s*\d][^*]*$")
_NOT_OPENED = re.compile(r"^(?:[^\[\]【】]{0,40}[\]】])+")

_CONCEALED = re.compile(
    r"(?:(?:redacted|removed|pii|pci|phi|name|given|family|first|last|person|phone|number|email|address|location|city|"
    r"date|birth|of|age|ssn|social|security|credit|debit|card|bank|account|routing|expiration|cvv|cvc|pin|passcode|"
    r"password|passport|driver|license|vehicle|id|username|url|ip|zip|postal|code|organization|money|amount|numerical|"
    r"cardinal|ordinal|numeric|account_number)[\s_]*)+(?:_?\d+)?",
    re.IGNORECASE,
)
_SPELT = re.compile(r"(?:^|\W)[^\W\d_]\W*$")
_ORPHANS = re.compile(r"^[\s,.;:!?…、。，،·|~/\\-]+(?=\w)|^[\s,;:…·|–—-]+(?=[¿¡\w])")
_BEFORE_SIGN = re.compile(r"\s+(?=[,.;:!?…](?:\s|$))")
_REPEATED_SIGN = re.compile(r"([,;])(?:\s*[,;])+")
_ENDS = re.compile(r"(?<=\w)[.!?](?:\s|$)")

LOOP = 5
"""The fewest repetitions that are a recogniser's loop."""
LOOPED_WORDS = 12
"""The most words that a loop repeats."""


def spoken(text: str) -> str:
    """Returns the spoken words of a transcript; empty if there are none. One without noise is returned unchanged."""
    while _SIGNS.search(text) and (rest := _without_labels(text)) != text:
        text = rest  # brackets within brackets
    if not any(map(str.isalnum, text)):
        return ""
    if may_have_credits(text):
        text = without_credits(text)
    words = text.split()
    return _once(words, text) if len(words) >= 2 * LOOP and len(set(words)) * 2 < len(words) else text


def _without_labels(text: str) -> str:
    rest = text.translate(_FULL_WIDTH)
    rest = _DOUBLE_PLUS.sub(" ", _SONG.sub(" ", rest))
    for brackets in _BRACKETS:
        rest = _cut(brackets, rest)
    rest = _NOT_CLOSED.sub(" ", _NOT_OPENED.sub(" ", _STARRED.sub(" ", rest)))
    if rest == text:
        return text
    rest = _BEFORE_SIGN.sub("", " ".join(rest.split()))
    return _REPEATED_SIGN.sub(r"\1", _ORPHANS.sub("", rest))


def _cut(brackets: re.Pattern[str], text: str) -> str:
    """The text without what stands in these brackets, from the innermost outwards."""
    while (rest := brackets.sub(_label_or_words, text)) != text:
        text = rest
    return text


def _label_or_words(brackets: re.Match[str]) -> str:
    inside = brackets[1]
    if _CONCEALED.fullmatch(inside.strip()) and (inside.upper() == inside or inside.lower() == "redacted"):
        return brackets[0]
    if brackets[0][0] == "(" and (any(map(str.isdigit, inside)) or (_SPELT.search(inside) and len(inside) > 1)):
        return brackets[0]
    return " "


def _once(words: list[str], text: str) -> str:
    """A text without the loop that it ends in; a single word, or digits, can be said that often."""
    for size in range(2, min(LOOPED_WORDS, len(words) // LOOP) + 1):
        begin = len(words) - size
        while begin > 0 and words[begin - 1] == words[begin - 1 + size]:
            begin -= 1
        piece = words[begin : begin + size]
        if len(words) - begin >= LOOP * size and (len(set(piece)) > 2 or _ENDS.search(" ".join(piece))):
            return " ".join(words[: begin + size])
    return text
