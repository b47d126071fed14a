"""Keeping secrets out of what people read: messages of adapters and vendors may quote them."""

from __future__ import annotations

import json
import re
from typing import final
from urllib.parse import quote

SHORTEST = 4
"""A shorter value is not looked for, in characters: it would be found in half of all words."""


@final
class Secrets:
    """The values of a configuration's secrets, each with how it is written: `${API_KEY}`, or `***` for a literal."""

    def __init__(self) -> None:
        self._written: dict[str, str] = {}

    def add(self, value: str, written: str) -> None:
        """Takes in a value; of several ways to write the same one, the first is shown."""
        plain = str(value)
        for form in (plain, repr(plain)[1:-1], json.dumps(plain)[1:-1], quote(plain), quote(plain, safe="")):
            if len(form) >= SHORTEST and form.strip():
                self._written.setdefault(form, written)

    def conceal(self, text: str) -> str:
        """The text with what it quotes of these as they are written."""
        quoted = [form for form in self._written if form in text]
        if not quoted:
            return text
        # The longest first, so that of one that is part of another nothing is left.
        longest_first = sorted(quoted, key=len, reverse=True)
        return re.sub("|".join(map(re.escape, longest_first)), lambda found: self._written[found[0]], text)

    def referred(self) -> Secrets:
        """Those that come from elsewhere, by `${...}`: a literal may be any word, such as a header's `main`."""
        found = Secrets()
        found._written = {form: written for form, written in self._written.items() if "${" in written}
        return found

    def __len__(self) -> int:
        return len(self._written)
