"""Finds the recording of a call, and nothing else: only the file that its record names, where recordings may be.

A record is data. It may have been written by a program with write access to the database, or be from another machine,
so its path alone opens no file. The file must lie in a directory that a pipeline that serves records to, after all
links were followed; and it must be a plain file whose name ends with `.wav`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reference_engine.sets.sets import Sets


@frozen
class FoundRecording:
    """What has become of a recording."""

    state: Literal["none", "there", "gone", "elsewhere"]
    """`none`: it was never made; `gone`: it was deleted; `elsewhere`: no pipeline records to its directory now."""
    path: Path | None = None
    """The file, if it is there."""


def recording_directories(sets: Sets) -> tuple[Path, ...]:
    """Returns the directories that pipelines record to, of all sets that serve or are leaving."""
    found = {
        pipeline.settings.recording.directory
        for pipelines in (*sets.serving.values(), *sets.leaving)
        if pipelines.current is not None
        for pipeline in pipelines.current.pipelines.values()
    }
    return tuple(Path(directory) for directory in sorted(filter(None, found)))


def find_recording(recorded: str, directories: Iterable[Path]) -> FoundRecording:
    """Returns the file of a recording; it looks at the disk.

    Args:
        recorded: the path in the call's record.
        directories: where recordings may be.

    """
    if not recorded:
        return FoundRecording("none")
    try:
        path = Path(recorded).resolve(strict=True)
        roots = [directory.resolve() for directory in directories]
        if path.suffix != ".wav" or not any(path.is_relative_to(root) for root in roots):
            return FoundRecording("elsewhere")
        return FoundRecording("there", path) if path.is_file() else FoundRecording("elsewhere")
    except FileNotFoundError:
        return FoundRecording("gone")
    except (OSError, ValueError, RuntimeError):  # a name that no file can have, links in a circle, no permission
        return FoundRecording("elsewhere")
