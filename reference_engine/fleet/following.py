"""An engine that follows its fleet: it prepares what is proposed, and serves what is decided."""

from __future__ import annotations

from functools import partial
from math import inf
from typing import TYPE_CHECKING, Protocol

import trio
from attrs import frozen

from reference_engine.fleet.agreement import CatchUp, fate_of, next_step
from reference_engine.fleet.bundle import BundleError, digest_of
from reference_engine.fleet.documents import EngineReport, SetStatus
from reference_engine.fleet.etcd.errors import EtcdError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from reference_engine.fleet.agreement import ProposalFate
    from reference_engine.fleet.documents import FleetVersion, Proposal
    from reference_engine.fleet.etcd.protocol import Etcd
    from reference_engine.fleet.membership import FleetLog, FleetMembership

FIRST_RETRY_S, MAX_RETRY_S = 1.0, 60.0
"""The pauses between attempts to serve what is decided, which double, in s."""


class WithdrawnError(Exception):
    """What an engine was ready for was not committed; the message says why, as far as it is known."""


@frozen
class ApplyOutcome:
    """What has become of an attempt to serve a version."""

    serves: bool
    """Whether it serves."""
    digest: str = ""
    """The digest of its configuration, if it was computed."""
    problems: tuple[str, ...] = ()
    """Why it does not serve."""


class LocalSets(Protocol):
    """The pipeline sets of this engine."""

    async def apply(
        self, name: str, version: FleetVersion, bundle: bytes, agree: Callable[[str], Awaitable[None]] | None
    ) -> ApplyOutcome:
        """Serves a version, once everything new is open.

        Args:
            name: the set's name.
            version: the version, whose number it is to have.
            bundle: its files.
            agree: awaited with the configuration's digest right before it serves, also if nothing is to be changed;
                if it raises `WithdrawnError`, the version must not serve. None: it is decided already.

        """
        ...


@frozen
class _InVain:
    """A version that could not be served."""

    id: str
    problems: tuple[str, ...]
    attempts: int
    again_at: float


