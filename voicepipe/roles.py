"""What a component can be used as."""

from __future__ import annotations

from typing import Literal

Role = Literal["stt", "llm", "tts"]
"""Speech-to-text, language model, text-to-speech."""
