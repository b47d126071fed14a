"""Going on with a reply that another model began: nothing is said twice. Sans-IO."""

from __future__ import annotations

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
        self._said = _letters(said)
        self._held = ""

    def feed(self, text: str) -> str:
        """What of this piece is new, perhaps with what was held back."""
        if not self._said:
            return text
        self._held += text
        letters = end = 0
        for index, character in enumerate(self._held):
            if not character.isalnum():
                continue
            folded = character.casefold()
            if letters == len(self._said) or self._said[letters : letters + len(folded)] != folded:
                # All of it came again and this is new, or it is another text altogether.
                new = self._held[end:].lstrip(CLOSING) if letters == len(self._said) else self._held
                self._held = self._said = ""
                return new
            letters, end = letters + len(folded), index + 1
        return ""

    def finish(self) -> str:
        """What was held back and is no repetition, when the text ends."""
        repeated = self._said.startswith(_letters(self._held)) and self._held
        held, self._held = self._held, ""
        return "" if repeated else held


def _letters(text: str) -> str:
    return "".join(character.casefold() for character in text if character.isalnum())
