"""Settings of the conversation that a language model is sent: the section `history`."""

from __future__ import annotations

from attrs import field, frozen
from attrs.validators import ge


@frozen
class HistorySettings:
    """How much of the conversation is sent to the language model: the latest part of it.

    The prompt and the whole of the present turn are always sent, and no tool's result without its call.
    """

    max_turns: int = field(default=0, validator=ge(0))
    """The most turns that are sent, each with all that followed the caller's words. 0: as many as `max_chars`
    allows."""
    max_chars: int = field(default=60_000, validator=ge(200))
    """The most characters that are sent, with tool calls and their results. The default is about an hour of talk, or
    15,000 tokens of English. A model that takes less says so, and is sent less."""
