"""Formats the engine's answers for a terminal."""

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
    ("secrets_changed", "secrets changed"),
    ("settings", "settings changed"),
    ("unserved", "changed, but no call gets them (see active_pipeline, routes and selectable)"),
)


_TRIED = "components opened, or tried again until they are"
"""What the plan's `opened` are while some of them could not be opened; which, the problems above say."""


def describe_reload(body: Mapping[str, Any], *, colour: bool = False) -> str:
    """Returns the outcome of a reload as text: for the engine's file and each set, the changes or all problems."""
    engine = [_describe_engine(body["engine"], colour=colour)] if "engine" in body else []
    sets = body.get("sets", [body])
    alone = len(sets) == 1 and "engine" in body  # then `errors` has those of the engine's file too
    return "\n".join(
        [*engine, *(_describe_set(outcome, body["engine"] if alone else {}, colour=colour) for outcome in sets)]
    )


def _describe_engine(body: Mapping[str, Any], *, colour: bool) -> str:
    match body["outcome"]:
        case "applied":
            return f"the engine's file: {body['summary']}\n"
        case "unchanged":
            return "the engine's file: unchanged\n"
        case _:
            errors = body["errors"]
            head = f"the engine's file: rejected ({_count(len(errors), 'problem')}), nothing of it changed"
            return f"{head}\n\n{_problems(errors, colour=colour)}"


def _describe_set(body: Mapping[str, Any], engine: Mapping[str, Any], *, colour: bool) -> str:
    match body["outcome"]:
        case "applied":
            return _describe_applied(body, colour=colour)
        case "unchanged":
            gone_back = f" (rolled back to {body['rolled_back_to']})" if "rolled_back_to" in body else ""
            head = f"{body['set']}: unchanged{gone_back}, version {body['version']} serves on; nothing was reopened\n"
            degraded = body.get("degraded")
            return f"{head}\n{_degraded(degraded, colour=colour)}\n" if degraded else head
        case _:
            errors = body["errors"][len(engine.get("errors", ())) :]
            serving = body["serving_version"]
            serves = "it has never served" if serving is None else f"version {serving} serves on"
            outcome = f"rollback to {body['rolled_back_to']} rejected" if "rolled_back_to" in body else "rejected"
            head = f"{body['set']}: {outcome} ({_count(len(errors), 'problem')}), {serves}"
            return f"{head}\n\n{_problems(errors, colour=colour)}"


def _describe_applied(body: Mapping[str, Any], *, colour: bool) -> str:
    plan = body["plan"]
    gone_back = f" as {body['rolled_back_to']} did" if "rolled_back_to" in body else ""
    seconds = f"({body['seconds']:.2f} s)"
    lines = [f"{body['set']}: version {body['version']} serves{gone_back}, from the next call on {seconds}"]
    active, was = plan["active"], plan["was_active"]
    lines.append(f"  active pipeline: {active}" if was in {"", active} else f"  active pipeline: {was} -> {active}")
    changes = [
        (title if not (what == "opened" and plan["degraded"]) else _TRIED, plan[what]) for what, title in _CHANGES
    ]
    lines += [f"  {title}: {', '.join(names)}" for title, names in changes if names]
    if plan["degraded"]:
        lines.insert(1, f"{_degraded(plan['degraded'], colour=colour)}\n")
    return "\n".join(lines) + "\n"


def _degraded(problems: Sequence[Mapping[str, Any]], *, colour: bool) -> str:
    """Returns the components and apologies that a version lacks, as problems."""
    return f"  degraded, and tried again until it is there:\n\n{_problems(problems, colour=colour).rstrip()}"


