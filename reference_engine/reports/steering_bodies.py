"""JSON bodies by which calls are steered and made: requests, and their answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from attrs import field, frozen

from reference_engine.reports.json_types import LEFT_OUT, LeftOut, Seconds


@frozen(kw_only=True)
class SayBody:
    """A text that the agent is to say."""

    text: str
    """The words."""
    interrupt: bool = False
    """Whether it is said at once, in place of the present reply; else when nobody speaks."""


@frozen(kw_only=True)
class PlayBody:
    """A WAV file that is to be played to the caller."""

    file: str
    """The path on the engine's machine; a relative one is relative to the directory of the set's file."""
    text: str = ""
    """The words that are in it, for the conversation and the record."""
    interrupt: bool = False
    """Whether it is played at once, in place of the present reply; else when nobody speaks."""


@frozen(kw_only=True)
class TellBody:
    """A fact for the model, which the caller does not hear."""

    fact: str
    """The fact, in words."""
    respond: bool = False
    """Whether the agent replies to it; else the model reads it with its next request."""


@frozen(kw_only=True)
class TransferBody:
    """A transfer of the caller."""

    target: str
    """The number or extension."""


@frozen(kw_only=True)
class HangUpBody:
    """The end of a call."""

    goodbye: str = ""
    """The last words, said in place of the present reply; empty: the call ends at once."""


@frozen(kw_only=True)
class VariablesBody:
    """Variables of the call to change."""

    variables: Mapping[str, str]
    """The new values by name; other variables stay."""


@frozen(kw_only=True)
class LanguageBody:
    """The language of the call from the next turn on."""

    language: str
    """A BCP 47 tag, such as `de`."""


@frozen(kw_only=True)
class RecordingBody:
    """A pause of the call's recording, or the end of one."""

    action: Literal["pause", "resume"]
    """`pause`: the recording is silent on both sides from now on; `resume`: it goes on."""


@frozen(kw_only=True)
class SteeredBody:
    """A request to a call was carried out."""

    call_id: str
    """The engine's ID of the call."""
    heard: str | LeftOut = LEFT_OUT
    """The part of the text that the caller heard, after `say` and `play`."""
    whole: bool | LeftOut = LEFT_OUT
    """Whether it was heard to its end, after `say` and `play`."""
    recorded: bool | LeftOut = LEFT_OUT
    """Whether the call is recorded now, after `recording`."""


@frozen(kw_only=True)
class DialBody:
    """A call that the agent is to make."""

    listener: str
    """The engine's listener that makes it; its transport must be able to."""
    target: str
    """Whom to call: a number, an extension or a dial string, in the form that the listener's transport takes."""
    caller: str = ""
    """The number that the other side is shown; empty: the transport's own."""
    variables: Mapping[str, str] = field(factory=dict)
    """Variables of the call."""
    pipeline: str = ""
    """The pipeline that holds the call; empty: the routes decide."""
    ring_s: Seconds = 30.0
    """How long it may ring, in s."""
    speaks_first: Literal["agent", "caller"] | None = None
    """Who speaks first; null: as the pipeline says."""


@frozen(kw_only=True)
class DialledBody:
    """Somebody has answered a call that the agent made."""

    call_id: str
    """The engine's ID of the call; empty if it has ended already."""
    transport_id: str
    """The transport's ID of the call."""


@frozen(kw_only=True)
class NotDialledBody:
    """Nobody has answered a call that the agent made."""

    error: str
    """Why."""
    outcome: Literal["busy", "no_answer", "failed"]
    """Why, in a word."""
