r"""Finds places where a text quotes a key, or too long a part of one, escaped, wrapped or encoded in any way.

No list of the ways can be complete: `\u002f`, `%2F`, `%252F`, `&#47;`, letter by letter, folded at a `<br>`, in
capitals. So the text and the key are brought into one bare form: each escape becomes its character, and only letters
and digits stay, in one case. Parts of the key are searched there, and the place that they came from is replaced. Base64
and hex hide the letters from that, so the key's base64 and hex are searched as well.
"""

from __future__ import annotations

import html
import json
import re
from base64 import b64encode, urlsafe_b64encode
from bisect import bisect_right
from functools import lru_cache
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from collections.abc import Iterator

SHORTEST_PART = 6
"""The shortest part of a key that is concealed, in letters and digits: ordinary words have shorter ones too."""

MOST_OF_FRAGMENT = 12
"""The length from which a part of a key is concealed, in letters and digits; of a short key, half of it."""

_PLAIN = re.compile(r"(?P<plain>[a-zA-Z0-9]+|[^\W_])")
_ESCAPE = re.compile(
    r"""
      \\+u(?P<point>[0-9a-fA-F]{4}) | \\+U(?P<long_point>[0-9a-fA-F]{8})
    | \\+x(?P<byte>[0-9a-fA-F]{2}) | %(?:25)*(?P<percent>[0-9a-fA-F]{2})
    | (?P<entity>&(?:amp;)?\#?[0-9a-zA-Z]{1,8};)
    | \\+[nrtbf] | \x1b\[[0-9;]*[A-Za-z] | <w?br\s*/?>
    """,
    re.VERBOSE,
)
_ESCAPED = re.compile(f"(?x:{_ESCAPE.pattern})|{_PLAIN.pattern}")
_MAY_ESCAPE = re.compile(r"\\|%[0-9a-fA-F]{2}|&#?[0-9a-zA-Z]{1,8};|<w?br|\x1b\[")
_LETTERS = re.compile("[a-zA-Z0-9\ue000-\ue0ff]+")
_FIRST_BEYOND_ASCII = 0x80
_BYTE = 0xE000  # of a character beyond ASCII in UTF-8; as a character for private use it is like no other


@final
class _Bare:
    """A text in its bare form, and the place of each of its letters in the text."""

    def __init__(self, text: str, token: re.Pattern[str]) -> None:
        self._text, self._token = text, token
        self._spans: list[tuple[int, int]] = []
        self._begins: list[int] = []
        if not text.isascii():
            self.letters = self._resolve()
        else:  # nearly always; where its letters stand is asked of few texts, and takes ten times as long
            resolved = text if token is _PLAIN else _ESCAPE.sub(_resolved, text)
            self.letters = "".join(_LETTERS.findall(resolved)).lower()

    def _resolve(self) -> str:
        resolved: list[str] = []
        length = 0
        for token in self._token.finditer(self._text):
            if letters := _resolved(token):
                resolved.append(letters)
                self._spans.append(token.span())
                self._begins.append(length)
                length += len(letters)
        return "".join(resolved)

    def span(self, at: int) -> tuple[int, int]:
        """Returns the span of a letter in the text; of an escaped letter, that of the escape."""
        if not self._spans:
            self._resolve()
        number = bisect_right(self._begins, at) - 1
        begin, end = self._spans[number]
        within = at - self._begins[number]
        stops = self._begins[number + 1] if number + 1 < len(self._begins) else len(self.letters)
        return (begin + within, begin + within + 1) if stops - self._begins[number] == end - begin else (begin, end)


_bare = lru_cache(maxsize=4)(_Bare)


def _resolved(token: re.Match[str]) -> str:
    kind = token.lastgroup
    if kind is None:
        return ""
    if kind in {"byte", "percent"} and (byte := int(token[kind], 16)) >= _FIRST_BEYOND_ASCII:
        return chr(_BYTE + byte)
    if kind == "plain":
        text = token[0]
    elif kind == "entity":
        text = html.unescape(token[0].replace("&amp;", "&"))
    else:
        text = chr(min(int(token[kind], 16), 0x10FFFF))
    letters = "".join(filter(str.isalnum, text.casefold()))
    if letters.isascii():
        return letters
    return "".join(chr(byte if byte < _FIRST_BEYOND_ASCII else _BYTE + byte) for byte in letters.encode())


