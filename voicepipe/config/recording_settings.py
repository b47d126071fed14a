"""Settings of recordings: the section `recording`."""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen

from voicepipe.config.paths import is_path


@frozen
class RecordingSettings:
    """Whether calls are recorded. Tell your callers: in many places the law requires it."""

    directory: str = field(default="", validator=is_path)
    """The directory of recordings, relative to the YAML file's directory: a stereo WAV file for each call, the caller
    left and the agent right. Empty: calls are not recorded."""
    readable_by: Literal["owner", "group"] = "owner"
    """Who may read the recordings, and a directory that is made for them: the account that runs the calls (`owner`), or
    its group as well (`group`). A directory that exists already keeps its mode and its group."""
