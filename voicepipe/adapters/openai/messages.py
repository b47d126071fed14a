"""A request for a reply as a sequence that every chat API takes, and every chat template: pure.

OpenAI, Mistral, Anthropic's compatible endpoint, vLLM, llama.cpp and Ollama take the same JSON and refuse different
things in it. One form suits them all, so that a conversation can be failed over from any of them to any other:

- **The sides take strict turns, beginning with the caller's and ending with it.** The templates of Gemma and Mistral
  models raise "roles must alternate", Mistral's API refuses a last message of the assistant's.
- **A tool's result is a turn of the caller's side**, right behind its call, which is a turn of the agent's. Templates
  without a role for tools render it as the user's; Mistral's API refuses the user's words right behind it, so the agent
  says something between them.
- **One call a turn, and no words beside it.** Llama 3's templates raise for more than one, older models of Mistral's
  refuse both together, and templates of Qwen and Llama pass over one of the two. Calls that were made at once stand
  behind one another.
- **Ids of calls are nine letters and digits**, as Mistral demands; names are what OpenAI allows; no text is empty,
  begins or ends with white space, or holds half a character.

Where the conversation has no words of its own for something, there are marks in brackets in the caller's place: that
the call has begun, which keys were pressed, that nothing was said, what the program tells the model, what the agent
said while its tools were called, what came of tools when other things have been said since, and that a reply broke off
and is to be continued. A reply that the caller cut short ends with a dash; one of which nothing was heard, only a tool
called, is a dash. Nothing else is added to what the operator wrote. What language was detected is not told: the words
show it, and of "OK" a detector makes what it likes.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from voicepipe.adapters.openai.sanitizers import NO_RESULT, clean, wire_id, wire_name
from voicepipe.components.requests import (
    CallStarted,
    Dtmf,
    Message,
    Silence,
    Told,
    Tool,
    ToolCall,
    ToolResults,
    Utterance,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from voicepipe.components.requests import ReplyRequest, Trigger

CALL_BEGINS = "[the call begins]"
PRESSED = "[the caller pressed {}]"
SILENT = "[the caller says nothing]"
STILL_SILENT = "[the caller says nothing, {} times in a row]"
MEANWHILE = "[meanwhile the caller hears you say: {}]"
RETURNED = "[the tools returned: {}]"
GO_ON = "[your reply broke off there: go on right after its last word, repeat nothing]"
TOLD = "[you are told, and the caller does not hear: {}]"
CUT_SHORT = "—"


@frozen
class TextTurn:
    """A turn of either side that is text."""

    by_agent: bool
    """Whose it is; else the caller's."""
    text: str
    """Never blank."""


@frozen
class ToolTurn:
    """A tool that the agent called, and what came of it: a turn of the agent's, and one of the caller's side."""

    call: ToolCall
    """What the model asked for."""
    result: str
    """As text, never blank."""


@frozen
class _AgentReply:
    """The text of an agent's reply, and the tools that it called."""

    text: str
    uses: tuple[ToolTurn, ...] = ()


def turns_of(request: ReplyRequest) -> list[TextTurn | ToolTurn]:
    """The conversation up to where the reply is due."""
    results = dict(request.trigger.results) if isinstance(request.trigger, ToolResults) else {}
    turns = _TurnSequence()
    steps = [*_steps(request, results)]
    for index, step in enumerate(steps):
        if isinstance(step, str):
            turns.caller(step)
        else:
            turns.agent(step, steps[index + 1 :])
    if isinstance(request.trigger, ToolResults):
        turns.bring(request.trigger.results)
    if said := clean(request.said):
        turns.agent(_AgentReply(said), [GO_ON])
        turns.caller(GO_ON)
    turns.end()
    return [*_outgoing(turns.turns)]


def tools_for(request: ReplyRequest, turns: Iterable[TextTurn | ToolTurn]) -> tuple[tuple[Tool, ...], bool]:
    """The tools that a request has to declare, and whether they may be called.

    Anthropic's models refuse a conversation in which tools were called if none are declared, so a reply that is offered
    none declares those that were called, and forbids to call them.
    """
    if request.tools:
        return request.tools, True
    names = dict.fromkeys(turn.call.name for turn in turns if isinstance(turn, ToolTurn))
    return tuple(Tool(name, "Not available now.") for name in names), False


def _outgoing(turns: Iterable[TextTurn | ToolTurn]) -> Iterator[TextTurn | ToolTurn]:
    """The turns with ids and names of tool calls that every server takes; no id comes twice."""
    seen: Counter[str] = Counter()
    for turn in turns:
        if isinstance(turn, ToolTurn):
            call = turn.call
            number, name = wire_id(call.id, seen[call.id]), wire_name(call.name)
            seen[call.id] += 1
            yield ToolTurn(evolve(call, id=number, name=name), turn.result)
        else:
            yield turn


