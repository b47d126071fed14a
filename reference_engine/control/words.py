"""What the engine answered, in words for a terminal."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from voicepipe import Location, Problem, format_problems

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_CHANGES = (
    ("added", "pipelines added"),
    ("changed", "pipelines changed"),
    ("removed", "pipelines removed"),
    ("opened", "components opened"),
    ("kept", "components kept"),
    ("closed", "components that close with their last call"),
)


def describe_reload(body: Mapping[str, Any], *, colour: bool = False) -> str:
    """What a reload came to: what changed, or every problem with its place."""
    match body["outcome"]:
        case "applied":
            return _describe_applied(body, colour=colour)
        case "unchanged":
            return f"{body['set']}: unchanged, version {body['version']} serves on; nothing was reopened\n"
        case _:
            errors = body["errors"]
            head = f"{body['set']}: rejected ({_count(len(errors), 'problem')}), version {body['serving_version']} "
            return f"{head}serves on\n\n{_problems(errors, colour=colour)}"


def _describe_applied(body: Mapping[str, Any], *, colour: bool) -> str:
    plan = body["plan"]
    lines = [f"{body['set']}: version {body['version']} serves, from the next call on ({body['seconds']:.2f} s)"]
    active, was = plan["active"], plan["was_active"]
    lines.append(f"  active pipeline: {active}" if was in {"", active} else f"  active pipeline: {was} -> {active}")
    lines += [f"  {title}: {', '.join(plan[what])}" for what, title in _CHANGES if plan[what]]
    if plan["degraded"]:
        lines += ["  degraded, could not be opened:", "", _problems(plan["degraded"], colour=colour).rstrip()]
    return "\n".join(lines) + "\n"


def describe_sets(sets: Sequence[Mapping[str, Any]]) -> str:
    """A line for each version that serves or has calls, and how the last reload of each set went."""
    rows = [("SET", "VERSION", "STATE", "CALLS", "ACTIVE PIPELINE", "SINCE")]
    notes = []
    for body in sets:
        for version in body["versions"]:
            if version["state"] != "retired":
                calls, number = str(version["calls"]), str(version["version"])
                since = _local(version["applied_at"])
                rows.append((body["set"], number, version["state"], calls, version["active_pipeline"], since))
        if last := body["last_attempt"]:
            errors = f", {_count(len(last['errors']), 'problem')}" if "errors" in last else ""
            notes.append(f"{body['set']}: last reload {last['outcome']}{errors}, {_local(last['at'])}")
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return "\n".join([*lines, *([""] if notes else []), *notes]) + "\n"


def _problems(errors: Sequence[Mapping[str, Any]], *, colour: bool) -> str:
    return format_problems(
        [
            Problem(
                where=Location(error["file"], error["line"], error["column"]),
                path=error["path"],
                message=error["message"],
                hint=error["hint"],
            )
            for error in errors
        ],
        colour=colour,
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _local(moment: str) -> str:
    return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S")
