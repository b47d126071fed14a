"""The arguments of `open_pipeline_set` that apply to every change of the set."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from attrs import frozen

from voicepipe.components.registry import Registry
from voicepipe.pipelines.kept_versions import VersionHistory
from voicepipe.pipelines.read_in_helper import Environ
from voicepipe.tools.functions import FunctionTool

Sources: TypeAlias = Mapping[Path, bytes]
"""Contents of files by absolute path, as in `SetConfig.sources`."""

LastKnownGood: TypeAlias = Sources | Callable[[], Awaitable[Sources | None]] | None
"""Sources of a version that was served once, or a function that returns them when they are needed; None: none."""


@frozen
class SetOptions:
    """The arguments of `open_pipeline_set` that apply to every change of the set."""

    path: Path
    """The YAML file."""
    name: str
    """The set's name in logs and metrics."""
    registry: Registry
    """The adapters that the file may name."""
    environ: Environ
    """The variables for `${NAME}`, or a function that returns them."""
    tool_names: tuple[str, ...]
    """Names that `tools:` may have besides the built-in ones."""
    functions: Mapping[str, FunctionTool]
    """Those of the tools that run, by name."""
    open_s: float
    """The time limit of opening the components of a version, in s."""
    max_live_versions: int
    """The most versions with open components."""
    last_known_good: LastKnownGood
    """The sources that a first version serves if the files can't be served."""
    history: VersionHistory | None = None
    """Keeps the versions beyond the process."""
    contents: Callable[[], Sources | None] | None = None
    """Returns files that take the place of those on the disk, for each reading; None: nothing does."""
