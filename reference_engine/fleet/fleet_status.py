"""What a fleet serves, as data and in words. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import asdict

from reference_engine.fleet.documents import EngineMember, EngineStatus, Proposal, SetHead, Withdrawal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from reference_engine.fleet.documents import FleetVersion
    from reference_engine.fleet.keys import FleetKeys
    from reference_engine.fleet.view import KeysView


def fleet_status(keys: FleetKeys, view: KeysView) -> dict[str, Any]:
    """Returns what is decided and proposed for each set, and what each engine serves.

    Args:
        keys: the fleet's keys.
        view: all keys of `keys.state`.

    """
    names = dict.fromkeys(key.removeprefix(keys.sets).partition("/")[0] for key in view.keys(keys.sets))
    sets = {name: _set_status(keys, view, name) for name in names}
    statuses = {status.engine: status for status in view.documents(keys.statuses, EngineStatus)}
    members = view.documents(keys.members, EngineMember)
    return {
        "fleet": keys.fleet,
        "sets": sets,
        "engines": [_engine_status(keys, view, member, statuses.get(member.engine)) for member in members],
    }


def _set_status(keys: FleetKeys, view: KeysView, name: str) -> dict[str, Any]:
    head = view.document(keys.head(name), SetHead)
    proposal = view.document(keys.proposal(name), Proposal)
    withdrawal = view.document(keys.withdrawn(name), Withdrawal)
    canary = None if head is None else head.canary
    return {
        "version": None if head is None or head.version is None else asdict(head.version),
        "canary": None if canary is None else asdict(canary),
        "proposal": None if proposal is None else asdict(proposal),
        "withdrawn": None if withdrawal is None else asdict(withdrawal),
    }


def _engine_status(
    keys: FleetKeys, view: KeysView, member: EngineMember, status: EngineStatus | None
) -> dict[str, Any]:
    served = {} if status is None else {name: asdict(one) for name, one in status.sets.items()}
    behind = {}
    for name in member.sets:
        head = view.document(keys.head(name), SetHead)
        decided = None if head is None else head.version_of(member.engine)
        has = None if status is None else status.sets.get(name)
        if decided is not None and (has is None or has.id != decided.id):
            behind[name] = (has.behind if has is not None else "") or "it has not said yet what it serves"
    return {
        "engine": member.engine,
        "since": member.since,
        "software": member.software,
        "state": "starting" if status is None else status.state,
        "calls": 0 if status is None else status.calls,
        "sets": served,
        "behind": behind,
    }


def describe_fleet(status: dict[str, Any]) -> str:
    """Returns the status in words, a line for each set and each engine."""
    engines = status["engines"]
    calls = sum(engine["calls"] for engine in engines)
    lines = [f"fleet {status['fleet']}: {len(engines)} engines, {calls} calls"]
    for name, one in status["sets"].items():
        lines += _set_lines(name, one)
    for engine in engines:
        served = ", ".join(
            f"{name} {one['version'] if one['version'] is not None else '(its own file)'} {one['digest'][:12]}".rstrip()
            for name, one in engine["sets"].items()
        )
        behind = "".join(f"; behind: {name}: {why}" for name, why in engine["behind"].items())
        lines.append(f"  {engine['engine']}: {engine['state']}, {engine['calls']} calls, {served or 'nothing'}{behind}")
    return "\n".join(lines)


def _set_lines(name: str, one: dict[str, Any]) -> Iterator[str]:
    decided, canary, proposal, withdrawn = (one[key] for key in ("version", "canary", "proposal", "withdrawn"))
    if decided is None:
        yield f"  set {name}: nothing is published"
    else:
        yield f"  set {name}: {_version(decided)}"
    if canary is not None:
        yield f"  set {name}, canary on {', '.join(canary['engines'])}: {_version(canary['version'])}"
    if proposal is not None:
        yield f"  set {name}, being published: {_version(proposal['version'])}"
    if withdrawn is not None and (decided is None or withdrawn["version"]["version"] > decided["version"]):
        reasons = "; ".join(
            f"{engine or 'fleet'}: {', '.join(problems)}" for engine, problems in withdrawn["reasons"].items()
        )
        yield f"  set {name}, withdrawn: {_version(withdrawn['version'])}: {reasons}"


def _version(version: dict[str, Any]) -> str:
    back = f", rolled back to {version['rolled_back_to']}" if version["rolled_back_to"] is not None else ""
    brave = f", with at least {version['at_least']}%" if version["at_least"] != 100 else ""
    without = f", without {', '.join(version['without'])}" if version["without"] else ""
    return f"version {version['version']} of {version['at']} by {version['by'] or 'somebody'}{back}{brave}{without}"


def describe_versions(versions: Iterable[FleetVersion]) -> str:
    """Returns versions in words, a line for each."""
    return (
        "\n".join(f"{_version(asdict(version))}, {version.digest[:12]}" for version in versions) or "none is published"
    )
