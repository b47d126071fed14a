"""The conversation of one call so far: what the caller said, what the caller heard, and each model's own state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import evolve

from voicepipe.calls.history import latest
from voicepipe.components.requests import CallStarted, Dtmf, Message, ReplyRequest, ToolResults, Utterance

if TYPE_CHECKING:
    from collections.abc import Iterable

    from voicepipe.calls.texts import CallTexts
    from voicepipe.calls.turns.events import CallerInput
    from voicepipe.components.requests import Told, Tool, ToolCall, Trigger
    from voicepipe.config.history_settings import HistorySettings

MOST_TOOL_ROUNDS = 8
"""The most replies in a row to results of tools that call tools again; then it has none until the caller speaks."""

RUNNING = "still running: the result will come"
"""Stands for the result of a tool that has none yet."""


class Conversation:
    """Keeps the messages of one call, and makes the requests to its language models of them.

    The caller's words become messages before the model is asked, the agent's only after they were heard: what was never
    heard was never said. In between, the caller's last words may still be retracted, if they turn out to be the
    beginning of something longer.

    Args:
        texts: composes the prompt, and has the call's values.
        tools: the tools that the model may call.
        history: how much of the conversation a request holds.
        before: messages from before the call.

    Raises:
        ValueError: in `before`, a call of a tool has no result, or a result has no call: no API takes that.

    """

    def __init__(
        self, texts: CallTexts, tools: tuple[Tool, ...], history: HistorySettings, before: Iterable[Message] = ()
    ) -> None:
        self._texts, self._history = texts, history
        self.tools = tools
        """The tools that the model may call."""
        self.states: dict[str, Any] = {}
        """The `ReplyDone.state` of each model's last reply that counted, by the model's key."""
        self.fits: dict[str, int] = {}
        """The most characters of the conversation that a model takes, by its key, once it has refused more."""
        self._messages: list[Message] = list(before)
        _check_tools(self._messages)
        self._retractable_from = 0  # the index of the first message that the caller's last inputs added
        self._results: dict[str, str] = {}  # of tools, by the id of the call
        self._tool_rounds = 0  # replies to results of tools, in a row
        self._last_failure: Told | None = None  # of a transfer

    @property
    def messages(self) -> tuple[Message, ...]:
        """Everything so far, in order."""
        return tuple(self._messages)

    @property
    def tools_exhausted(self) -> bool:
        """True if the model has called tools `MOST_TOOL_ROUNDS` times in a row, and must answer the caller first."""
        return self._tool_rounds >= MOST_TOOL_ROUNDS

    def caller_said(self, inputs: Iterable[CallerInput]) -> None:
        """Adds what the caller said and pressed, in order."""
        self._retractable_from = len(self._messages)
        for part in inputs:
            if isinstance(part, Utterance):
                self._messages.append(Message("caller", part.text))
            else:
                self._messages.append(Message("caller", part.digits, pressed=True))

    def told(self, fact: str) -> None:
        """Adds a fact that the program tells the model, and that the caller does not hear."""
        self._messages.append(Message("operator", fact))

    def told_of_transfer(self, fact: Told) -> None:
        """Adds the fact that nobody took a transfer; no-op for the one of last time, if it is replied to again."""
        if fact is not self._last_failure:
            self._last_failure = fact
            self.told(fact.text)

    def retract(self) -> None:
        """Removes what the last `caller_said` added: it comes again, as part of something longer.

        Facts that were told since stay.
        """
        since = self._messages[self._retractable_from :]
        self._messages[self._retractable_from :] = [message for message in since if message.role != "caller"]

    def ask(self, trigger: Trigger) -> ReplyRequest:
        """Returns the request for a reply; the caller's inputs have been added before."""
        if isinstance(trigger, CallStarted):
            trigger = CallStarted(self._texts.info)
        if isinstance(trigger, Utterance | Dtmf):
            self._tool_rounds = 0
        elif isinstance(trigger, ToolResults):
            self._tool_rounds += 1
        history = self._history
        return ReplyRequest(
            trigger=trigger,
            messages=latest(self._messages, trigger, max_chars=history.max_chars, max_turns=history.max_turns),
            prompt=self._texts.prompt,
            tools=() if self.tools_exhausted else self.tools,
            values=self._texts.values,
            spoken_values=self._texts.spoken_values,
        )

    def keep_state(self, model: str, state: Any) -> None:
        """Keeps what a model, by its key, wants to get back with its next request."""
        self.states[model] = state

    def agent_said(self, text: str, *, interrupted: bool, tool_calls: tuple[ToolCall, ...] = ()) -> None:
        """Adds the part of a reply that was heard, and right after it the results of its tools.

        No API takes a call of a tool without its result, so one that is still running gets `RUNNING` for now.
        """
        if text or tool_calls:
            self._messages.append(Message("agent", text, interrupted, tool_calls))
        for call in tool_calls:
            self._messages.append(Message("tool", self._results.get(call.id, RUNNING), tool_call_id=call.id))

    def tool_ended(self, tool_call_id: str, result: str) -> None:
        """Puts the result of a tool where its call is, also if that call is not part of the conversation yet."""
        self._results[tool_call_id] = result
        self._messages = [
            evolve(message, text=result) if message.tool_call_id == tool_call_id else message
            for message in self._messages
        ]


def _check_tools(messages: Iterable[Message]) -> None:
    """Checks that calls of tools and their results belong together."""
    open_calls: set[str] = set()
    for message in messages:
        open_calls.update(call.id for call in message.tool_calls)
        if message.role == "tool":
            if message.tool_call_id not in open_calls:
                raise ValueError(f"messages: the result of {message.tool_call_id!r} has no call before it")
            open_calls.discard(message.tool_call_id)
    if open_calls:
        raise ValueError(f"messages: no result for the tool calls {', '.join(sorted(open_calls))}")
