"""The values of one call by the names that texts have for them: `caller`, `variables.customer`, `date`.

The values come from the caller's side. They are data: bounded by `CallInfo`, cut to `MOST_CHARS` in prompts and speech,
and put into a text once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from voicepipe.components.bounded_texts import MOST_CHARS
from voicepipe.components.templates import NAMES, VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from voicepipe.components.requests import CallInfo

_NUMBER = re.compile(r"\+?[0-9]{5,}")
_SEPARATORS = str.maketrans("", "", " -.()/")


class CallValues(Mapping[str, str]):
    """The values that are known of a call: a mapping that composes each when it is looked up.

    Args:
        info: the call.
        local: returns the present moment on the wall clock of the call's time zone.
        spoken: whether the values are to be said. Dates and times are then written as people say them, and numbers
            digit by digit where no language is known whose rules say how.
        language: BCP 47 tag of the language that is spoken; None: not known.
        most: the most characters of a variable's value.

    """

    def __init__(
        self,
        info: CallInfo,
        local: Callable[[], datetime],
        *,
        spoken: bool = False,
        language: str | None = None,
        most: int = MOST_CHARS,
    ) -> None:
        self._info, self._local, self._spoken, self._language, self._most = info, local, spoken, language, most

    def __getitem__(self, name: str) -> str:
        """Returns the value; raises KeyError for a name that there is not, and for a value that is not known."""
        value = self._value(name)
        if not value:
            raise KeyError(name)
        return value

    def __iter__(self) -> Iterator[str]:
        """Yields the names of the values that are known."""
        names = (*NAMES, *(f"{VARIABLE}{name}" for name in self._info.variables))
        return (name for name in names if self._value(name))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"<values of call {self._info.call_id}>"

    def _value(self, name: str) -> str:
        if name.startswith(VARIABLE):
            return self._info.variables.get(name.removeprefix(VARIABLE), "")[: self._most].strip()
        if name in {"date", "time"}:
            return self._now(name)
        if name not in NAMES:
            return ""
        value: str = getattr(self._info, name)
        return self._digits(value) if self._spoken and name in {"caller", "called"} else value

    def _digits(self, number: str) -> str:
        """Returns a number as it is said; with a language, `Wording` says it, which knows more of numbers."""
        plain = number.translate(_SEPARATORS)
        if self._language is not None or not _NUMBER.fullmatch(plain):
            return number
        return " ".join(plain.removeprefix("+"))

    def _now(self, name: str) -> str:
        now = self._local()
        if not self._spoken:
            return f"{now:%A, %Y-%m-%d}" if name == "date" else f"{now:%H:%M}"
        from babel.dates import format_date, format_time  # noqa: PLC0415 - 25 ms, for those who speak

        from voicepipe.text.spoken.figures import locale_of  # noqa: PLC0415 - as above

        locale = locale_of(self._language or "en")
        if name == "date":
            return str(format_date(now.date(), "full", locale))
        return str(format_time(now.time(), "short", locale=locale)).replace("\u202f", " ")
