"""Continuing a reply that another model began, so that nothing is said twice. Sans-IO."""

from __future__ import annotations

import regex

from voicepipe.text.words import letters_of

_CHARACTER = regex.compile(r"\X")
"""A grapheme cluster: a letter with its combining marks."""

CLOSING = " \t\n.,;:!?…\"')]}”’»。！？、，"  # noqa: RUF001 - full-width marks close sentences too
"""Characters that may follow the last letter of what was said, and still belong to it."""


class Continuation:
    """Passes on the text of a second model, without a beginning that repeats the words that were heard.

    A model is told what the caller has heard and asked to go on after it, but many begin again. Their text is held back
    as long as it repeats what was said, letter by letter; spaces, case and punctuation are not compared. If it then
    differs, it was no repetition, and all that was held back is passed on.

    Args:
        said: the part of the reply that was heard; empty: all text is passed on.

    """

    def __init__(self, said: str) -> None:
        self._said = "".join(map(_letters, _CHARACTER.findall(said)))
        self._held = ""
        self._compared = 0  # characters of `_held` that were compared
        self._end = 0  # where the last letter in `_held` that repeats ends
        self._letters = 0  # letters of `_said` that were repeated

    def feed(self, text: str) -> str:
        """Takes the next piece of text; returns the new text, which may include text that was held back."""
        if not self._said:
            return text
        self._held += text
        return self._compare(_CHARACTER.findall(self._held, self._compared)[:-1])  # the last may get a combining mark

    def finish(self) -> str:
        """Ends the text; returns the text that was held back and is no repetition."""
        if not self._said:
            return ""
        new = self._compare(_CHARACTER.findall(self._held, self._compared))
        self._held = ""
        return new

    def _compare(self, characters: list[str]) -> str:
        for character in characters:
            self._compared += len(character)
            if not (folded := _letters(character)):
                continue
            repeated = self._letters == len(self._said)
            if repeated or self._said[self._letters : self._letters + len(folded)] != folded:
                # Either all of it came again and this is new, or this is another text altogether.
                new = self._held[self._end :].lstrip(CLOSING) if repeated else self._held
                self._held = self._said = ""
                return new
            self._letters += len(folded)
            self._end = self._compared
        return ""


def _letters(character: str) -> str:
    if character.isascii():
        return character.lower() if character.isalnum() else ""
    return letters_of(character)
