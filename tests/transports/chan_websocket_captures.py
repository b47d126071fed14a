"""The messages that a real Asterisk's chan_websocket and a server exchanged; data/asterisk/README.md says more."""

from __future__ import annotations

import json
from pathlib import Path

CAPTURES = sorted((Path(__file__).parents[1] / "data" / "asterisk" / "chan_websocket").glob("*.json"))


def messages_of(path):
    """Each message: its time in ms, `a2s` or `s2a`, `text`, `bin` or `close`, and its text, size or code."""
    return json.loads(path.read_text())["messages_[t_ms,dir,type,len_or_text]"]