def _steps(request: ReplyRequest, results: dict[str, str]) -> Iterator[str | _AgentReply]:
    """The turns of the caller's side and the agent's replies, in order."""
    ahead = list(request.messages)
    while ahead:
        message = ahead.pop(0)
        text = clean(message.text)
        if message.role == "caller" and text:
            yield PRESSED.format(text) if message.pressed else text
        elif message.role == "operator" and text:
            yield TOLD.format(text)
        elif message.role == "agent":
            uses = tuple(ToolTurn(call, _result(call.id, ahead, results)) for call in message.tool_calls)
            text += CUT_SHORT if message.interrupted and text else ""
            if text or uses:
                yield _AgentReply(text, uses)
    if mark := _mark(request.trigger, request.messages):
        yield mark


def _result(call_id: str, ahead: list[Message], results: dict[str, str]) -> str:
    """The result of a call: the next message with its id, each used once, else the trigger's."""
    for index, message in enumerate(ahead):
        if message.role == "tool" and message.tool_call_id == call_id:
            return clean(ahead.pop(index).text) or NO_RESULT
    return clean(results.pop(call_id, "")) or NO_RESULT


def _mark(trigger: Trigger, messages: Sequence[Message]) -> str:
    """The mark for a trigger that the messages don't show."""
    spoken = [
        message
        for message in messages
        if message.role in {"caller", "agent"} and (clean(message.text) or message.tool_calls)
    ]
    told = spoken[-1:] != [] and spoken[-1].role == "caller"
    match trigger:
        case CallStarted():
            return CALL_BEGINS
        case Utterance(text=text):
            return "" if told else clean(text)
        case Dtmf(digits=digits):
            return "" if told and Message("caller", digits, pressed=True) in spoken else PRESSED.format(digits)
        case Told(text=text):
            is_known = any(message.role == "operator" and text in message.text for message in messages)
            return "" if is_known or not clean(text) else TOLD.format(clean(text))
        case Silence(count=count):
            return SILENT if count == 1 else STILL_SILENT.format(count)
    return ""


class _TurnSequence:
    """The sequence while it is made; always in strict turns."""

    def __init__(self) -> None:
        self.turns: list[TextTurn | ToolTurn] = []

    def caller(self, text: str) -> None:
        """Adds to the caller's side."""
        last = self.turns[-1] if self.turns else None
        if isinstance(last, ToolTurn):
            self._append(TextTurn(True, CUT_SHORT))
        self._append(TextTurn(False, text))

    def agent(self, reply: _AgentReply, ahead: Sequence[str | _AgentReply]) -> None:
        """Adds a reply.

        Args:
            reply: what was said, and called.
            ahead: what comes after it.

        """
        is_last = not any(isinstance(step, str) or step.uses for step in ahead)
        if reply.uses:
            # What is said beside calls can't stand beside them. Where nothing else follows from the agent before the
            # caller's next words, it follows the results.
            follows = bool(ahead) and isinstance(ahead[0], str)
            if reply.text and not follows:
                self._aside(reply.text)
            self._begin_reply()
            self.turns += reply.uses
            if reply.text and follows:
                self._append(TextTurn(True, reply.text))
        elif is_last and self.turns and isinstance(self.turns[-1], ToolTurn):
            self._aside(reply.text)  # while the tools ran, whose results are what is replied to
        else:
            if not self.turns:
                self._append(TextTurn(False, CALL_BEGINS))
            self._append(TextTurn(True, reply.text))

    def bring(self, results: Mapping[str, str]) -> None:
        """Brings results to the end, which the reply is to be about, unless they stand there already."""
        there: set[str] = set()
        for turn in reversed(self.turns):
            if not isinstance(turn, ToolTurn):
                break
            there.add(turn.call.id)
        late = [result for call_id, result in results.items() if call_id not in there]
        if late or not there:
            self.caller(
                RETURNED.format(json.dumps([clean(result) or NO_RESULT for result in late], ensure_ascii=False))
            )

    def end(self) -> None:
        """Makes the caller's side the last one, whatever was given; in a call it is."""
        last = self.turns[-1] if self.turns else TextTurn(True, "")
        if isinstance(last, TextTurn) and last.by_agent:
            self._append(TextTurn(False, SILENT if self.turns else CALL_BEGINS))

    def _begin_reply(self) -> None:
        """Makes the caller's side the last one, so that the agent's may follow."""
        if not self.turns:
            self._append(TextTurn(False, CALL_BEGINS))
        elif isinstance(self.turns[-1], TextTurn) and self.turns[-1].by_agent:
            self._append(TextTurn(False, SILENT))

    def _aside(self, text: str) -> None:
        """Tells in the caller's last words what the agent said while it called tools."""
        self._begin_reply()
        index = max(index for index, turn in enumerate(self.turns) if isinstance(turn, TextTurn))
        turn = self.turns[index]
        if isinstance(turn, TextTurn):
            self.turns[index] = evolve(turn, text=f"{turn.text}\n{MEANWHILE.format(text)}")

    def _append(self, words: TextTurn) -> None:
        last = self.turns[-1] if self.turns else None
        if isinstance(last, TextTurn) and last.by_agent == words.by_agent:
            self.turns[-1] = evolve(last, text=f"{last.text}\n{words.text}")
        else:
            self.turns.append(words)