class FleetFollower:
    """Has this engine's sets follow the fleet.

    Args:
        etcd: the requests to etcd.
        membership: what is known, and where reports go.
        local: the sets.
        log: gets `fleet.not_served`.

    """

    def __init__(self, etcd: Etcd, membership: FleetMembership, local: LocalSets, log: FleetLog) -> None:
        self._etcd, self._membership, self._local, self._log = etcd, membership, local, log
        self.serves: dict[str, FleetVersion] = {}
        """The fleet's version that each set serves, by the set's name."""
        self.digests: dict[str, str] = {}
        """The digests of these versions."""
        self._reported: dict[str, str] = {}
        self._in_vain: dict[str, _InVain] = {}

    def served(self, name: str, version: FleetVersion, digest: str) -> None:
        """Takes note of a version that serves, such as the first one of an engine that has started."""
        self.serves[name], self.digests[name] = version, digest
        self._in_vain.pop(name, None)
        self._membership.tell_status()

    def failed(self, name: str, version: FleetVersion, problems: tuple[str, ...]) -> None:
        """Takes note of a version that is decided and can't be served; it is tried again with backoff."""
        before = self._in_vain.get(name)
        attempts = before.attempts + 1 if before is not None and before.id == version.id else 1
        pause = min(FIRST_RETRY_S * 2 ** (attempts - 1), MAX_RETRY_S)
        self._in_vain[name] = _InVain(version.id, problems, attempts, trio.current_time() + pause)
        self._membership.tell_status()

    def status(self, name: str) -> SetStatus:
        """Returns what is served of a set, and why that is not what is decided."""
        serves = self.serves.get(name)
        return SetStatus(
            version=None if serves is None else serves.version,
            id="" if serves is None else serves.id,
            digest=self.digests.get(name, ""),
            behind=self.behind(name),
        )

    def behind(self, name: str) -> str:
        """Returns why a set does not serve what is decided; empty if it does, as far as is known."""
        decided, serves, in_vain = self._membership.decided(name), self.serves.get(name), self._in_vain.get(name)
        if self._membership.away:
            return f"etcd is away: {self._membership.away}"
        if decided is None:
            return "nothing is published yet: it serves its own file" if self._membership.known.is_set() else ""
        if serves is not None and serves.id == decided.id:
            return ""
        if in_vain is not None and in_vain.id == decided.id:
            return "; ".join(in_vain.problems) or "it can't be served"
        return "it is being prepared"

    async def run(self) -> None:
        """Follows until it is cancelled."""
        await self._membership.known.wait()
        async with trio.open_nursery() as nursery:
            for name in self._membership.options.sets:
                nursery.start_soon(self._follow, name)

    async def _follow(self, name: str) -> None:
        membership = self._membership
        while True:
            changed, in_vain = membership.changed, self._in_vain.get(name)
            serves = self.serves.get(name)
            tried_lately = in_vain is not None and in_vain.again_at > trio.current_time()
            step = next_step(
                membership.options.engine,
                membership.head(name),
                membership.proposal(name),
                serves=in_vain.id if in_vain is not None and tried_lately else None if serves is None else serves.id,
                reported=self._reported.get(name),
            )
            if step is None:
                with trio.move_on_at(in_vain.again_at if in_vain is not None and tried_lately else inf):
                    await changed.wait()
            elif isinstance(step, CatchUp):
                await self._catch_up(name, step.version)
            else:
                await self._prepare(name, step.proposal)

    async def _catch_up(self, name: str, version: FleetVersion) -> None:
        outcome = await self._apply(name, version, None)
        if outcome.serves:
            self.served(name, version, outcome.digest)
        else:
            self.failed(name, version, outcome.problems)

    async def _prepare(self, name: str, proposal: Proposal) -> None:
        version = proposal.version
        self._reported[name] = version.id
        self._membership.report(name, EngineReport(id=version.id, state="preparing"))
        committed = trio.Event()
        outcome = await self._apply(name, version, partial(self._agree, name, proposal, committed))
        if outcome.serves:
            self.served(name, version, outcome.digest)
        elif committed.is_set():
            self.failed(name, version, outcome.problems)
        elif self._fate(name, version.id) == "open":
            problems = outcome.problems or ("it can't be served",)
            self._membership.report(name, EngineReport(id=version.id, state="cannot", problems=problems))

    async def _apply(
        self, name: str, version: FleetVersion, agree: Callable[[str], Awaitable[None]] | None
    ) -> ApplyOutcome:
        try:
            outcome = await self._local.apply(name, version, await self.fetch(name, version), agree)
        except (EtcdError, BundleError) as error:
            outcome = ApplyOutcome(serves=False, problems=(str(error),))
        if not outcome.serves:
            self._log.warning(
                "fleet.not_served", set=name, version=version.version, by=version.by, problems=list(outcome.problems)
            )
        return outcome

    async def fetch(self, name: str, version: FleetVersion) -> bytes:
        """Returns the files of a version.

        Raises:
            EtcdError: etcd is away.
            BundleError: they are not there, or others.

        """
        key = self._membership.keys.bundle(name, version.bundle)
        for kv in (await self._etcd.range(key)).kvs:
            if digest_of(kv.value) == version.bundle:
                return kv.value
            raise BundleError(f"the files of version {version.version} are not those that were published")
        raise BundleError(f"the files of version {version.version} are not in etcd any more")

    async def _agree(self, name: str, proposal: Proposal, committed: trio.Event, digest: str) -> None:
        """Says that this engine is ready, and returns once the proposal is committed.

        Raises:
            WithdrawnError: it is not.

        """
        membership, wanted = self._membership, proposal.version.id
        membership.report(name, EngineReport(id=wanted, state="ready", digest=digest))
        while True:
            changed = membership.changed
            fate = self._fate(name, wanted)
            if fate == "committed":
                committed.set()
                return
            if fate == "withdrawn":
                raise WithdrawnError(self._why_withdrawn(name, wanted))
            until = membership.away_since + membership.options.ttl_s if membership.away else inf
            if trio.current_time() >= until:
                raise WithdrawnError(f"etcd went away before the fleet had decided: {membership.away}")
            with trio.move_on_at(until):
                await changed.wait()

    def _fate(self, name: str, wanted: str) -> ProposalFate:
        membership = self._membership
        return fate_of(wanted, membership.options.engine, membership.head(name), membership.proposal(name))

    def _why_withdrawn(self, name: str, wanted: str) -> str:
        withdrawal = self._membership.withdrawal(name)
        if withdrawal is None or withdrawal.version.id != wanted:
            return "the fleet's publisher has withdrawn it, or has died"
        reasons = (
            f"{engine}: {', '.join(problems)}" if engine else ", ".join(problems)
            for engine, problems in withdrawal.reasons.items()
        )
        return f"the fleet has withdrawn it: {'; '.join(reasons)}"
