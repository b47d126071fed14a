# ruff: noqa: INP001 - MkDocs finds hooks by their path, they are no package
"""Tables of what an operator may write and of what components and calls say, made from the classes themselves."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from voicepipe import Adapter, installed, installed_transports
from voicepipe.calls.caller_view import SHOWN
from voicepipe.calls.turns.rules import rules_table
from voicepipe.config.describe.docstrings import documented_fields, source_of
from voicepipe.config.describe.fields import describe
from voicepipe.config.resolved import ResolvedReference
from voicepipe.config.sections import LAYERED, Definition, Layer, PipelineSection
from voicepipe.roles import ROLES
from voicepipe.testing import transports
from voicepipe.testing.conformance import FAULTS, language_model, speech_to_text, text_to_speech

if TYPE_CHECKING:
    from voicepipe.config.describe.fields import DescribedField

Writer: TypeAlias = "Callable[[Any], str]"
"""How a default is written."""

KINDS: dict[Any, str] = {
    ResolvedReference: "reference",
    Mapping[str, Definition]: "mapping of names to references",
    Mapping[str, PipelineSection]: "mapping of names to pipelines",
    Path: "path",
    Path | None: "path",
    Mapping[str, Path]: "mapping of names to paths",
    Layer | None: "mapping of options",
    **{layer | None: f"mapping, as the file's `{name}`" for name, (layer, _) in LAYERED.items()},
}
"""What only the files of pipeline sets and of the engine have for values."""


def field_table(name: str) -> str:
    """A table of a class's fields as keys of the YAML; `name` is `module:Class`."""
    module, _, cls = name.partition(":")
    return _keys(getattr(import_module(module), cls))


def adapter_tables(name: str) -> str:
    """A section for each role of an adapter, in the order in which a caller's words pass them."""
    parts = []
    for role in ROLES:
        adapter = installed().get(role, name)
        if adapter is not None:
            about = (adapter.options.__doc__ or "").strip()
            parts += [f"### `{name}` ({role})", about, _keys(adapter.options)]
    return "\n\n".join(parts)


def transport_tables(_: str = "") -> str:
    """A section for each transport, with its options as keys of a listener."""
    parts = []
    for transport in installed_transports():
        about = paragraphs(transport.options.__doc__ or "")
        parts += [f"### `{transport.name}`", *about, _keys(transport.options)]
    return "\n\n".join(parts)


def shown_events(_: str = "") -> str:
    """The rows of a table of the events that a transport may show its caller."""
    rows = [f"| `{name}` | {', '.join(f'`{field}`' for field in fields)} |" for name, fields in SHOWN.values()]
    return "\n".join(rows)


def adapter_links(_: str = "") -> str:
    """A table of all adapters, each with its page and what it does in each of its roles."""
    rows = []
    for name in installed().names():
        adapters = [adapter for role in ROLES if (adapter := installed().get(role, name)) is not None]
        roles = ", ".join(f"`{adapter.role}`" for adapter in adapters)
        about = " ".join(describe(adapter.options).summary for adapter in adapters)
        rows.append(f"| [`{name}`](adapters/{name}.md) | {roles} | {_cell(about)} |")
    return "\n".join(["| adapter | roles | its options |", "| --- | --- | --- |", *rows])


def kit_checks(role: str) -> str:
    """A section for each check that the conformance kit makes of adapters of a role, without those of faults."""
    if role == "transport":
        kit: Any = transports.transport(next(iter(installed_transports())), None, connect=lambda _: nullcontext())  # type: ignore[arg-type,return-value]
        return "\n\n".join(part for check in kit.checks for part in (f"### `{check.name}`", *check.means.split("\n\n")))
    adapter: Any = Adapter(name="any", role=role, options=object, open=lambda _options, _resources: nullcontext())  # type: ignore[arg-type]
    kit = {"stt": speech_to_text, "llm": language_model, "tts": text_to_speech}[role](adapter, None)
    checks = [check for check in kit.checks if check.name != "other_faults_are_noticed"]
    return "\n\n".join(part for check in checks for part in (f"### `{check.name}`", *check.means.split("\n\n")))


def kit_faults(_: str = "") -> str:
    """A table of the faults that the kit knows."""
    rows = []
    for kind, fault in FAULTS.items():
        must = [] if fault.retryable is None else [f"`retryable` {str(fault.retryable).lower()}"]
        must += ["a `hint`"] * fault.hinted + ["`retry_after_s`"] * fault.waits
        must += ['or `ReplyDone("empty")`, or empty finals'] * fault.may_be_empty
        rows.append(f"| `{kind}` | {fault.happens} | `{fault.check}` | {', '.join(must)} |")
    return "\n".join(["| kind | what happens | check | the error has |", "| --- | --- | --- | --- |", *rows])


