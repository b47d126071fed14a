"""How tools of a configuration are read and checked; `voicepipe.tools.settings` has what they may say."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from voicepipe.components.distribution import install_hint
from voicepipe.config.reading import set_context
from voicepipe.documents import Cursor, Refused, did_you_mean, shown
from voicepipe.documents.nodes import Mapping as MappingNode
from voicepipe.documents.nodes import Scalar, Sequence
from voicepipe.tools.schemas import schema_faults
from voicepipe.tools.settings import ARGUMENT, NAME, ArgumentsSchema

if TYPE_CHECKING:
    from voicepipe.config.reading import SetContext


def schema_hook(place: Cursor, _: Any) -> ArgumentsSchema:
    """The schema of a tool's arguments, if it is one."""
    schema: dict[str, Any] = place.reading.structure(place, Mapping[str, Any])
    faults = schema_faults(schema)
    for path, fault in faults:
        at = place
        for step in path:
            at = _below(at, step) or at
        message = set_context(place).secrets.conceal(fault)
        if path:
            at.report(message, "json-schema.org/understanding-json-schema has all of it")
        else:
            at.report(message, "write `type: object`, and the arguments below `properties:`", where=at.head)
    if faults:
        raise Refused
    return ArgumentsSchema(schema)


def _below(place: Cursor, step: str | int) -> Cursor | None:
    if isinstance(place.node, MappingNode):
        return place.entries().get(str(step))
    if isinstance(place.node, Sequence) and isinstance(step, int):
        return place.items()[step]
    return None


def check_tools(reading: SetContext, tools: Cursor | None, taken: Collection[str]) -> None:
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


def _entries(place: Cursor | None) -> dict[str, Cursor]:
    return place.entries() if place is not None and isinstance(place.node, MappingNode) else {}


def _check_url(reading: SetContext, place: Cursor, parameters: Cursor | None) -> None:
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


def _items(place: Cursor | None) -> list[Cursor]:
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
