"""`voicepipe components`: lists the installed components, and describes their options."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

import attrs
import yaml

from voicepipe.components.registry import BrokenAdapter, installed
from voicepipe.config.describe.fields import as_data, describe
from voicepipe.config.describe.installed import InstalledComponent, installed_components
from voicepipe.documents import did_you_mean, shown
from voicepipe.transports.registry import GROUP, BrokenTransport, installed_transports

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction
    from collections.abc import Iterable, Iterator

    from voicepipe.config.describe.fields import DescribedField

_DESCRIPTION = """\
Lists the components that pipelines can use, by role, and the transports that listeners can be of. With a name,
describes its options: types, units, bounds, defaults, and an example.
"""

_EXAMPLES = """\
examples:
  voicepipe components
  voicepipe components espeak
  voicepipe components --format json | jq '.components[] | {role, name, package}'

exit status: 0 success, 1 no component of that name is installed, 2 wrong usage
"""

_ROLES = {
    "stt": "speech-to-text",
    "llm": "language model",
    "tts": "text-to-speech",
    "transport": "for the listeners of an engine's file",
}
_WIDEST = 100
_NO_MORE = "\n...\n"
"""The end that PyYAML writes after a single scalar."""


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
    components = (*installed_components(), *_transports())
    entries = [component for component in components if arguments.name in {None, component.name}]
    if broken := [broken for broken in _broken() if broken.name == arguments.name]:
        for fault in broken:
            sys.stderr.write(f"{fault.message}\n  hint: {fault.hint}\n")
        if not entries:
            return 1
    elif arguments.name is not None and not entries:
        names = sorted({component.name for component in components})
        hint = did_you_mean(arguments.name, names, "installed")
        sys.stderr.write(f"no component named {shown(arguments.name)}\n  hint: {hint}\n")
        return 1
    if arguments.format == "json":
        text = json.dumps({"components": [entry.as_data() for entry in entries]}, indent=2, ensure_ascii=False)
    else:
        text = (
            _listed(entries) if arguments.name is None else "\n\n".join("\n".join(_in_full(entry)) for entry in entries)
        )
    sys.stdout.write(text + "\n")
    return 0


def _transports() -> Iterator[InstalledComponent]:
    """Yields the installed transports, by name."""
    packages = {point.name: point.dist for point in entry_points(group=GROUP)}
    for name in installed_transports().names():
        transport, package = installed_transports().get(name), packages.get(name)
        if transport is not None:
            distribution, version = (package.name, package.version) if package is not None else (None, None)
            yield InstalledComponent("transport", name, distribution, version, describe(transport.options))


def _broken() -> tuple[BrokenAdapter | BrokenTransport, ...]:
    return (*installed().broken, *installed_transports().broken)


def _role_of(fault: BrokenAdapter | BrokenTransport) -> str:
    return fault.role if isinstance(fault, BrokenAdapter) else "transport"


def _listed(entries: list[InstalledComponent]) -> str:
    """Returns a list of all components, by role."""
    width = max((len(entry.name) for entry in entries), default=0)
    parts = []
    for role, meaning in _ROLES.items():
        lines = [f"{role}: {meaning}"]
        for entry in entries:
            if entry.role == role:
                lines += _wrapped(f"{entry.described.summary} ({_origin(entry)})", f"  {entry.name:{width}}  ")
        parts.append("\n".join(lines if len(lines) > 1 else [*lines, "  none is installed"]))
    if broken := _broken():
        lines = [
            line for fault in broken for line in _wrapped(f"{fault.name} ({_role_of(fault)}): {fault.reason}", "  ")
        ]
        parts.append("\n".join(["can't be used:", *lines]))
    return "\n\n".join([*parts, "Options and an example of one: voicepipe components NAME"])


def _in_full(entry: InstalledComponent) -> Iterator[str]:
    """Yields the lines that describe a component in full."""
    yield f"{entry.name}: {_ROLES[entry.role]} ({entry.role}), {_origin(entry)}"
    for paragraph in entry.described.doc.splitlines():
        yield from _wrapped(paragraph, "  ")
    yield ""
    yield "options:" if entry.described.fields else "It has no options."
    yield from _options(entry.described.fields, "")
    yield ""
    yield "example, in an engine's file:" if entry.role == "transport" else "example, in a pipeline:"
    yield textwrap.indent(entry.example.rstrip(), "  ")


def _options(fields: Iterable[DescribedField], above: str) -> Iterator[str]:
    for option in fields:
        unit = f" ({option.unit})" if option.unit else ""
        bounds = f", {option.bounds}" if str(option.bounds) else ""
        yield from _wrapped(f"{option.kind}{unit}{bounds}; {_default(option)}", f"  {above}{option.name}: ")
        for paragraph in option.doc.splitlines():
            yield from _wrapped(paragraph, "      ")
        if section := option.section:
            yield from _options(section.fields, f"{above}{option.name}.")


def _default(option: DescribedField) -> str:
    if option.required:
        return "required"
    if attrs.has(type(option.default)):
        return "defaults as below"
    written = yaml.safe_dump(as_data(option.default), default_flow_style=True, allow_unicode=True, width=_WIDEST)
    return f"default {written.removesuffix(_NO_MORE)}".rstrip()


def _origin(entry: InstalledComponent) -> str:
    return f"from {entry.package} {entry.version}" if entry.package else "from no package"


def _wrapped(text: str, head: str) -> list[str]:
    """Returns a text in lines that fit the terminal: the first begins with `head`, the others are indented."""
    width = min(shutil.get_terminal_size().columns, _WIDEST)
    indent = " " * min(len(head), 16)
    return textwrap.wrap(text, max(width, 40), initial_indent=head, subsequent_indent=indent, break_long_words=False)
