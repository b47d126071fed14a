"""`scripted`: a language model whose replies come from a YAML script, without a network."""

from __future__ import annotations

from collections import deque
from contextlib import asynccontextmanager
from functools import lru_cache
from itertools import takewhile
from typing import TYPE_CHECKING

import trio
from attrs import frozen

from voicepipe.adapters.scripted.dialogue import Dialogue
from voicepipe.adapters.scripted.format import Script
from voicepipe.adapters.scripted.script_checks import check_script
from voicepipe.components.events import ReplyDone, ReplyEvent, TextDelta
from voicepipe.components.registry import Adapter
from voicepipe.components.requests import ToolCall
from voicepipe.components.values import File
from voicepipe.documents import parse_document
from voicepipe.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from voicepipe.adapters.scripted.dialogue import ScriptedReply
    from voicepipe.components.protocols import ReplyStream, Resources
    from voicepipe.components.requests import Message, ReplyRequest
    from voicepipe.errors import Problem


@frozen
class ScriptedOptions:
    """A script: intents that are recognised by phrases and patterns, and replies with slots."""

    script: File
    """The script, a YAML file; its format is described in the reference under "Scripts"."""


class ScriptedModel:
    """Replies from a script; the progress of a call in it is the `state` of requests and replies."""

    def __init__(self, dialogue: Dialogue) -> None:
        self._dialogue = dialogue

    @asynccontextmanager
    async def respond(self, request: ReplyRequest) -> AsyncIterator[ReplyStream]:
        """Makes a reply, all of whose events are available at once."""
        tools = [tool.name for tool in request.tools]
        reply = self._dialogue.answer(
            request.trigger,
            request.state,
            tools,
            _words_before_keys(request.messages),
            values=request.values,
            spoken_values=request.spoken_values,
        )
        yield _ScriptedReplyStream(_events(reply, turn=len(request.messages)))


def _words_before_keys(messages: Sequence[Message]) -> str:
    """The words that the caller said since the agent last spoke, up to the last keys."""
    of_call = [message for message in reversed(messages) if message.role != "operator"]
    unanswered = [*takewhile(lambda message: message.role == "caller", of_call)][::-1]
    while unanswered and not unanswered[-1].pressed:
        unanswered.pop()
    return " ".join(message.text for message in unanswered if not message.pressed)


class _ScriptedReplyStream:
    """The events of a reply."""

    def __init__(self, events: Iterable[ReplyEvent]) -> None:
        self._events = deque(events)

    async def receive(self) -> ReplyEvent | None:
        await trio.lowlevel.checkpoint()
        return self._events.popleft() if self._events else None


def _events(reply: ScriptedReply, turn: int) -> Iterable[ReplyEvent]:
    yield from map(TextDelta, reply.text)
    if reply.transfer is not None:
        yield ToolCall(f"transfer-{turn}", "transfer", {"target": reply.transfer})
    if reply.hang_up:
        yield ToolCall(f"hang_up-{turn}", "hang_up")
    if reply.call is not None:
        yield reply.call
    acts = reply.text or reply.transfer is not None or reply.hang_up or reply.call is not None
    yield ReplyDone("complete" if acts else "empty", state=reply.progress, listen=reply.listen)


@lru_cache(maxsize=32)
def read_script(file: File) -> Dialogue:
    """Parses and checks a script file.

    The last scripts are kept. Reading one takes 15 ms, and a script is read for the check of each pipeline that uses it
    and again when it is opened.

    Raises:
        ConfigError: the script has mistakes; it has a problem for each, with its line and column.

    """
    document = parse_document(file.content, file.name)
    script = document.structure(Script)
    faults = [*check_script(script)]
    if faults:
        raise ConfigError(document.problem(fault.path, fault.message, fault.hint, key=fault.key) for fault in faults)
    return Dialogue(script, file.digest)


def _check(options: ScriptedOptions) -> Iterable[Problem]:
    try:
        read_script(options.script)
    except ConfigError as error:
        return error.problems
    return ()


@asynccontextmanager
async def _open(options: ScriptedOptions, resources: Resources) -> AsyncIterator[ScriptedModel]:
    dialogue = await trio.to_thread.run_sync(read_script, options.script, limiter=resources.threads)
    yield ScriptedModel(dialogue)


llm = Adapter(
    name="scripted",
    role="llm",
    options=ScriptedOptions,
    open=_open,
    check=_check,
    model=lambda options: options.script.path.name,
)
