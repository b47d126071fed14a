"""When a version is committed, and what an engine does next: rules on what is known of etcd. Pure.

Theory of operation
===================

*One proposal at a time* stands in a set's key `proposal`, under the lease of whoever publishes it. Each engine that is
up (`members/NAME`, under its lease) prepares it, which opens all that is new, and reports (`reports/SET/NAME`, under
the same lease): `preparing`, then `ready` or `cannot`.

*One transaction commits it.* It sets `head` and deletes `proposal` at one revision of etcd, on these conditions, of
which R is the revision up to which the publisher knows everything:

- the proposal is its own: its lease has not expired, so that nobody else can have proposed something meanwhile;
- the head is the one that the proposal began with: nothing was committed since;
- no member is newer than R: nobody has joined who was not asked;
- no report is newer than R: nobody who was ready has said otherwise since.

An engine that dies takes its member and its report with it, and is waited for no longer. One that joins makes the
transaction fail, is asked, and the next attempt counts it. As etcd carries out one transaction after the other, and a
server without a majority none, no partition commits two versions for one number.

*Until the decision* an engine that is ready serves what it has served before. It learns of the commit by its watch, so
that all engines serve the new version within the delay of their watches. If the proposal is gone and the head is not of
it, it was withdrawn: by its publisher, or because the publisher's lease has expired.

*Without etcd* an engine goes on serving. What it was ready for it lets go of after the time of its lease; if that was
committed meanwhile, it is behind, and catches up as soon as it learns of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, TypeAlias

from attrs import field, frozen

from reference_engine.fleet.documents import CanaryVersion, EngineMember, EngineReport, FleetVersion, Proposal, SetHead
from reference_engine.fleet.etcd.messages import KeyCompare

if TYPE_CHECKING:
    from collections.abc import Collection

    from reference_engine.fleet.keys import FleetKeys
    from reference_engine.fleet.view import KeysView

ProposalFate: TypeAlias = Literal["open", "committed", "withdrawn"]


@frozen
class CatchUp:
    """An engine is to serve what is decided."""

    version: FleetVersion
    """The version."""


@frozen
class PrepareProposal:
    """An engine is to prepare a proposal, and to report."""

    proposal: Proposal
    """The proposal."""


def next_step(
    engine: str,
    head: SetHead | None,
    proposal: Proposal | None,
    *,
    serves: str | None,
    reported: str | None,
) -> CatchUp | PrepareProposal | None:
    """Returns what an engine does next for a set; None: nothing.

    A proposal comes first, since it may mend what keeps the engine from catching up. One that a commit has overtaken is
    none any more.

    Args:
        engine: the engine's name.
        head: what is decided.
        proposal: what is proposed.
        serves: the ID of the version that it serves, or has tried to serve in vain.
        reported: the ID of the proposal that it has answered.

    """
    if proposal is not None and proposal.is_for(engine) and reported != proposal.version.id:
        return PrepareProposal(proposal)
    decided = None if head is None else head.version_of(engine)
    return CatchUp(decided) if decided is not None and decided.id != serves else None


def fate_of(wanted: str, engine: str, head: SetHead | None, proposal: Proposal | None) -> ProposalFate:
    """Returns what has become of a proposal that an engine has prepared."""
    decided = None if head is None else head.version_of(engine)
    if decided is not None and decided.id == wanted:
        return "committed"
    return "open" if proposal is not None and proposal.version.id == wanted else "withdrawn"


@frozen
class Wait:
    """There is no decision yet."""

    engines: tuple[str, ...]
    """The engines that have not answered yet."""


@frozen
class Commit:
    """A proposal can be committed, if nothing has changed meanwhile."""

    conditions: tuple[KeyCompare, ...]
    """The conditions of the transaction."""
    ready: tuple[str, ...]
    """The engines that are ready."""
    without: tuple[str, ...] = ()
    """The engines that are not."""


@frozen
class Withdraw:
    """A proposal can't be committed."""

    reasons: Mapping[str, tuple[str, ...]] = field(factory=dict)
    """Why not, by the engine's name; the empty name is for all of them."""


def decide(
    keys: FleetKeys,
    name: str,
    view: KeysView,
    proposal: Proposal,
    *,
    head_revision: int,
    over: bool,
) -> Wait | Commit | Withdraw:
    """Returns whether a proposal can be committed.

    Args:
        keys: the fleet's keys.
        name: the set's name.
        view: what is known of them.
        proposal: the proposal, which is in it.
        head_revision: the revision of the head that the proposal began with.
        over: whether the time for answers is over.

    """
    wanted = proposal.version.id
    known = view.document(keys.proposal(name), Proposal)
    if known is None or known.version.id != wanted:
        return Withdraw({"": ("the proposal has expired: etcd could not be reached for too long",)})
    engines = engines_asked(keys, name, view, proposal)
    reports = {engine: view.document(keys.report(name, engine), EngineReport) for engine in engines}
    answers = {engine: report for engine, report in reports.items() if report is not None and report.id == wanted}
    ready = tuple(engine for engine, report in answers.items() if report.state == "ready")
    refusals = {engine: report.problems for engine, report in answers.items() if report.state == "cannot"}
    missing = tuple(engine for engine in engines if engine not in ready and engine not in refusals)
    if missing and not over:
        return Wait(missing)
    late = dict.fromkeys(missing, ("has not become ready in time",))
    digests = {answers[engine].digest for engine in ready if answers[engine].digest}
    if len(digests) > 1:
        return Withdraw({engine: (_other_digest(answers[engine]),) for engine in ready})
    if proposal.engines is not None and (gone := tuple(engine for engine in proposal.engines if engine not in engines)):
        late |= dict.fromkeys(gone, ("is not up",))
    asked = len(engines) + len([engine for engine in late if engine not in engines])
    if len(ready) * 100 < proposal.version.at_least * asked:
        return Withdraw({**refusals, **late})
    return Commit(
        (
            KeyCompare(keys.proposal(name), "mod", "equal", view.mod_revision(keys.proposal(name))),
            KeyCompare(keys.head(name), "mod", "equal", head_revision),
            KeyCompare(keys.members, "mod", "less", view.revision + 1, prefix=True),
            KeyCompare(keys.reports(name), "mod", "less", view.revision + 1, prefix=True),
        ),
        ready,
        tuple(sorted({*refusals, *late})),
    )


def engines_asked(keys: FleetKeys, name: str, view: KeysView, proposal: Proposal) -> tuple[str, ...]:
    """Returns the names of the engines that are up and that a proposal is for."""
    members = view.documents(keys.members, EngineMember)
    return tuple(one.engine for one in members if name in one.sets and proposal.is_for(one.engine))


def _other_digest(report: EngineReport) -> str:
    return (
        f"computes the digest {report.digest[:12]}; others another one: are models and versions of voicepipe the same?"
    )


def with_committed(head: SetHead | None, proposal: Proposal, committed: FleetVersion) -> SetHead:
    """Returns what is decided after a proposal was committed; a version for all ends a canary."""
    if proposal.engines is None:
        return SetHead(version=committed)

    canary = CanaryVersion(version=committed, engines=proposal.engines)
    return SetHead(version=None if head is None else head.version, canary=canary)


def canary_engines(engines: Collection[str], share: int) -> tuple[str, ...]:
    """Returns the engines of a canary of so many percent: at least one, in the order of their names."""
    number = max(1, round(len(engines) * share / 100))
    return tuple(sorted(engines)[:number])
