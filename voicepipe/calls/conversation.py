"""The conversation of one call so far: what was said and heard, and what its models keep of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import evolve

from voicepipe.calls.history import latest
from voicepipe.components.requests import CallStarted, Dtmf, Message, ReplyRequest, ToolResults, Utterance

if TYPE_CHECKING:
    from collections.abc import Iterable

    from voicepipe.calls.replies.reply import SpokenReply
    from voicepipe.calls.turns.events import CallerInput
    from voicepipe.components.requests import CallInfo, Listen, Tool, ToolCall, Trigger
    from voicepipe.config.history import HistorySettings

MOST_TOOL_ROUNDS = 8
"""How often in a row a model may reply to results by calling tools; then it is offered none until the caller speaks."""

RUNNING = "still running: the result will come"
"""Stands for the result of a tool that has none yet."""


class Conversation:
    """What a language model is told.

    Args:
        info: who rings whom.
        prompt: the pipeline's instructions to the model.
        tools: what the model may call.
        history: how much of what was said it is told.

    """

    def __init__(self, info: CallInfo, prompt: str, tools: tuple[Tool, ...], history: HistorySettings) -> None:
        self._info, self._prompt, self._history = info, prompt, history
        self.tools = tools
        """What the model may call."""
        self.states: dict[str, Any] = {}
        """What each model, by key, left in the `ReplyDone.state` of its last reply that won."""
        self.fits: dict[str, int] = {}
        """How many characters of the conversation each model took, by key, that has refused more."""
        self._messages: list[Message] = []
        self._retractable_from = 0
        self._results: dict[str, str] = {}
        self._tool_rounds = 0

    @property
    def tools_exhausted(self) -> bool:
        """Whether the model has called tools again and again, and must answer the caller first."""
        return self._tool_rounds >= MOST_TOOL_ROUNDS

    def hear(self, inputs: Iterable[CallerInput]) -> None:
        """What the caller said and pressed becomes part of the conversation, in order."""
        self._retractable_from = len(self._messages)
        for heard in inputs:
            if isinstance(heard, Utterance):
                self._messages.append(Message("caller", heard.text))
            else:
                self._messages.append(Message("caller", heard.digits, pressed=True))

    def retract(self) -> None:
        """What was heard last comes again as part of something longer, and so does its place in the conversation."""
        del self._messages[self._retractable_from :]

    def ask(self, trigger: Trigger) -> ReplyRequest:
        """The request for a reply; what it replies to has been heard."""
        if isinstance(trigger, CallStarted):
            trigger = CallStarted(self._info)
        if isinstance(trigger, Utterance | Dtmf):
            self._tool_rounds = 0
        elif isinstance(trigger, ToolResults):
            self._tool_rounds += 1
        history = self._history
        return ReplyRequest(
            trigger=trigger,
            messages=latest(self._messages, trigger, max_chars=history.max_chars, max_turns=history.max_turns),
            prompt=self._prompt,
            tools=() if self.tools_exhausted else self.tools,
            language=trigger.language if isinstance(trigger, Utterance) else None,
        )

    def commit(self, reply: SpokenReply) -> Listen | None:
        """Keeps what the model wants kept of a reply that counts; what the caller is likely to say next, if it says."""
        if reply.done is None:
            return None
        self.states[reply.model] = reply.done.state
        return reply.done.listen

    def agent_said(self, text: str, *, interrupted: bool, tool_calls: tuple[ToolCall, ...] = ()) -> None:
        """What was heard of a reply becomes part of the conversation, and right after it what its tools returned."""
        if text or tool_calls:
            self._messages.append(Message("agent", text, interrupted, tool_calls))
        for call in tool_calls:
            self._messages.append(Message("tool", self._results.get(call.id, RUNNING), tool_call_id=call.id))

    def tool_ended(self, tool_call_id: str, result: str) -> None:
        """What a tool returned becomes part of the conversation, where its call is."""
        self._results[tool_call_id] = result
        self._messages = [
            evolve(message, text=result) if message.tool_call_id == tool_call_id else message
            for message in self._messages
        ]
