"""History: the part of a conversation that a language model is sent, which is its latest turns. Sans-IO.

A conversation is cut between turns, and nowhere else. A tool's result stays with its call, since no API takes one
without the other. The turn that is being replied to stays whole, however long it is: the words, the keys, and the words
after them.
"""

from __future__ import annotations

import json
from itertools import accumulate
from typing import TYPE_CHECKING

from attrs import evolve

from voicepipe.components.requests import Dtmf, Told, ToolResults, Utterance

if TYPE_CHECKING:
    from collections.abc import Sequence

    from voicepipe.components.requests import Message, ReplyRequest, Trigger

INPUTS = frozenset({"caller", "operator"})
"""The roles of messages that are replied to: the caller's, and facts that the program tells."""

MOST_SHORTENINGS = 3
"""The most times that one request is shortened: to half of the conversation, to a quarter, to the last turn."""


def latest(
    messages: Sequence[Message], trigger: Trigger, *, max_chars: float, max_turns: int = 0
) -> tuple[Message, ...]:
    """Returns the latest whole turns of a conversation that keep within limits; at least the last one.

    Args:
        messages: the conversation.
        trigger: the event that is replied to; all messages that belong to it are kept.
        max_chars: the most characters, as `chars_of` counts them.
        max_turns: the most turns; 0: any number.

    """
    cuts = _cuts(messages, trigger)
    if not cuts:
        return tuple(messages)
    after = [*accumulate(map(chars_of, reversed(messages)))][::-1]  # from each message to the end
    starts = [index for index in range(len(messages)) if _begins_turn(messages, index)]
    fits = (
        cut
        for cut in cuts
        if after[cut] <= max_chars and (not max_turns or sum(start >= cut for start in starts) <= max_turns)
    )
    return tuple(messages[next(fits, cuts[-1]) :])


def shorter(request: ReplyRequest, shortenings: int) -> ReplyRequest | None:
    """Returns a request with about half of its conversation, and in the end with the last turn alone.

    Args:
        request: the request, which was too long.
        shortenings: how often it was shortened before.

    Returns:
        The shorter request; None: it can't be any shorter.

    """
    size = sum(map(chars_of, request.messages))
    if shortenings >= MOST_SHORTENINGS:
        return None
    most = size / 2 if shortenings < MOST_SHORTENINGS - 1 else 0
    messages = latest(request.messages, request.trigger, max_chars=most)
    return None if len(messages) == len(request.messages) else evolve(request, messages=messages)


def chars_of(message: Message) -> int:
    """Counts the characters of a message: its text, and the names and arguments of its tool calls."""
    called = (len(call.name) + len(json.dumps(dict(call.arguments), default=str)) for call in message.tool_calls)
    return len(message.text) + sum(called)


def _cuts(messages: Sequence[Message], trigger: Trigger) -> list[int]:
    """Returns the indexes at which the conversation may begin, in order.

    That is at the beginning of a turn, if no result is left without its call and all that is replied to is kept.
    """
    calls = {call.id: index for index, message in enumerate(messages) for call in message.tool_calls}
    kept = _kept_from(messages, trigger, calls)
    barred: set[int] = set()
    for index, message in enumerate(messages):
        if message.role == "tool" and message.tool_call_id in calls:
            barred.update(range(calls[message.tool_call_id] + 1, index + 1))
    return [index for index in range(kept + 1) if index not in barred and _begins_turn(messages, index)]


def _begins_turn(messages: Sequence[Message], index: int) -> bool:
    """Returns True if a turn begins at a message: the caller speaks or presses keys, or the agent speaks without that.

    Several messages of the caller in a row are one turn: words and the keys after them get one reply. A fact that the
    model is told belongs to the turn that it begins, or in which it comes.
    """
    role, before = messages[index].role, messages[index - 1].role
    return index == 0 or (role in INPUTS and before not in INPUTS) or role == before == "agent"


def _kept_from(messages: Sequence[Message], trigger: Trigger, calls: dict[str, int]) -> int:
    """Returns the index of the first message that has to be sent; -1 if there is no message."""
    last = len(messages) - 1
    if isinstance(trigger, Utterance | Dtmf | ToolResults | Told):
        last = max((index for index, message in enumerate(messages) if message.role in INPUTS), default=last)
        while last > 0 and messages[last].role in INPUTS and messages[last - 1].role in INPUTS:
            last -= 1
    if isinstance(trigger, ToolResults):
        last = min([last, *(calls[name] for name in trigger.results if name in calls)])
    return last