@final
class QuotedKey:
    """A key, prepared for the search in texts."""

    def __init__(self, key: str) -> None:
        """Takes a key without white space around it."""
        data, in_json = key.encode(errors="surrogatepass"), json.dumps(key)[1:-1].encode()
        forms = dict.fromkeys((key, data.hex(), *in_base64(data), *in_base64(in_json)))
        self._plain = list({_bare(form, _PLAIN).letters: _Form(form, _PLAIN) for form in forms}.values())
        # What looks like an escape in the key itself is one or not, depending on how the text was made.
        self._escaped = [*self._plain, *(_Form(form, _ESCAPED) for form in forms if _MAY_ESCAPE.search(form))]

    def find(self, text: str) -> Iterator[tuple[int, int]]:
        """Yields the spans of parts of the key that are too long to show; spans may overlap."""
        for form in self._plain:
            yield from form.find(text, _PLAIN)
        # An escape may be none: `%` before a key that begins with 4f. So this comes besides.
        if _MAY_ESCAPE.search(text):
            for form in self._escaped:
                yield from form.find(text, _ESCAPED)


@final
class _Form:
    """One encoding of a key."""

    def __init__(self, written: str, token: re.Pattern[str]) -> None:
        self._written = written
        self._bare = _bare(written, token)
        self._letters = self._bare.letters
        length = len(self._letters)
        short = len(written) < 2 * SHORTEST_PART
        self._part = length if short else max(SHORTEST_PART, min(MOST_OF_FRAGMENT, length // 2))
        # Each part that is too long holds one of these whole.
        size = max((self._part + 1) // 2, 1)
        starts = range(0, length - size + 1, size) if length >= SHORTEST_PART else ()
        self._blocks = [(start, self._letters[start : start + size]) for start in starts]

    def find(self, text: str, token: re.Pattern[str]) -> Iterator[tuple[int, int]]:
        """Yields the spans of long parts of the key, with the key's punctuation around them."""
        bare = _bare(text, token)
        letters = bare.letters
        for start, block in self._blocks:
            at = letters.find(block)
            while at >= 0:
                before = letters[max(0, at - start) : at]
                begin = at - _common(reversed(before), reversed(self._letters[:start]))
                end = at + _common(letters[at : at + len(self._letters)], self._letters[start:])
                if end - begin >= self._part:
                    span = bare.span(begin)[0], bare.span(end - 1)[1]
                    yield self._with_marks(text, span, start - (at - begin), start + (end - at) - 1)
                at = letters.find(block, max(end, at + 1))

    def _with_marks(self, text: str, span: tuple[int, int], first: int, last: int) -> tuple[int, int]:
        """Returns a span with the key's punctuation around it."""
        before, after = self._written[: self._bare.span(first)[0]], self._written[self._bare.span(last)[1] :]
        begin, end = span
        begin -= _common(reversed(text[max(0, begin - len(before)) : begin]), reversed(before))
        return begin, end + _common(text[end : end + len(after)], after)


def _common(first: Iterator[str] | str, second: Iterator[str] | str) -> int:
    """Returns the length of the common prefix."""
    count = 0
    for left, right in zip(first, second, strict=False):
        if left != right:
            break
        count += 1
    return count


def in_base64(data: bytes) -> Iterator[str]:
    """Yields the base64 text that data has inside a longer encoding, such as of `user:password`, at each alignment."""
    for before in range(3):
        after = -(before + len(data)) % 3
        begin, end = -(-before * 8 // 6), (before + len(data)) * 8 // 6
        for encode in (b64encode, urlsafe_b64encode):
            yield encode(bytes(before) + data + bytes(after)).decode()[begin:end]
