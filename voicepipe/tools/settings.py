"""Tools that the file declares: requests over HTTP that a model may have made.

What a tool is lies here as the operator writes it; `voicepipe.tools.http` makes the requests.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from attrs import field, frozen
from attrs.validators import ge, gt, min_len

from voicepipe.components.distribution import install_hint
from voicepipe.components.values import CaFile, Secret
from voicepipe.config.reading import set_reading
from voicepipe.documents import Place, Refused, did_you_mean, shown
from voicepipe.documents.nodes import Mapping as MappingNode
from voicepipe.documents.nodes import Scalar, Sequence
from voicepipe.tools.schemas import schema_faults

if TYPE_CHECKING:
    from voicepipe.config.reading import SetReading

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
        if not _HEADER.fullmatch(name):
            raise ValueError(f"{shown(name)} is no name of a header")
        if not (value.isascii() and value.isprintable()):
            raise ValueError(f"the header {shown(name)} has a line break or another special character in its value")


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


def schema_hook(place: Place, _: Any) -> ArgumentsSchema:
    """The schema of a tool's arguments, if it is one."""
    schema: dict[str, Any] = place.reading.structure(place, Mapping[str, Any])
    faults = schema_faults(schema)
    for path, fault in faults:
        at = place
        for step in path:
            at = _below(at, step) or at
        message = set_reading(place).secrets.conceal(fault)
        if path:
            at.report(message, "json-schema.org/understanding-json-schema has all of it")
        else:
            at.report(message, "write `type: object`, and the arguments below `properties:`", where=at.head)
    if faults:
        raise Refused
    return ArgumentsSchema(schema)


def _below(place: Place, step: str | int) -> Place | None:
    if isinstance(place.node, MappingNode):
        return place.entries().get(str(step))
    if isinstance(place.node, Sequence) and isinstance(step, int):
        return place.items()[step]
    return None


def check_tools(reading: SetReading, tools: Place | None, taken: Collection[str]) -> None:
    """Reports what is wrong with tools besides the form of each.

    Args:
        reading: knows what is taken as given.
        tools: the file's section, if there is one.
        taken: names of tools that there are anyway.

    """
    for name, place in _entries(tools).items():
        where = place.location(place.key_node or place.node)
        if name in taken:
            place.report(f"there is a tool {shown(name)} already", f"choose another, such as my_{name}", where=where)
        elif not NAME.fullmatch(name):
            hint = "use up to 64 letters, digits, _ and -, a letter first"
            place.report("is no name that every model takes", hint, where=where)
        http = _entries(place).get("http")
        url = _entries(http).get("url")
        if http is not None and find_spec("httpx") is None:
            http.report("the library httpx is not installed", install_hint("http"), where=http.head)
        if url is not None:
            _check_url(reading, url, _entries(place).get("parameters"))


def _entries(place: Place | None) -> dict[str, Place]:
    return place.entries() if place is not None and isinstance(place.node, MappingNode) else {}


def _check_url(reading: SetReading, place: Place, parameters: Place | None) -> None:
    try:
        text = str(place.moved(reading.trial()).text())
    except Refused:
        return
    if reading.unknown(place):
        return
    if fault := _url_fault(text):
        if "@" in text:
            place.conceal()  # it may hold a password
        place.report(*fault)
        return
    names = _items(_entries(parameters).get("required"))
    required = [one.node.text for one in names if isinstance(one.node, Scalar)]
    for argument in ARGUMENT.findall(text):
        if argument not in required:
            known = did_you_mean(argument, required, "required parameters")
            hint = known if required else "describe it under `parameters:`, and list it as required"
            place.report(f"{{{argument}}} is no parameter that the model must give", hint)


def _items(place: Place | None) -> list[Place]:
    return place.items() if place is not None and isinstance(place.node, Sequence) else []


def _url_fault(url: str) -> tuple[str, str] | None:
    """What is wrong with a URL, and what to do about it; quotes nothing of it."""
    try:
        parts = urlsplit(url)
        sound = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
        parts = urlsplit("")
    if not sound or not url.isprintable() or " " in url:
        return "is not an http:// or https:// address", "for example https://api.example.com/hours/{day}"
    if parts.username is not None or parts.password is not None:
        return "has a user or password in it", "put them into a header: `authorization: Basic ...`"
    if any(brace in parts.netloc for brace in "{}"):
        return "lets the model choose the server", "arguments can go into the path and the query only"
    if parts.fragment:
        return "has a part after # in it, which is never sent", "remove it"
    if any(brace in ARGUMENT.sub("", url) for brace in "{}"):
        return "has a brace that belongs to no {argument}", "write %7B and %7D for braces"
    return None
