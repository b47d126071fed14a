"""Settings of tools that the configuration declares: HTTP requests that a model may make.

`voicepipe.tools.http` makes the requests.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Literal

from attrs import field, frozen
from attrs.validators import ge, gt, min_len

from voicepipe.components.values import CaFile, Secret

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
"""The pattern of a tool's name: names that all vendors' APIs accept."""

ARGUMENT = re.compile(r"\{(?P<name>variables\.[^\s{}/?#|]+|[A-Za-z_][A-Za-z0-9_-]*)\}")
"""The place of an argument, or of a value of the call, in a URL."""

_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A header's name (RFC 9110, section 5.1)."""


class ArgumentsSchema(dict[str, Any]):
    """The JSON Schema of a tool's arguments, of type `object`."""


ARGUMENTS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "type": {"const": "object"},
        "properties": {"type": "object", "additionalProperties": {"type": ["object", "boolean"]}},
        "required": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["type"],
}
"""The schema of such a schema, for editors; the rest of JSON Schema is checked when the file is read."""


def _no_arguments() -> ArgumentsSchema:
    return ArgumentsSchema(type="object", properties={})


def _are_headers(_instance: Any, _field: Any, headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        shown = json.dumps(name, ensure_ascii=False)
        if not _HEADER.fullmatch(name):
            raise ValueError(f"{shown} is no name of a header")
        if not (value.isascii() and value.isprintable()):
            raise ValueError(f"the header {shown} has a line break or another special character in its value")


@frozen
class HttpSettings:
    """The request that a tool makes."""

    url: str
    """The address, `http://` or `https://`. `{argument}` in its path or query is replaced by that argument, and
    `{caller}` or `{variables.customer}` by that value of the call, percent-encoded."""
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    """With GET and DELETE, arguments that the URL does not name are added to its query; with the others they are the
    body, a JSON object."""
    headers: Mapping[str, Secret] = field(factory=dict, validator=_are_headers)
    """Headers of the request, such as `authorization`. They may have values of the call, such as `{caller}`, in which
    `%` and everything but printable ASCII is percent-encoded."""
    query: Mapping[str, str] = field(factory=dict)
    """Parameters that are added to the URL's query in each request; they may have values of the call."""
    arguments: Mapping[str, str] = field(factory=dict)
    """Arguments that the model neither sees nor gives, such as `customer: "{variables.customer}"`; they are sent where
    the model's are."""
    ca_file: CaFile | None = None
    """A PEM file of the CA certificates to trust; null: those that this machine trusts."""
    trace_context: bool = True
    """Whether the request has the headers `traceparent` and `tracestate`, if the call has a trace."""


@frozen
class ToolSettings:
    """A tool that the model may call, by an HTTP request."""

    description: str = field(validator=min_len(1))
    """For the model: what the tool does and when to use it."""
    http: HttpSettings
    """The request."""
    parameters: ArgumentsSchema = field(factory=_no_arguments)
    """JSON Schema of the arguments, of type `object`. The model reads it; arguments that don't match are never sent."""
    timeout_s: float = field(default=10.0, validator=gt(0))
    """How long the answer may take, in s; then the model is told that it failed. The request is not repeated."""
    filler: str = ""
    """A sentence that is said once if the tool takes long; empty: none."""
    filler_after_ms: int = field(default=1000, validator=ge(0))
    """How long the tool must take for that, from the end of the reply that called it, in ms."""
    cancellable: bool = False
    """Whether the request is cancelled when the caller interrupts or hangs up; if not, it runs to its end."""