def describe_sets(body: Mapping[str, Any]) -> str:
    """Returns the state of all sets as text: a line for each live version, then the last reload of each set."""
    rows: list[tuple[str, ...]] = [("SET", "VERSION", "STATE", "CALLS", "ACTIVE PIPELINE", "SINCE")]
    notes = []
    engine = body["engine"]
    if engine is not None and engine["last_attempt"]:
        notes.append(f"the engine's file: {_last(engine['last_attempt'])}")
        notes += [f"  {_problem(problem)}" for problem in engine["last_attempt"].get("errors", ())]
    for shown in (*body["sets"], *body["removed"]):
        if shown["state"] in {"opening", "rejected"}:
            rows.append((shown["set"], "-", shown["state"], "0", "-", "-"))
        for version in shown["versions"]:
            if version["state"] != "retired":
                state = "removed" if shown["state"] == "removed" else version["state"]
                calls, number = str(version["calls"]), str(version["version"])
                rows.append(
                    (shown["set"], number, state, calls, version["active_pipeline"], _local(version["applied_at"]))
                )
        if earlier := [str(version["version"]) for version in shown["versions"] if version.get("earlier_run")]:
            notes.append(f"{shown['set']}: versions from before the start, for a rollback: {', '.join(earlier)}")
        if shown["last_known_good"]:
            notes.append(f"{shown['set']}: serving last-known-good files: the current ones are invalid")
        notes += [f"{shown['set']}: {_failing(component)}" for component in shown["components"] if component["error"]]
        apologies = [problem for problem in shown["degraded"] if problem["path"].endswith(".on_failure.say")]
        notes += [f"{shown['set']}: degraded: {_problem(problem)}" for problem in apologies]
        notes += [f"{shown['set']}: {_behind(worker)}" for worker in shown.get("behind", ())]
        if last := shown["last_attempt"]:
            notes.append(f"{shown['set']}: {_last(last)}")
            notes += [f"  {_problem(problem)}" for problem in last.get("errors", ())]
    if address := body.get("pages"):
        notes.append(f"operator's page: {address}")
    workers = [*_table(_worker_rows(body["workers"])), ""] if body.get("workers") else []
    return "\n".join([*workers, *_table(rows), *([""] if notes else []), *notes]) + "\n"


def _worker_rows(workers: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("WORKER", "PROCESS", "STATE", "CALLS", "MEMORY", "SINCE")]
    for worker in workers:
        memory = "-" if worker["memory_bytes"] is None else f"{worker['memory_bytes'] >> 20} MiB"
        numbers = str(worker["worker"]), str(worker["pid"])
        rows.append((*numbers, worker["state"], str(worker["calls"]), memory, _local(worker["since"])))
    return rows


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _behind(worker: Mapping[str, Any]) -> str:
    number = worker["version"]
    return f"worker {worker['worker']} serves {'nothing yet' if number is None else f'version {number}'}"


def _failing(component: Mapping[str, Any]) -> str:
    error, retry_s = component["error"], component["retry_s"]
    label = f"{component['role']} {component['name']}"
    answered = f"; answered: {error['answered']}" if error["answered"] else ""
    hint = f" ({error['hint']})" if error["hint"] else ""
    if not component["was_open"]:
        again = f"tried again in {retry_s:.1f} s" if retry_s else "being tried again"
        return f"degraded: {label} has not opened yet, {again}: {error['message']}{answered}{hint}"
    if component["state"] == "open":
        return f"{label}: circuit breaker is open for {retry_s:.1f} s more: {error['message']}{answered}{hint}"
    return f"{label} is being tried again: {error['message']}{answered}{hint}"


def _last(outcome: Mapping[str, Any]) -> str:
    errors = f", {_count(len(outcome['errors']), 'problem')}" if "errors" in outcome else ""
    if outcome["outcome"] == "rejected" and "rolled_back_to" in outcome:
        return f"last rollback, to {outcome['rolled_back_to']}, rejected{errors}, {_local(outcome['at'])}"
    gone_back = f" (rolled back to {outcome['rolled_back_to']})" if "rolled_back_to" in outcome else ""
    return f"last reload {outcome['outcome']}{gone_back}{errors}, {_local(outcome['at'])}"


def _problem(problem: Mapping[str, Any]) -> str:
    path = f" {problem['path']}:" if problem["path"] else ""
    hint = f" ({problem['hint']})" if problem["hint"] else ""
    return f"{problem['file']}:{problem['line']}:{problem['column']}:{path} {problem['message']}{hint}"


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


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _local(moment: str) -> str:
    return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S")
