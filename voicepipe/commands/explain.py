"""`voicepipe explain`: shows the pipeline that a call would get, the reason, and the origin of each setting."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from voicepipe.commands.columns import in_columns
from voicepipe.commands.tools import add_tools_to, tools_of
from voicepipe.components.requests import CallInfo
from voicepipe.config.describe.provenance import PipelineProvenance, Setting, as_data, place_as_data, provenance_of
from voicepipe.config.load import load_with_places
from voicepipe.config.report import format_json, format_problems
from voicepipe.config.timezones import zone_of
from voicepipe.documents import shown
from voicepipe.errors import ConfigError, Location
from voicepipe.pipelines.routing import Choice, choose, compare

if TYPE_CHECKING:
    from argparse import _SubParsersAction
    from collections.abc import Iterator
    from zoneinfo import ZoneInfo

    from voicepipe.config.settings import SetConfig

EX_CONFIG = 78
"""The exit status for an invalid configuration file, as in BSD's sysexits.h."""

_DESCRIPTION = """\
Shows which pipeline a call would get: the routes that are tried, in order, and why each matches or not; then all
effective settings of that pipeline, each with the line that it comes from. Secrets are shown as they are written in
the file. No component is opened and no connection is made.
"""

_EXAMPLES = """\
examples:
  voicepipe explain config/ai-agent.yaml
  voicepipe explain config/ai-agent.yaml --called +18005550100 --caller +15550123
  voicepipe explain config/ai-agent.yaml --called 100 --variable vip=1 --format json | jq .pipeline
  voicepipe explain config/ai-agent.yaml --at 2026-12-24T18:00

exit status: 0 success, 78 the file is invalid (see `voicepipe check`), 2 wrong usage, 1 any other error
"""


def add_to(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Describes the subcommand."""
    parser = commands.add_parser(
        "explain",
        help="show which pipeline a call would get, and why",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="a pipeline set's YAML file")
    parser.add_argument("--called", default="", metavar="NUMBER", help="the number that was dialled")
    parser.add_argument("--caller", default="", metavar="NUMBER", help="the caller's number")
    parser.add_argument(
        "--listener", default="", metavar="NAME", help="the name of the listener that the call arrives at"
    )
    parser.add_argument(
        "--variable",
        "--var",
        action="append",
        default=[],
        type=_variable,
        metavar="NAME=VALUE",
        help="a variable of the call; may be repeated",
    )
    parser.add_argument(
        "--at",
        type=_moment,
        metavar="TIME",
        help="when the call comes, such as 2026-12-24T18:00 in the file's time zone, or with an offset: "
        "2026-12-24T18:00+01:00; default: now",
    )
    parser.add_argument("--format", choices=["text", "json"], default="text", help="default: text")
    add_tools_to(parser)
    parser.set_defaults(run=run)


def run(arguments: Namespace) -> int:
    """Shows the pipeline of a call; returns the exit status."""
    info = CallInfo(
        called=arguments.called,
        caller=arguments.caller,
        listener=arguments.listener,
        variables=dict(arguments.variable),
    )
    as_json = arguments.format == "json"
    try:
        placed = load_with_places(arguments.file, tools=tools_of(arguments))
    except ConfigError as error:
        sys.stdout.write(format_json(error.problems) + "\n" if as_json else format_problems(error.problems))
        return EX_CONFIG
    zone = zone_of(str(placed.file.timezone))
    at = datetime.now(zone) if arguments.at is None else _in_zone(arguments.at, zone)
    choice = choose(placed.config, info, at)
    tried = tuple(_tried(placed.config, choice, info, at))
    time_matters = arguments.at is not None or any(route.when.tells_time for route in placed.config.routes)
    explained = _Explained(info, at, time_matters, choice, tried, provenance_of(placed, choice.pipeline))
    sys.stdout.write(_json(explained) if as_json else "\n".join(_text(explained)) + "\n")
    return 0


@frozen
class _Tried:
    """A route that was compared with the call."""

    path: str
    where: Location
    matches: bool
    reason: str


@frozen
class _Explained:
    """The explanation, as text and JSON are made from it."""

    info: CallInfo
    at: datetime
    time_matters: bool
    choice: Choice
    routes: tuple[_Tried, ...]
    pipeline: PipelineProvenance


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ArgumentTypeError(f"expected NAME=VALUE, got {text!r}")
    return name, value


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"expected a time such as 2026-12-24T18:00, got {text!r}") from None


def _in_zone(moment: datetime, zone: ZoneInfo) -> datetime:
    """Returns a moment on a zone's wall clock; one without an offset is a time on that clock.

    A time that the clock shows twice is the first of the two; one that it leaves out is moved on by the missing hour.
    """
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC).astimezone(zone)


def _tried(config: SetConfig, choice: Choice, info: CallInfo, at: datetime) -> Iterator[_Tried]:
    for index, route in enumerate(config.routes[: None if choice.route is None else choice.route + 1]):
        if matched := index == choice.route:
            reason = choice.reason
        else:
            reason = "; ".join(str(compared) for compared in compare(route.when, info, at) if compared.matched is None)
        yield _Tried(f"routes[{index}]", route.where, matched, reason)


def _text(explained: _Explained) -> Iterator[str]:
    choice, pipeline = explained.choice, explained.pipeline
    by = explained.routes[-1].path if choice.route is not None else "active_pipeline"
    yield f"pipeline {choice.pipeline} ({pipeline.where}), by {by}: {choice.reason}"
    if explained.time_matters:
        zone = getattr(explained.at.tzinfo, "key", "")
        yield f"at {explained.at:%a %Y-%m-%d %H:%M} in {zone} ({explained.at.isoformat(timespec='minutes')})"
    if explained.routes:
        yield "\nroutes, in order:"
        yield from in_columns(
            [
                (route.path, str(route.where), f"{'yes' if route.matches else 'no'}: {route.reason}")
                for route in explained.routes
            ]
        )
    for component in pipeline.components:
        settings = component.settings
        adapter = "" if settings.name == settings.adapter else f", adapter {settings.adapter}"
        yield f"\n{settings.role} {settings.name}{adapter} ({settings.where})"
        yield from in_columns([_row(option) for option in component.options])
    yield "\nsettings:"
    yield from in_columns([_row(setting) for setting in pipeline.settings])


def _row(setting: Setting) -> tuple[str, ...]:
    place = f"{setting.where}  {setting.source}" if setting.where else "default"
    return setting.path, _brief(setting.value), place


def _brief(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return shown(value, 50) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _json(explained: _Explained) -> str:
    choice, info, pipeline = explained.choice, explained.info, explained.pipeline
    data = {
        "call": {
            "called": info.called,
            "caller": info.caller,
            "listener": info.listener,
            "variables": info.variables,
            "at": explained.at.isoformat(timespec="seconds"),
        },
        "pipeline": choice.pipeline,
        **place_as_data(pipeline.where),
        "route": choice.route,
        "reason": choice.reason,
        "routes": [
            {"path": route.path, "matches": route.matches, "reason": route.reason, **place_as_data(route.where)}
            for route in explained.routes
        ],
        **as_data(pipeline),
    }
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
