"""The project's name on package indexes, where its import name belongs to another project."""

from __future__ import annotations

from typing import Final

DISTRIBUTION: Final = "voicepipe-telephony"
"""The distribution's name, for `importlib.metadata` and for hints."""


def install_hint(*extras: str) -> str:
    """Returns the command that installs optional libraries: `pip install 'voicepipe-telephony[vosk]'`."""
    return f"pip install '{DISTRIBUTION}[{','.join(extras)}]'"
