"""Parts of messages: suggested spellings, lists of known names, paths, and values quoted safely for a terminal."""

from __future__ import annotations

import re
from difflib import get_close_matches
from functools import lru_cache
from struct import iter_unpack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_MOST = 12
_DEEPEST = 12
_MANY = 100
_PLAIN_KEY = re.compile(r"[\w+*-]+")
_ACTING = re.compile("[\0-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def shown(text: str, most: int = 40) -> str:
    """Returns text in quotes, shortened, with unprintable characters escaped."""
    cut = text if len(text) <= most else text[: most - 1] + "…"
    return '"' + "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut) + '"'


def printable(text: str) -> str:
    """Text for a line of its own, with what acts on a terminal, ends the line or is no character escaped; tabs stay.

    Letters and spaces of all scripts stay as they are, for names and prompts are full of them.
    """
    return _ACTING.sub(lambda match: escaped(match[0]), text)


def escaped(text: str) -> str:
    r"""Returns each character as a JSON escape: `\u001b`, and two of those beyond the first 65,536."""
    units = iter_unpack(">H", text.encode("utf-16-be", "surrogatepass"))
    return "".join(f"\\u{unit:04x}" for (unit,) in units)


@lru_cache(maxsize=256)
def likely(word: str, known: tuple[str, ...]) -> str | None:
    """Returns the known word that is closest to a misspelt one; None if none is close."""
    word = _plain(word[:80])
    plain = _plain_forms(known)
    near: Iterable[str] = plain
    if len(plain) > _MANY:  # comparing with each would take seconds where many are misspelt
        near = [name for name in plain if name[:1] == word[:1] and abs(len(name) - len(word)) <= 1][:_MANY]
    closest = get_close_matches(word, near, n=1, cutoff=0.6)
    return plain[closest[0]] if closest else None


@lru_cache(maxsize=16)
def _plain_forms(known: tuple[str, ...]) -> dict[str, str]:
    return {_plain(name): name for name in reversed(known)}


def _plain(word: str) -> str:
    return word.lower().replace("-", "_")


def among(known: Iterable[str]) -> str:
    """Returns the known words separated by commas, at most twelve of them."""
    words = list(known)
    more = f", and {len(words) - _MOST} more" if len(words) > _MOST else ""
    return ", ".join(words[:_MOST]) + more


def did_you_mean(word: str, known: Iterable[str], noun: str, guess: str | None = None) -> str:
    """Returns a hint with the likely word and all known ones: `did you mean "model"? options: model, rate`."""
    words = tuple(known)
    guess = guess or likely(word, words)
    question = f"did you mean {shown(guess)}? " if guess else ""
    return f"{question}{noun}: {among(words) or 'none'}"


def path_of(keys: Iterable[str | int]) -> str:
    """Returns a path in a document as text: `pipelines.sales.tools[0]`."""
    *way, last = ("", *keys)
    parts = [_step(key) for key in way[1 : _DEEPEST + 1]]
    if len(way) > _DEEPEST + 1:
        parts.append("...")
    return "".join((*parts, _step(last))).removeprefix(".")


def _step(key: str | int) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    return f".{key}" if not key or _PLAIN_KEY.fullmatch(key) else f".{shown(key)}"
