"""Removes values of calls from logs and records: numbers and variables that `logging.mask` of a set names. Pure.

A masked value is removed from texts too, from what was said and from arguments of tools: a greeting that names the
caller would tell the name otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import evolve

if TYPE_CHECKING:
    from collections.abc import Collection

    from voicepipe import CallInfo, CallRecord

HIDDEN = "***"
"""The replacement of a removed value."""

SHORTEST = 3
"""The characters that a value must have to be removed from texts; a shorter one is part of too many others."""

_NUMBERS = ("caller", "called")
_VARIABLE = "variables."


class Mask:
    """The values of one call that must not be shown.

    Args:
        info: the call.
        names: the names of `logging.mask`: `caller`, `called`, `variables.NAME`, or `variables.*` for all.

    """

    def __init__(self, info: CallInfo, names: Collection[str]) -> None:
        self._info, self._names = info, names
        values = [value for name in _NUMBERS if name in names and (value := getattr(info, name))]
        values += [" ".join(value.removeprefix("+")) for value in values]  # as it is said
        values += [value for name, value in info.variables.items() if self._hides_variable(name)]
        longest_first = sorted({value for value in values if len(value) >= SHORTEST}, key=len, reverse=True)
        self._values = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)")
        self._hides_text = bool(longest_first)

    @property
    def info(self) -> CallInfo:
        """The call with `***` for its masked values."""
        info = self._info
        variables = {name: HIDDEN if self._hides_variable(name) else value for name, value in info.variables.items()}
        caller, called = (
            HIDDEN if name in self._names and getattr(info, name) else getattr(info, name) for name in _NUMBERS
        )
        return evolve(info, variables=variables, caller=caller, called=called)

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
        return evolve(
            record,
            info=self.info,
            detail=self.text(record.detail),
            turns=tuple(
                evolve(turn, heard=self._starred(turn.heard), said=self.text(turn.said)) for turn in record.turns
            ),
            tools=tuple(evolve(tool, result=self.text(tool.result)) for tool in record.tools),
            failures=tuple(evolve(failure, message=self.text(failure.message)) for failure in record.failures),
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

    def variables(self, variables: Mapping[str, str]) -> dict[str, str]:
        """Returns variables with `***` for the values of those that are masked, whenever they were set."""
        return {name: HIDDEN if self._hides_variable(name) else self.text(value) for name, value in variables.items()}

    def _starred(self, text: str) -> str:
        return self._values.sub(lambda match: "*" * len(match[0]), text) if self._hides_text else text

    def _hides_variable(self, name: str) -> bool:
        return f"{_VARIABLE}*" in self._names or _VARIABLE + name in self._names
