"""`voicepipe components`: what is installed, and the options of each."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import TYPE_CHECKING

import attrs
import yaml

from voicepipe.components.labels import ROLES
from voicepipe.components.registry import installed
from voicepipe.config.describe.fields import as_data
from voicepipe.config.describe.installed import InstalledComponent, installed_components
from voicepipe.documents import did_you_mean, shown

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction
    from collections.abc import Iterable, Iterator

    from voicepipe.config.describe.fields import DescribedField

_DESCRIPTION = """\
Lists the components that pipelines can use, by role. With a name, describes the component's options: types, units,
bounds, defaults, and an example.
"""

_EXAMPLES = """\
examples:
  voicepipe components
  voicepipe components espeak
  voicepipe components --format json | jq '.components[] | {role, name, package}'

exit status: 0 success, 1 no component of that name is installed, 2 wrong usage
"""

_ROLES = {"stt": "speech-to-text", "llm": "language model", "tts": "text-to-speech"}
_WIDEST = 100
_NO_MORE = "\n...\n"
"""What PyYAML puts after a scalar that stands alone."""


def add_to(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Describes the subcommand."""
    parser = commands.add_parser(
        "components",
        help="list the installed components, or show the options of one",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="the component's name, as after `type:`")
    parser.add_argument("--format", choices=["text", "json"], default="text", help="default: text")
    parser.set_defaults(run=run)


def run(arguments: Namespace) -> int:
    """Shows all components or those of one name; returns the exit status."""
    every = installed_components()
    entries = [one for one in every if arguments.name in {None, one.name}]
    if broken := [one for one in installed().broken if one.name == arguments.name]:
        for one in broken:
            sys.stderr.write(f"{one.message}\n  hint: {one.hint}\n")
        if not entries:
            return 1
    elif arguments.name is not None and not entries:
        names = sorted({one.name for one in every})
        hint = did_you_mean(arguments.name, names, "installed")
        sys.stderr.write(f"no component named {shown(arguments.name)}\n  hint: {hint}\n")
        return 1
    if arguments.format == "json":
        text = json.dumps({"components": [one.as_data() for one in entries]}, indent=2, ensure_ascii=False)
    else:
        text = _listed(entries) if arguments.name is None else "\n\n".join("\n".join(_told(one)) for one in entries)
    sys.stdout.write(text + "\n")
    return 0


def _listed(entries: list[InstalledComponent]) -> str:
    """All in short, by role."""
    width = max((len(one.name) for one in entries), default=0)
    parts = []
    for role in ROLES:
        lines = [f"{role}: {_ROLES[role]}"]
        for one in entries:
            if one.role == role:
                lines += _wrapped(f"{one.described.summary} ({_origin(one)})", f"  {one.name:{width}}  ")
        parts.append("\n".join(lines if len(lines) > 1 else [*lines, "  none is installed"]))
    if broken := installed().broken:
        lines = [line for one in broken for line in _wrapped(f"{one.name} ({one.role}): {one.reason}", "  ")]
        parts.append("\n".join(["can't be used:", *lines]))
    return "\n\n".join([*parts, "Options and an example of one: voicepipe components NAME"])


def _told(entry: InstalledComponent) -> Iterator[str]:
    """One in full."""
    yield f"{entry.name}: {_ROLES[entry.role]} ({entry.role}), {_origin(entry)}"
    for paragraph in entry.described.doc.splitlines():
        yield from _wrapped(paragraph, "  ")
    yield ""
    yield "options:" if entry.described.fields else "It has no options."
    yield from _options(entry.described.fields, "")
    yield ""
    yield "example, in a pipeline:"
    yield textwrap.indent(entry.example.rstrip(), "  ")


def _options(fields: Iterable[DescribedField], above: str) -> Iterator[str]:
    for one in fields:
        unit = f" ({one.unit})" if one.unit else ""
        bounds = f", {one.bounds}" if str(one.bounds) else ""
        yield from _wrapped(f"{one.kind}{unit}{bounds}; {_default(one)}", f"  {above}{one.name}: ")
        for paragraph in one.doc.splitlines():
            yield from _wrapped(paragraph, "      ")
        if section := one.section:
            yield from _options(section.fields, f"{above}{one.name}.")


def _default(one: DescribedField) -> str:
    if one.required:
        return "required"
    if attrs.has(type(one.default)):
        return "defaults as below"
    written = yaml.safe_dump(as_data(one.default), default_flow_style=True, allow_unicode=True, width=_WIDEST)
    return f"default {written.removesuffix(_NO_MORE)}".rstrip()


def _origin(entry: InstalledComponent) -> str:
    return f"from {entry.package} {entry.version}" if entry.package else "from no package"


def _wrapped(text: str, head: str) -> list[str]:
    """Text in lines that fit the terminal: the first begins with the head, the others are as far in."""
    width = min(shutil.get_terminal_size().columns, _WIDEST)
    indent = " " * min(len(head), 16)
    return textwrap.wrap(text, max(width, 40), initial_indent=head, subsequent_indent=indent, break_long_words=False)
