"""Removes values of calls from logs and records: numbers and variables that `logging.mask` of a set names. Pure.

A masked value is removed from texts too, from what was said and from arguments of tools: a greeting that names the
caller would tell the name otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import evolve

from voicepipe import CallBegan, CallSteered

if TYPE_CHECKING:
    from collections.abc import Collection

    from voicepipe import CallEvent, CallInfo, CallRecord

HIDDEN = "***"
"""The replacement of a removed value."""

SHORTEST = 3
"""The characters that a value must have to be removed from texts; a shorter one is part of too many others."""

_NUMBERS = ("caller", "called")
_VARIABLE = "variables."
_TEXT_COLUMNS = {"detail", "said", "result", "message", "text", "target", "failure", "metadata"}


class KnownValues:
    """The numbers of one call, and all values that its variables have had; an observer of the call.

    Args:
        info: what is known of the call already; None: nothing.

    """

    def __init__(self, info: CallInfo | None = None) -> None:
        self.numbers: dict[str, str] = {}
        """`caller` and `called`."""
        self.variables: list[tuple[str, str]] = []
        """Names and values of variables, also of those that the program changed."""
        if info is not None:
            self._add(info)

    def observe(self, event: CallEvent) -> None:
        """Notes the values that an event has."""
        if isinstance(event, CallBegan):
            self._add(event.info)
        elif isinstance(event, CallSteered):
            self.variables.extend(event.variables.items())

    def _add(self, info: CallInfo) -> None:
        self.numbers = {name: getattr(info, name) for name in _NUMBERS}
        self.variables.extend(info.variables.items())


class Mask:
    """The values of one call that must not be shown.

    Args:
        known: what is known of the call.
        names: the names of `logging.mask`: `caller`, `called`, `variables.NAME`, or `variables.*` for all.

    """

    def __init__(self, known: KnownValues, names: Collection[str]) -> None:
        self._names = names
        values = [value for name, value in known.numbers.items() if value and name in names]
        values += [" ".join(value.removeprefix("+")) for value in values]  # as it is said
        values += [value for name, value in known.variables if self._hides_variable(name)]
        longest_first = sorted({value for value in values if len(value) >= SHORTEST}, key=len, reverse=True)
        self._values = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)")
        self._hides_text = bool(longest_first)

    def number(self, name: str, value: str) -> str:
        """Returns the caller's or the called number, or `***`."""
        return HIDDEN if value and name in self._names else value

    def variables(self, variables: Mapping[str, str]) -> dict[str, str]:
        """Returns variables with `***` for masked ones."""
        return {name: HIDDEN if self._hides_variable(name) else self.text(value) for name, value in variables.items()}

    def text(self, data: Any) -> Any:
        """Returns data with `***` for masked values in its texts; lists and mappings are searched too."""
        if not self._hides_text:
            return data
        if isinstance(data, str):
            return self._values.sub(HIDDEN, data)
        if isinstance(data, Mapping):
            return {key: self.text(item) for key, item in data.items()}
        if isinstance(data, list | tuple):
            return [self.text(item) for item in data]
        return data

    def record(self, record: CallRecord) -> CallRecord:
        """Returns a call's record without masked values; spans of keys in `heard` stay right."""
        if not self._names:
            return record
        info = record.info
        numbers = {name: self.number(name, getattr(info, name)) for name in _NUMBERS}
        return evolve(
            record,
            info=evolve(
                info, variables=self.variables(info.variables), caller=numbers["caller"], called=numbers["called"]
            ),
            detail=self.text(record.detail),
            turns=tuple(
                evolve(turn, heard=self._starred(turn.heard), said=self.text(turn.said)) for turn in record.turns
            ),
            tools=tuple(evolve(tool, result=self.text(tool.result)) for tool in record.tools),
            failures=tuple(
                evolve(
                    failure,
                    message=self.text(failure.message),
                    answered=self.text(failure.answered),
                    hint=self.text(failure.hint),
                )
                for failure in record.failures
            ),
            steered=tuple(
                evolve(steered, text=self.text(steered.text), variables=self.variables(steered.variables))
                for steered in record.steered
            ),
            transfers=tuple(
                evolve(transfer, target=self.text(transfer.target), failure=self.text(transfer.failure))
                for transfer in record.transfers
            ),
            metadata=self.text(record.metadata),
        )

    def row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Returns a row of the database of records without masked values; spans of keys in `heard` stay right."""
        masked = dict(row)
        for name in _NUMBERS:
            if name in row:
                masked[name] = self.number(name, row[name])
        for name in _TEXT_COLUMNS & row.keys():
            masked[name] = self.text(row[name])
        if "variables" in row:
            masked["variables"] = self.variables(row["variables"])
        if "heard" in row:
            masked["heard"] = self._starred(row["heard"])
        return masked

    def _starred(self, text: str) -> str:
        return self._values.sub(lambda match: "*" * len(match[0]), text) if self._hides_text else text

    def _hides_variable(self, name: str) -> bool:
        return f"{_VARIABLE}*" in self._names or _VARIABLE + name in self._names
