"""What a component can be used as."""

from __future__ import annotations

from typing import Literal, get_args

Role = Literal["stt", "llm", "tts"]
"""Speech-to-text, language model, text-to-speech."""

ROLES: tuple[Role, ...] = get_args(Role)
"""In the order in which a caller's words pass them."""
