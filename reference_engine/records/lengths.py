"""How lengths of time are written, by pages and commands alike."""

from __future__ import annotations


def length(seconds: float) -> str:
    """Returns a length of time, or a moment of a call: `0:07`, `12:34`, `1:02:03`.

    A second that is not over is not counted, as players do it.
    """
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
