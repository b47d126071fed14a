"""Settings of the log: the section `logging`."""

from __future__ import annotations

from typing import Any, Literal

from attrs import field, frozen
from attrs.validators import in_

from voicepipe.documents import did_you_mean, shown


def _are_maskable(_instance: Any, _field: Any, names: tuple[str, ...]) -> None:
    for name in names:
        known = ("caller", "called", "variables.*", "variables.NAME")
        if name not in known[:2] and not (name.startswith("variables.") and name != "variables."):
            raise ValueError(f"there is no value {shown(name)}: {did_you_mean(name, known, 'values')}")


@frozen
class LoggingSettings:
    """What is logged; takes effect at once, calls that are up included."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = field(
        default="INFO", validator=in_(("DEBUG", "INFO", "WARNING", "ERROR"))
    )
    """The least severe record that is logged."""
    transcripts: Literal["full", "redacted", "off"] = "redacted"
    """How much of what callers and agents say, and of tools' arguments and results, the log shows. `full`: all of it.
    `redacted`: all but e-mail addresses and numbers of four or more digits, in figures or in words. `off`: only that
    somebody spoke. The conversation itself and call records are not affected."""
    dtmf: Literal["masked", "shown"] = "masked"
    """Whether the log shows which keys a caller pressed (`shown`) or only how many (`masked`)."""
    mask: tuple[str, ...] = field(default=(), validator=_are_maskable)
    """Values of calls that logs and records show as `***`, also in texts: `caller`, `called`, `variables.NAME`, or
    `variables.*` for all variables."""
