"""Settings of recordings: the section `recording`."""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen

from voicepipe.config.paths import is_path


@frozen
class RecordingSettings:
    """Whether calls are recorded. Tell your callers: in many places the law says so."""

    directory: str = field(default="", validator=is_path)
    """Where each call becomes a stereo WAV file, caller left, agent right; from where the YAML is. Empty: nowhere."""
    readable_by: Literal["owner", "group"] = "owner"
    """Who may read the files, and the directory if it is made for them: the account that runs the calls, or its group
    as well. A directory that is there already keeps its mode and its group."""
