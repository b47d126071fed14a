"""Going on with a reply that another model began: nothing is said twice. Sans-IO."""

from __future__ import annotations

import regex

from voicepipe.text.words import letters_of

_CHARACTER = regex.compile(r"\X")
"""What a reader takes for one: a letter with its marks."""

CLOSING = " \t\n.,;:!?…\"')]}”’»。！？、，"  # noqa: RUF001 - full-width marks close sentences too
"""What may follow the last letter of what was said and belongs to it still."""


class Continuation:
    """Passes a second model's text on, without the beginning that repeats what was said already.

    A model is told what the caller has heard and asked to go on after it, but many begin again. As long as its
    text is the same, letter by letter and whatever the spaces, case and marks, it is held back.

    Args:
        said: what was said of the reply.

    """

    def __init__(self, said: str) -> None:
        self._said = "".join(map(_letters, _CHARACTER.findall(said)))
        self._held = ""
        self._compared = self._end = 0  # up to where in it, and up to which letter
        self._letters = 0  # that it has repeated

    def feed(self, text: str) -> str:
        """What of this piece is new, perhaps with what was held back."""
        if not self._said:
            return text
        self._held += text
        return self._compare(_CHARACTER.findall(self._held, self._compared)[:-1])  # a mark may yet come to the last

    def finish(self) -> str:
        """What was held back and is no repetition, when the text ends."""
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
                # All of it came again and this is new, or it is another text altogether.
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
