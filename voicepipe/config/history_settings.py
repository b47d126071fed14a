"""How much of a conversation is sent to a language model: a section of the YAML, and of the settings."""

from __future__ import annotations

from attrs import field, frozen
from attrs.validators import ge


@frozen
class HistorySettings:
    """How much of the conversation the language model is sent: the latest of it.

    The prompt is always sent, the turn that is replied to always whole, and no tool's result without its call.
    """

    max_turns: int = field(default=0, validator=ge(0))
    """How many turns: what the caller said, with all that followed. 0: as many as `max_chars` leaves."""
    max_chars: int = field(default=60_000, validator=ge(200))
    """How many characters, tool calls and their results included: about an hour's talk, or 15,000 tokens of English. A
    model that takes less says so, and is sent less."""
