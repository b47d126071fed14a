"""Tools that the file declares: requests over HTTP that a model may have made.

What a tool is lies here as the operator writes it; `voicepipe.tools.http` makes the requests.
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
"""What a tool may be called: what the APIs of all vendors take."""

ARGUMENT = re.compile(r"\{(?P<name>[A-Za-z_][A-Za-z0-9_-]*)\}")
"""Where an argument goes in a URL."""

_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A header's name (RFC 9110, section 5.1)."""


class ArgumentsSchema(dict[str, Any]):
    """JSON Schema of an object."""


ARGUMENTS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "type": {"const": "object"},
        "properties": {"type": "object", "additionalProperties": {"type": ["object", "boolean"]}},
        "required": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["type"],
}
"""What editors are told of it; the rest of JSON Schema is checked when the file is read."""


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
    """Where to, `http://` or `https://`. `{argument}` in its path or query is where that argument goes."""
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    """With GET and DELETE, arguments that the URL does not name are added to its query; with the others they are the
    body, a JSON object."""
    headers: Mapping[str, Secret] = field(factory=dict, validator=_are_headers)
    """Sent along, such as `authorization`."""
    query: Mapping[str, str] = field(factory=dict)
    """Added to the URL's query, whatever the arguments are."""
    ca_file: CaFile | None = None
    """PEM file with the CA certificates that the server's must come from; None: whatever this machine trusts."""


@frozen
class ToolSettings:
    """A tool that the model may call, by an HTTP request."""

    description: str = field(validator=min_len(1))
    """For the model: what it does and when to use it."""
    http: HttpSettings
    """The request."""
    parameters: ArgumentsSchema = field(factory=_no_arguments)
    """JSON Schema of its arguments, an object's; the model reads it, and what doesn't fit is never sent."""
    timeout_s: float = field(default=10.0, validator=gt(0))
    """How long the answer may take, in s; then the model is told so. It is not asked for again."""
    filler: str = ""
    """Said once if it takes long; empty: nothing is."""
    filler_after_ms: int = field(default=1000, validator=ge(0))
    """How long that is, from when the reply that called it has been heard, in ms."""
    cancellable: bool = False
    """Whether it is given up when the caller interrupts or hangs up. If not, it ends whatever the caller does."""
