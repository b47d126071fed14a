"""Options of OpenAI's language models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from attrs import field, frozen
from attrs.validators import ge, gt, le, min_len, optional

from voicepipe.adapters.openai.client import check_client, is_openai
from voicepipe.components.values import CaFile, Secret
from voicepipe.errors import Location, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

OWN = ("messages", "input", "instructions", "tools", "stream", "model")
"""What `extra_body` can't hold, since it comes from elsewhere."""


@frozen
class OpenAIOptions:
    """A model that answers, and how."""

    model: str = field(validator=min_len(1))
    """The model: one of OpenAI's (`gpt-5-mini`, `gpt-4.1-mini`), or the server's (`llama3.2`)."""
    api_key: Secret | None = None
    """OpenAI's key, or the server's if it wants one."""
    base_url: str | None = None
    """Another server that speaks this API, up to its version: `http://127.0.0.1:11434/v1`; None: OpenAI."""
    ca_file: CaFile | None = None
    """PEM file with the CA certificates that the server's must come from; None: whatever this machine trusts."""
    api: Literal["chat", "responses"] = "chat"
    """Which API: Chat Completions, which all servers have, or Responses, which is OpenAI's own."""
    temperature: float | None = field(default=None, validator=optional([ge(0), le(2)]))
    """How freely the model chooses its words, from 0 to 2; None: its own default. Reasoning models have none."""
    max_tokens: int | None = field(default=None, validator=optional(ge(1)))
    """The longest reply, in tokens, a reasoning model's thoughts included; None: the model's own limit."""
    reasoning_effort: str | None = None
    """How much a reasoning model thinks before it speaks: `minimal`, `low` ...; None: its own default."""
    include_usage: bool = True
    """Whether Chat Completions are asked what they cost; a few servers refuse the question."""
    extra_body: Mapping[str, Any] = field(factory=dict)
    """More parameters for the request, as the server's documentation has them: `service_tier: priority`."""
    trace_context: bool = True
    """Whether requests have the headers `traceparent` and `tracestate`, if the call has a trace."""
    connect_timeout_s: float = field(default=5.0, validator=gt(0))
    """The time limit for connecting, in s."""
    timeout_s: float = field(default=10.0, validator=gt(0))
    """How long nothing may come of an answer, in s; a server that loads its model when it is asked may need longer."""

    @property
    def is_openai(self) -> bool:
        """Whether it is OpenAI itself that answers."""
        return is_openai(self.base_url)


def check_options(options: OpenAIOptions) -> Iterator[Problem]:
    """Gives a problem for a missing library, and for options that exclude each other."""
    yield from check_client(options)
    for name in OWN:
        if name in options.extra_body:
            yield Problem(Location(""), "extra_body", f"{name} is not for extra_body", "it is set by voicepipe")
