"""The settings of a pipeline of a version with where each comes from, as the page Configuration lists them."""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from voicepipe import PipelineSet

KEPT = 32
"""The pipelines whose settings are kept: a version never changes, and reading it again takes a second."""

MAX_VALUE = 400
"""The most characters of a value that are shown."""


@frozen
class SettingRow:
    """A setting."""

    path: str
    """Its path in its component, or in its pipeline."""
    value: str
    """Its value, in a line."""
    place: str
    """`file:line`; empty for a default."""
    source: str
    """The path of the value in the file; empty for a default."""


@frozen
class SettingGroup:
    """The options of a component, or all other settings of a pipeline."""

    title: str
    """The component's role and name, or `settings`."""
    place: str
    """`file:line` of the component; empty for the other settings."""
    rows: tuple[SettingRow, ...]
    """The settings."""


class ExplainedSettings:
    """The settings of pipelines, kept for the pages that show them.

    Args:
        conceal: removes secrets from a text.

    """

    def __init__(self, conceal: Callable[[str], str]) -> None:
        self._conceal = conceal
        self._kept: OrderedDict[tuple[str, int, str, str], tuple[SettingGroup, ...]] = OrderedDict()

    async def groups_of(self, pipelines: PipelineSet, version: int, pipeline: str) -> tuple[SettingGroup, ...]:
        """Returns the settings of a pipeline of a version.

        Raises:
            UnknownVersion: there is no such version any more.
            ConfigError: its sources can't be read any more.

        """
        digest = next((record.digest for record in pipelines.history if record.version == version), "")
        key = pipelines.name, version, digest, pipeline
        if key not in self._kept:
            explained = await pipelines.explain(version, pipeline)
            self._kept[key] = tuple(self._groups(explained))
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return self._kept[key]

    def _groups(self, explained: Mapping[str, Any]) -> Iterator[SettingGroup]:
        for component in explained["components"]:
            adapter = "" if component["name"] == component["adapter"] else f" ({component['adapter']})"
            title = f"{component['role']} {component['name']}{adapter}"
            yield SettingGroup(title, _place(component), tuple(map(self._row, component["options"])))
        yield SettingGroup("settings", "", tuple(map(self._row, explained["settings"])))

    def _row(self, setting: Mapping[str, Any]) -> SettingRow:
        value = setting["value"]
        text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
        if len(text) > MAX_VALUE:
            text = f"{text[:MAX_VALUE]}…"
        return SettingRow(setting["path"], self._conceal(text), _place(setting), setting.get("source", ""))


def _place(data: Mapping[str, Any]) -> str:
    return f"{data['file']}:{data['line']}" if "file" in data else ""
