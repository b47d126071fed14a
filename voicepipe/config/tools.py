"""Reads and checks the tools of a configuration; `voicepipe.tools.settings` has their options."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from voicepipe.components.distribution import install_hint
from voicepipe.components.templates import NAMES, is_name
from voicepipe.config.reading import config_context
from voicepipe.config.set_context import set_context
from voicepipe.config.texts import VALUES, check_text, faults_in
from voicepipe.documents import Cursor, Refused, did_you_mean, entries_of, items_of, shown
from voicepipe.documents.nodes import MappingNode, ScalarNode, SequenceNode
from voicepipe.tools.schemas import schema_faults
from voicepipe.tools.settings import ARGUMENT, NAME, ArgumentsSchema


def read_tool_name(cursor: Cursor, _: Any) -> Any:
    """Returns the name of a known tool."""
    text, known = cursor.text(), set_context(cursor).tools
    if text not in known:
        cursor.refuse(f"there is no tool {cursor.given}", did_you_mean(text, known, "tools"))
    return str(text)


def read_arguments_schema(cursor: Cursor, _: Any) -> ArgumentsSchema:
    """Returns the JSON Schema of a tool's arguments."""
    schema: dict[str, Any] = cursor.read(Mapping[str, Any])
    faults = schema_faults(schema)
    for path, fault in faults:
        at = cursor
        for step in path:
            at = _below(at, step) or at
        message = config_context(cursor).secrets.conceal(fault)
        if path:
            at.report(message, "see json-schema.org/understanding-json-schema")
        else:
            at.report(message, "write `type: object`, and the arguments below `properties:`", where=at.head)
    if faults:
        raise Refused
    return ArgumentsSchema(schema)


def _below(cursor: Cursor, step: str | int) -> Cursor | None:
    if isinstance(cursor.node, MappingNode):
        return cursor.entries().get(str(step))
    if isinstance(cursor.node, SequenceNode) and isinstance(step, int):
        return cursor.items()[step]
    return None


def check_tools(tools: Cursor | None, taken: Collection[str]) -> None:
    """Reports problems of tools that their types don't show.

    Args:
        tools: the file's section, if there is one.
        taken: names of the tools that exist already.

    """
    for name, cursor in entries_of(tools).items():
        where = cursor.key_where
        if name in taken:
            cursor.report(
                f"a tool {shown(name)} exists already", f"choose another name, such as my_{name}", where=where
            )
        elif not NAME.fullmatch(name):
            hint = "use up to 64 letters, digits, _ and -, beginning with a letter"
            cursor.report("is not a tool name that every model accepts", hint, where=where)
        http = entries_of(cursor).get("http")
        url = entries_of(http).get("url")
        if http is not None and find_spec("httpx") is None:
            http.report("the library httpx is not installed", install_hint("http"), where=http.head)
        parameters = entries_of(cursor).get("parameters")
        if url is not None:
            _check_url(url, parameters, entries_of(entries_of(http).get("arguments")))
        _check_values(http, parameters)


def _check_values(http: Cursor | None, parameters: Cursor | None) -> None:
    """Reports mistakes in the texts of a request that may have values of the call."""
    described = entries_of(entries_of(parameters).get("properties"))
    for name, argument in entries_of(entries_of(http).get("arguments")).items():
        if name in described:
            hint = "remove it here or there: only one of them can be sent"
            argument.report("is an argument that the model gives", hint, where=argument.key_where)
    for key in ("arguments", "query"):
        for cursor in entries_of(entries_of(http).get(key)).values():
            check_text(cursor)
    for cursor in entries_of(entries_of(http).get("headers")).values():
        node = cursor.node
        if isinstance(node, ScalarNode) and any(True for _ in faults_in(node.text)):  # it may be a key: no word of it
            cursor.report("has a name in braces that stands for no value", VALUES)


def _check_url(cursor: Cursor, parameters: Cursor | None, own: Mapping[str, Cursor]) -> None:
    try:
        text = str(cursor.trial().text())
    except Refused:
        return
    if cursor.unknown:
        return
    if fault := _url_fault(text):
        if "@" in text:
            cursor.conceal()  # it may hold a password
        cursor.report(*fault)
        return
    names = items_of(entries_of(parameters).get("required"))
    required = [name.node.text for name in names if isinstance(name.node, ScalarNode)]
    described = entries_of(entries_of(parameters).get("properties"))
    for argument in ARGUMENT.findall(text):
        is_value = argument in own or (is_name(argument) and argument not in described)
        if argument not in required and not is_value:
            known = did_you_mean(argument, [*required, *NAMES, "variables.NAME"], "required parameters and values")
            hint = f"describe it in `parameters:`, and add it to `required`; {known}"
            cursor.report(f"{{{argument}}} is not a required parameter", hint)


def _url_fault(url: str) -> tuple[str, str] | None:
    """Returns a message and a hint for a malformed URL, without quoting it; None if it is valid."""
    try:
        parts = urlsplit(url)
        sound = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
        parts = urlsplit("")
    if not sound or not url.isprintable() or " " in url:
        return "is not an http:// or https:// address", "for example https://api.example.com/hours/{day}"
    if parts.username is not None or parts.password is not None:
        return "contains a user name or password", "put them into a header: `authorization: Basic ...`"
    if any(brace in parts.netloc for brace in "{}"):
        return "has an argument in the host name", "use arguments in the path and the query only"
    if parts.fragment:
        return "contains a fragment (#...), which is never sent", "remove it"
    if any(brace in ARGUMENT.sub("", url) for brace in "{}"):
        return "contains a brace that is not part of an {argument}", "write %7B and %7D for braces"
    return None
