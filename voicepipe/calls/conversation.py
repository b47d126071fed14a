"""The conversation of one call so far: what was said and heard, and what its models keep of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from voicepipe.requests import CallStarted, Message, ReplyRequest, Utterance

if TYPE_CHECKING:
    from voicepipe.calls.spoken_reply import SpokenReply
    from voicepipe.requests import CallInfo, Listen, Tool, Trigger


class Conversation:
    """What a language model is told.

    Args:
        info: who rings whom.
        prompt: the pipeline's instructions to the model.
        tools: what the model may call.

    """

    def __init__(self, info: CallInfo, prompt: str, tools: tuple[Tool, ...]) -> None:
        self._info, self._prompt = info, prompt
        self.tools = tools
        """What the model may call."""
        self.states: dict[str, Any] = {}
        """What each model, by key, left in the `ReplyDone.state` of its last reply that won."""
        self._messages: list[Message] = []

    def ask(self, trigger: Trigger) -> ReplyRequest:
        """The request for a reply; what the caller said becomes part of the conversation."""
        if isinstance(trigger, CallStarted):
            trigger = CallStarted(self._info)
        elif isinstance(trigger, Utterance):
            self._messages.append(Message("caller", trigger.text))
        return ReplyRequest(
            trigger=trigger,
            messages=tuple(self._messages),
            prompt=self._prompt,
            tools=self.tools,
            language=trigger.language if isinstance(trigger, Utterance) else None,
        )

    def retract(self) -> None:
        """The utterance comes again as part of a longer one, and so does its place in the conversation."""
        self._messages.pop()

    def commit(self, reply: SpokenReply) -> Listen | None:
        """Keeps what the model wants kept of a reply that counts; what the caller is likely to say next, if it says."""
        if reply.done is None:
            return None
        self.states[reply.model] = reply.done.state
        return reply.done.listen

    def agent_said(self, text: str, *, interrupted: bool) -> None:
        """What was heard of a reply becomes part of the conversation."""
        if text:
            self._messages.append(Message("agent", text, interrupted))
