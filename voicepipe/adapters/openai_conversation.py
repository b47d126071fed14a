"""A request for a reply as turns that any chat API takes, and any chat template: pure.

Models are told what the conversation's own texts can't say by marks in brackets, in the caller's place: that the call
has begun, which keys were pressed, that nothing was said, and that a reply broke off and is to be continued. A reply
that the caller cut short ends with a dash. Nothing else is added to what the operator wrote. What language was
detected is not told: the words show it, and of "OK" a detector makes what it likes.

Turns alternate between caller and agent, beginning with the caller's, since the templates of some open models
(Mistral, Gemma) refuse all else. The results of an agent's tool calls stand right behind it, one for each call, since
the APIs refuse all else.
"""

from __future__ import annotations

import json
import re
from hashlib import sha256
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from voicepipe.requests import CallStarted, Dtmf, Message, Silence, ToolCall, ToolResults, Utterance

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from voicepipe.requests import ReplyRequest, Trigger

CALL_BEGINS = "[the call begins]"
PRESSED = "[the caller pressed {}]"
SILENT = "[the caller says nothing]"
STILL_SILENT = "[the caller says nothing, {} times in a row]"
GO_ON = "[your reply broke off there: go on right after its last word, repeat nothing]"
RETURNED = "[the tools returned: {}]"
CUT_SHORT = "—"

NO_RESULT = "no result"
"""What stands for the result of a tool that has none: it was cancelled, or runs still."""

TAKEN_ID = re.compile(r"[\w-]{1,40}", re.ASCII)
"""Ids of tool calls that every API takes; one that another vendor gave may be longer."""


@frozen
class Returned:
    """A tool that was called, and what came of it."""

    call: ToolCall
    """What the model asked for."""
    result: str
    """As text."""


@frozen
class Turn:
    """What one side said, and what tools it called."""

    by_agent: bool
    """Whose turn it is; else the caller's."""
    text: str
    """Empty only beside tools."""
    returned: tuple[Returned, ...] = ()
    """The tools that the agent called in it."""


def turns_of(request: ReplyRequest) -> list[Turn]:
    """The conversation up to where the reply is due; the last turn is the caller's, or an agent's with tools."""
    turns: list[Turn] = []
    for turn in _turns(request):
        if turns and not turns[-1].returned and turns[-1].by_agent == turn.by_agent:
            text = "\n".join(filter(None, (turns[-1].text, turn.text)))
            turns[-1] = evolve(turn, text=text)
        else:
            turns.append(turn)
    if not turns or turns[0].by_agent:
        turns.insert(0, Turn(False, CALL_BEGINS))
    return turns


def _turns(request: ReplyRequest) -> Iterator[Turn]:
    results = dict(request.trigger.results) if isinstance(request.trigger, ToolResults) else {}
    yield from _said(request.messages, results)
    for message in request.messages:
        results.pop(message.tool_call_id, None)
    if mark := _mark(request.trigger, results, request.messages):
        yield Turn(False, mark)
    if request.said:
        yield Turn(True, request.said)
        yield Turn(False, GO_ON)


def _said(messages: Iterable[Message], results: dict[str, str]) -> Iterator[Turn]:
    """What the messages hold; takes those results that belong to one of their tool calls out of `results`."""
    ahead = list(messages)
    while ahead:
        message = ahead.pop(0)
        if message.role == "tool":
            continue  # it stands behind its call, or there is none
        returned = []
        for call in message.tool_calls:
            result = _result(call.id, ahead, results)
            number = call.id if TAKEN_ID.fullmatch(call.id) else f"call_{sha256(call.id.encode()).hexdigest()[:24]}"
            returned.append(Returned(evolve(call, id=number), result))
        text = PRESSED.format(message.text) if message.pressed else message.text
        text = text.rstrip() + CUT_SHORT if message.interrupted and text else text
        if text or returned:
            yield Turn(message.role == "agent", text, tuple(returned))


def _result(call_id: str, ahead: list[Message], results: dict[str, str]) -> str:
    """What a call returned: the next message of that id, each counting once, else what the trigger brings."""
    for index, message in enumerate(ahead):
        if message.role == "tool" and message.tool_call_id == call_id:
            return ahead.pop(index).text
    return results.pop(call_id, NO_RESULT)


def _mark(trigger: Trigger, results: Mapping[str, str], messages: tuple[Message, ...]) -> str:
    """What the trigger says that the messages don't."""
    match trigger:
        case CallStarted():
            return CALL_BEGINS
        case Utterance(text=text):
            said = [message.role for message in messages if message.role != "tool"]
            return "" if said[-1:] == ["caller"] else text
        case Dtmf(digits=digits):
            told = Message("caller", digits, pressed=True) in messages
            return "" if told and messages[-1].role == "caller" else PRESSED.format(digits)
        case Silence(count=count):
            return SILENT if count == 1 else STILL_SILENT.format(count)
        case ToolResults() if results:
            return RETURNED.format(json.dumps(list(results.values()), ensure_ascii=False))
    return ""
