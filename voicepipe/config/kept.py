"""Settings of what is kept of calls besides their records: recordings, and what the log shows."""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen
from attrs.validators import in_

from voicepipe.config.paths import is_path


@frozen
class RecordingSettings:
    """Whether calls are recorded. Tell your callers: in many places the law says so."""

    directory: str = field(default="", validator=is_path)
    """Where each call becomes a stereo WAV file, caller left, agent right; from where the YAML is. Empty: nowhere."""
    readable_by: Literal["owner", "group"] = "owner"
    """Who may read the files, and the directory if it is made for them: the account that runs the calls, or its group
    as well. A directory that is there already keeps its mode and its group."""


@frozen
class LoggingSettings:
    """What is logged; takes effect at once, calls that are up included."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = field(
        default="INFO", validator=in_(("DEBUG", "INFO", "WARNING", "ERROR"))
    )
    """The least severe record that is kept."""
    transcripts: Literal["full", "redacted", "off"] = "redacted"
    """What the log shows of what callers and agents say, and of tools' arguments and results: all of it; without
    numbers of four digits and more, in figures or in words, and e-mail addresses; or nothing but that they spoke. The
    conversation itself and call records are as they are."""
    dtmf: Literal["masked", "shown"] = "masked"
    """Whether the log shows which keys a caller pressed, or only how many."""
