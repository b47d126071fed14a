"""Masks secrets in messages: those of adapters, vendors and libraries may quote them.

A message quotes a secret as it is, escaped (`repr`, JSON, percent-encoding, HTML), inside base64 as in HTTP's Basic
authentication, wrapped over lines, cut off, or masked by its vendor (`sk-pr***************abcd`). `Secrets.conceal`
finds each of these, and with `quoted_keys` other encodings too. It must see the unchanged text: once white space
is folded or the text is cut, a secret that has white space in it, or was cut through, is no longer found.
"""

from __future__ import annotations

import html
import json
import re
from collections import deque
from typing import TYPE_CHECKING, Any, final
from urllib.parse import quote, quote_plus

from voicepipe.components.quoted_keys import QuotedKey, in_base64

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SHORTEST = 4
"""A shorter value is not looked for, in characters: it would be found in half of all words."""

SHORTEST_KEY = 6
"""The shortest secret that may be declared, in characters. Anything shorter is part of ordinary words, so concealing
it would garble messages, and not concealing it would show it."""

SHORTEST_INSIDE = 8
"""A shorter value of a plain option is only found as a word of its own: `test` is no part of `latest`."""

_NAME = re.compile(r"(?i)(?:key|token|secret|password|passwd|credential|authorization|cookie)s?$")
_MASK = re.compile(r"\*+|[•●█]+|\.{2,}|…|[xX#_-]{4,}|\[[\w .…*-]*\]|<[\w .…*-]*>|\([\w .…*-]*\)|\{[\w .…*-]*\}")
_LEAST_BESIDE_MASK = 4
_PERCENT = re.compile(r"%[0-9A-F]{2}")


def names_a_secret(name: str) -> bool:
    """Returns True if an option, a header or a variable of that name holds a secret: `api_key`, `Authorization`."""
    return _NAME.search(name) is not None


@final
class Secrets:
    """The values of a configuration's secrets, each with how it is written: `${API_KEY}`, or `***` for a literal."""

    def __init__(self) -> None:
        self._written: dict[str, str] = {}
        self._keys: set[str] = set()
        self._looked_for: _LookedFor | None = None

    def add(self, value: str, written: str, *, key: bool = False) -> None:
        """Adds a value; if it is written in several ways, the first is shown.

        Args:
            value: the value.
            written: the text that is shown instead.
            key: whether it was declared as a secret, so that no part of it may stay either.

        """
        plain = str(value)
        if len(plain.strip()) < SHORTEST:
            return
        self._written.setdefault(plain, written)
        if key:
            self._keys.add(plain)
        self._looked_for = None

    def update(self, others: Secrets) -> None:
        """Adds all secrets of another collection."""
        self._written = others._written | self._written
        self._keys |= others._keys
        self._looked_for = None

    @property
    def keys(self) -> Secrets:
        """Only the values that were declared as secrets, not those of `${NAME}` in plain options."""
        keys = Secrets()
        keys._written = {value: written for value, written in self._written.items() if value in self._keys}
        keys._keys = set(self._keys)
        return keys

    def same_as(self, others: Secrets) -> bool:
        """Returns True if another collection has equal secrets, written alike."""
        return self is others or (self._written == others._written and self._keys == others._keys)

    def conceal(self, text: str) -> str:
        """Returns the text with each quoted secret replaced by the way it is written in the file."""
        if not self._written or not text:
            return text
        if self._looked_for is None:
            self._looked_for = _LookedFor(self._written, self._keys)
        return self._looked_for.conceal(text)

    def __len__(self) -> int:
        return len(self._written)

    def __getstate__(self) -> dict[str, Any]:
        return {"_written": self._written, "_keys": self._keys, "_looked_for": None}


@final
class RecentSecrets:
    """The secrets of the latest configurations: for texts that come before one of them serves, or after it did."""

    def __init__(self, most: int = 16) -> None:
        """Takes the number of configurations to remember; those with equal secrets count as one."""
        self._latest: deque[Secrets] = deque(maxlen=most)

    def add(self, secrets: Secrets) -> None:
        """Adds the secrets of a configuration."""
        for remembered in self._latest:
            if remembered.same_as(secrets):
                self._latest.remove(remembered)
                self._latest.append(remembered)  # it has been searched for already
                return
        if secrets:
            self._latest.append(secrets)

    def conceal(self, text: str) -> str:
        """Returns the text with each quoted secret replaced by the way it is written in the file."""
        for secrets in self._latest:
            text = secrets.conceal(text)
        return text