def module_tables(module: str) -> str:
    """A section for each public class of a module that says something, with its fields."""
    parts = []
    for cls in _classes_of(module):
        parts += [f"### `{cls.__name__}`", *paragraphs(cls.__doc__ or ""), developer_table(cls)]
    return "\n\n".join(part for part in parts if part)


def turns_table() -> str:
    """The rules of turn-taking, the phases of one rule in one row."""
    rows: dict[tuple[str, str], list[str]] = {}
    for line in rules_table().splitlines()[2:]:
        phase, when, then = line.strip("|").split(" | ")
        rows.setdefault((when.strip(), then.strip()), []).append(phase.strip())
    body = [f"| {', '.join(phases)} | {when} | {then} |" for (when, then), phases in rows.items()]
    return "\n".join(["| while | when | then |", "| --- | --- | --- |", *body])


def developer_table(cls: type) -> str:
    """A table of an attrs class's public fields with their types as written; empty if it has none."""
    public = [one for one in attrs.fields(cls) if not one.name.startswith("_")] if attrs.has(cls) else []
    if not public:
        return ""
    fields = documented_fields(cls)
    rows = [
        f"| `{field.name}` | {_code(documented.annotation)} | {_default(field, _code)} | {_cell(documented.doc)} |"
        for field, documented in ((field, fields[field.name]) for field in public)
    ]
    return "\n".join(["| field | type | default | meaning |", "| --- | --- | --- | --- |", *rows])


def paragraphs(doc: str) -> list[str]:
    """A docstring's paragraphs."""
    return [re.sub(r"\s+", " ", text).strip() for text in doc.split("\n\n") if text.strip()]


def _keys(cls: type) -> str:
    fields = describe(cls).fields
    if not fields:
        return "It has no options."
    rows = [f"| `{one.name}` | {_kind(one)} | {_default_of(one)} | {_cell(one.doc)} |" for one in fields]
    return "\n".join(["| key | value | default | meaning |", "| --- | --- | --- | --- |", *rows])


def _kind(one: DescribedField) -> str:
    if one.type in KINDS:
        return KINDS[one.type]
    keys = [f"`{inner.name}`" for inner in one.section.fields] if one.section else []
    inside = f": {', '.join(keys)}" if keys else ""
    bounds = f", {one.bounds}" if str(one.bounds) and not one.bounds.choices else ""
    return f"{one.kind}{inside}{bounds}"


def _default_of(one: DescribedField) -> str:
    return "**required**" if one.required else _yaml(one.default)


def _default(one: Any, write: Writer) -> str:
    if one.default is attrs.NOTHING:
        return ""
    if isinstance(one.default, attrs.Factory):  # type: ignore[arg-type]
        return "as given" if one.default.takes_self else write(one.default.factory())
    return write(one.default)


def _classes_of(module: str) -> tuple[type, ...]:
    """The public classes that a module defines, in its order."""
    found = import_module(module)
    names = [node.name for node in source_of(module).body if isinstance(node, ast.ClassDef)]
    return tuple(getattr(found, name) for name in names if not name.startswith("_"))


def _code(value: Any) -> str:
    text = value if isinstance(value, str) and value else default_code(value)
    return f"`{text}`"


LONGEST_DEFAULT = 60
"""How long a default may be that a signature or a table shows in full."""


def default_code(value: Any) -> str:
    """A default as code; what has no name and no short form is `...`, as in stubs."""
    if callable(value):
        name = getattr(value, "__qualname__", "...")
        return "..." if "<" in name else name
    text = repr(value)
    if len(text) > LONGEST_DEFAULT:
        return "..."
    return f"{type(value).__qualname__}(...)" if " at 0x" in text else text


def _yaml(value: Any) -> str:
    """A default as one would write it."""
    if value is None or value == "":
        return "none"
    if attrs.has(type(value)):
        return "as below"
    if isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, tuple):
        text = f"[{', '.join(value)}]"
        if len(text) > LONGEST_DEFAULT:
            first = text[: text.rindex(",", 0, LONGEST_DEFAULT)]
            return f"{len(value)} values, which `voicepipe explain` shows: `{first}, ...]`"
    else:
        text = f"{value:g}" if isinstance(value, float) else str(value)
    return f"`{text}`"


def _cell(doc: str) -> str:
    """Text for a table's cell: one line, bars escaped, save in code."""
    line = re.sub(r"\s+", " ", doc)
    return re.sub(r"(`[^`]*`)|\|", lambda match: match[1] or r"\|", line)
