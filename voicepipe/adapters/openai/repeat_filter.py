"""A reply's text without what repeats all of it: pure.

Some servers end a stream with the whole text once more, in a last delta or as a `message` (Perplexity, proxies that
make a stream of an answer that is none), and some give in each delta all the text so far.
"""

from __future__ import annotations

LONG = 8
"""From so many characters on a delta that begins with all the text so far repeats it: no language does that."""


class RepeatFilter:
    """Passes text on as it comes, and what repeats all of it only as far as it is new."""

    def __init__(self) -> None:
        self._whole = ""
        self._held = ""  # the same as all before: the last of a stream, or a chorus

    def feed(self, text: str) -> str:
        """The new text in a delta."""
        held, self._held = self._held, ""
        rest = self._rest(text)
        if rest is None:
            self._whole += held + text
            return held + text
        if not rest:
            self._held = held + text
            return ""
        self._whole += rest
        return rest

    def feed_whole(self, text: str) -> str:
        """The new text in a whole reply; empty if it does not begin with the text so far."""
        self._held = ""
        whole = self._whole.strip()
        if whole and not text.strip().startswith(whole):
            return ""
        rest = self._without(text, whole)
        self._whole += rest
        return rest

    def _rest(self, text: str) -> str | None:
        """The new text in a delta that repeats all the text so far; None: it does not repeat it."""
        whole = self._whole.strip()
        if not whole or not text.lstrip().startswith(whole):
            return None
        rest = self._without(text, whole)
        is_long = len(whole) >= LONG or len(whole.split()) > 1
        # `We` and then `We open`: put together they would be no words.
        glued = len(whole) > 1 and whole.isalpha() and bool(rest) and not rest[0].isalnum()
        return rest if is_long or glued else None

    def _without(self, text: str, whole: str) -> str:
        rest = text.lstrip()[len(whole) :] if whole else text
        return rest.lstrip() if self._whole[-1:].isspace() or not rest.strip() else rest
