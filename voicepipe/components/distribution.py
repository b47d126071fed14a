"""What the project is called where packages are installed from: its import name belongs to somebody else there."""

from __future__ import annotations

from typing import Final

DISTRIBUTION: Final = "voicepipe-telephony"
"""The distribution's name, for `importlib.metadata` and for hints."""


def install_hint(*extras: str) -> str:
    """The command that brings optional libraries, for hints: `pip install 'voicepipe-telephony[vosk]'`."""
    return f"pip install '{DISTRIBUTION}[{','.join(extras)}]'"