class _LookedFor:
    """The compiled patterns; made for the first text, since most configurations never see one."""

    def __init__(self, written: dict[str, str], keys: set[str]) -> None:
        self._whole: dict[str, str] = {}
        self._words: dict[str, str] = {}
        for value, shown in written.items():
            whole = value in keys or len(value.strip()) >= SHORTEST_INSIDE
            for form in _forms(value):
                if len(form) >= SHORTEST and form.strip():
                    (self._whole if whole else self._words).setdefault(form, shown)
        self._keys = [(key.strip(), written[key]) for key in sorted(keys, key=len, reverse=True)]
        self._quoted = [(QuotedKey(key), shown) for key, shown in self._keys]

    def conceal(self, text: str) -> str:
        whole = [form for form in self._whole if form in text]
        words = [form for form in self._words if form in text]
        if whole or words:
            # The longest first, so that of one that is part of another nothing is left.
            patterns = [
                re.escape(form) if form in self._whole else rf"(?<![^\W_]){re.escape(form)}(?![^\W_])"
                for form in sorted({*whole, *words}, key=len, reverse=True)
            ]
            shown = self._words | self._whole
            text = re.sub("|".join(patterns), lambda match: shown[match[0]], text)
        for quoted_key, written in self._quoted:
            text = _replaced(text, quoted_key.find(text), written)
        for key, written in self._keys:
            text = _replaced(text, _masked(text, key), written)
        return text


def _forms(value: str) -> Iterator[str]:
    """Yields the encodings in which a text may quote a whole value."""
    for plain in {value: None, value.strip(): None, " ".join(value.split()): None}:
        data = plain.encode(errors="surrogatepass")
        in_json = json.dumps(plain)[1:-1]
        yield data.decode("latin-1")  # UTF-8 that was read as Latin-1
        yield from (plain, repr(plain)[1:-1], ascii(plain)[1:-1], repr(data)[2:-1])
        in_text = json.dumps(plain, ensure_ascii=False)[1:-1]
        yield from (in_json, in_text, json.dumps(in_json)[1:-1])
        yield from (in_json.replace("/", "\\/"), in_text.replace("/", "\\/"))  # as PHP writes it
        yield from (html.escape(plain), html.escape(plain, quote=False))
        for encoded in (quote(data), quote(data, safe=""), quote_plus(data)):
            yield encoded
            yield _PERCENT.sub(lambda match: match[0].lower(), encoded)
        if len(plain) >= SHORTEST_KEY:
            yield data.hex()
            yield from in_base64(data)


def _masked(text: str, key: str) -> Iterator[tuple[int, int]]:
    """Yields the spans of partly masked keys: a mask with the beginning of a key before it, or its end after it."""
    if key[:2] not in text and key[-2:] not in text:
        return
    for mask in _MASK.finditer(text):
        # At least two characters on one side: most marks have neither, and are skipped fast.
        most = min(len(key) - 1, mask.start())
        around = text[mask.start() - most : mask.start()], text[mask.end() : mask.end() + len(key) - 1]
        if key[:2] not in around[0] and key[-2:] not in around[1]:
            continue
        before = next((size for size in range(most, 0, -1) if text.startswith(key[:size], mask.start() - size)), 0)
        after = next((size for size in range(len(key) - 1, 0, -1) if text.startswith(key[-size:], mask.end())), 0)
        if before + after >= _LEAST_BESIDE_MASK:
            yield mask.start() - before, mask.end() + after


def _replaced(text: str, spans: Iterable[tuple[int, int]], written: str) -> str:
    """Returns the text with these spans, which may overlap, replaced."""
    parts, end = [], 0
    for begin, stop in sorted(spans):
        if begin >= end:
            parts += [text[end:begin], written]
        end = max(end, stop)
    return "".join([*parts, text[end:]])
