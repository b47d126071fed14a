"""Requests to components as frozen values; their answers are in `events`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal
from uuid import uuid4

from attrs import field, frozen

from voicepipe.audio import AudioFormat
from voicepipe.components.bounded_texts import bounded, bounded_variables
from voicepipe.components.trace_context import TraceContext

ROLES: Final = ("caller", "agent", "tool", "operator")
"""The roles of messages."""


def new_call_id() -> str:
    """Makes a call's ID: a random UUID, because nothing that a transport gives is certain to be unique."""
    return str(uuid4())


@frozen
class CallInfo:
    """The called and calling numbers, and all else that is known when a call arrives.

    Texts are kept on one line, without control characters, and within bounds, whatever a transport gives: numbers and
    names up to 200 characters, up to 64 variables with values of 2,000 characters, 16,000 in all.
    """

    call_id: str = field(default="", converter=bounded)
    """The call's unique ID: each call makes its own, and replaces the transport's by it."""
    called: str = field(default="", converter=bounded)
    """The number that was dialled, as the transport gives it; empty if unknown."""
    caller: str = field(default="", converter=bounded)
    """The caller's number; empty if unknown."""
    listener: str = field(default="", converter=bounded)
    """The engine's listener that accepted the call; empty for a transport of the program."""
    variables: Mapping[str, str] = field(factory=dict)
    """Further values that the transport received, by name."""
    transport_id: str = field(default="", converter=bounded)
    """The transport's own name for the call, such as AudioSocket's UUID. Nothing makes it unique: a dialplan may repeat
    it. Where a transport gives a `call_id` instead, that one is kept here."""
    pipeline: str = field(default="", converter=bounded)
    """The pipeline that whoever brought the call asks for; empty: the routes decide."""
    speaks_first: Literal["agent", "caller"] | None = None
    """Who speaks first in this call; None: as the pipeline's `speaks_first` says."""
    shortened: tuple[str, ...] = ()
    """The names of variables that were cut or left out, because they were too long or too many."""
    trace: TraceContext | None = None
    """The span that the call was made for, from the transport's headers, or else from variables called `traceparent`
    and `tracestate`, in any case; None: nothing was told of one."""

    def __attrs_post_init__(self) -> None:
        variables, cut = bounded_variables(self.variables)
        object.__setattr__(self, "variables", variables)  # frozen for others
        if self.trace is None and variables:
            object.__setattr__(self, "trace", TraceContext.of_headers(variables))
        if cut:
            object.__setattr__(self, "shortened", tuple(dict.fromkeys((*self.shortened, *cut))))


@frozen
class StreamInput:
    """The format and chunk size in which a speech-to-text component wants a call's audio."""

    format: AudioFormat
    """Rate and encoding; the call resamples."""
    chunk_ms: int = 100
    """The length of audio to collect before `send`, in ms; while an utterance ends, frames come singly."""


@frozen
class Listen:
    """Hints to a recogniser about the caller's next words; it uses those that it supports."""

    phrases: tuple[str, ...] = ()
    """Expected words and phrases. Empty: anything."""
    grammar: str | None = None
    """A JSGF grammar, for recognisers that take one."""
    language: str | None = None
    """BCP 47 tag; None: the component's own setting."""


@frozen
class ToolCall:
    """The model asks for a tool to be run."""

    id: str
    """The ID that its result has too."""
    name: str
    """The tool: `hang_up`, `transfer`, or one that an integrator registered."""
    arguments: Mapping[str, Any] = field(factory=dict)
    """By the tool's parameter names."""


def _check_role(_message: Message, _field: Any, role: str) -> None:
    if role not in ROLES:
        roles = ", ".join(ROLES)
        hint = "; a model's `user` is `caller` here, and its `assistant` is `agent`"
        raise ValueError(f"a message's role is one of {roles}, not {role!r}{hint}")


@frozen
class Message:
    """One entry of the conversation so far, as it was really said and heard."""

    role: Literal["caller", "agent", "tool", "operator"] = field(validator=_check_role)
    """The speaker; `tool` for a result, `operator` for a fact that the program told the model (`Call.tell`), and that
    the caller has not heard."""
    text: str
    """The words: of an interrupted reply the part that was heard; of a tool its result; of keys their digits."""
    interrupted: bool = False
    """True if the caller cut it short."""
    tool_calls: tuple[ToolCall, ...] = ()
    """The tools that the agent called in this reply, each answered by a later message of role `tool`."""
    tool_call_id: str = ""
    """The ID of the call that this is the result of, where role is `tool`."""
    pressed: bool = False
    """True if the caller pressed `text` as keys, instead of saying it."""


@frozen
class CallStarted:
    """The call was answered and the model speaks first."""

    info: CallInfo = CallInfo()
    """The numbers of both parties."""


@frozen
class Utterance:
    """The caller said something."""

    text: str
    """The recognised words; never empty."""
    language: str | None = None
    """The language, if the recogniser detects it; a BCP 47 tag."""
    confidence: float | None = None
    """0 to 1, or None."""


@frozen
class Dtmf:
    """The caller pressed keys."""

    digits: str
    """Of `0123456789*#ABCD`, at least one."""


@frozen
class Silence:
    """The caller has said nothing for a while."""

    count: int
    """1 for the first time in a row."""


@frozen
class ToolResults:
    """The tools that the model called have ended."""

    results: Mapping[str, str]
    """The text that each tool returned, by `ToolCall.id`; of a tool that failed, an explanation for the model."""
    failed: frozenset[str] = field(default=frozenset(), eq=False)
    """The ids of those that failed or were cancelled."""


@frozen
class Told:
    """The program has told the model a fact to which the agent is to reply at once (`Call.tell`)."""

    text: str
    """The fact; it is a message of role `operator` too."""
    transfer: str = ""
    """The target, if the fact is that nobody took a transfer, and that the caller is back; empty: it is another."""


Trigger = CallStarted | Utterance | Dtmf | Silence | ToolResults | Told


@frozen
class Tool:
    """A tool that the model may call in this reply."""

    name: str
    """The tool's name, as in `ToolCall.name`."""
    description: str
    """For the model: what it does and when to use it."""
    parameters: Mapping[str, Any] = field(factory=dict)
    """JSON Schema of the arguments."""


@frozen
class ReplyRequest:
    """Everything that a language model gets for one reply."""

    trigger: Trigger
    """The event that is replied to. In a call, words, keys and facts are among the last of `messages` too, and results
    of tools are where the tools were called: nothing of it need be added. Only `CallStarted` and `Silence` are in no
    message."""
    messages: tuple[Message, ...] = ()
    """The conversation so far: everything that the caller said or pressed, in order, whatever became of the replies."""
    prompt: str = ""
    """The pipeline's instructions to the model."""
    tools: tuple[Tool, ...] = ()
    """The tools that it may call."""
    state: Any = None
    """The `ReplyDone.state` of this call's last winning reply; None at first."""
    values: Mapping[str, str] = field(factory=dict, eq=False)
    """What is known of the call, by the names that texts have for it, for models that compose texts themselves:
    `caller`, `variables.customer`, `date`. They are in `prompt` already, where it names them."""
    spoken_values: Mapping[str, str] = field(factory=dict, eq=False)
    """The values as they are said: dates and times in words, numbers so that they are read digit by digit."""
    said: str = ""
    """The part of this reply that was heard before its model failed: go on after it, don't repeat it."""
    trace: TraceContext | None = field(default=None, eq=False)
    """The span of this request, for the headers of one over HTTP (`TraceContext.headers`); None: there is no trace."""
