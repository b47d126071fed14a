"""Publishes a version to a fleet: proposes it, and commits it once every engine that is up is ready.

Whoever publishes has a lease, under which the proposal and its new files are. If it dies or is cut off, both are gone
when the lease expires, and engines let go of what they have prepared; nobody has to clean up. A commit takes the files
off the lease in the same transaction.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import trio
from attrs import evolve, field, frozen

from reference_engine.fleet.agreement import (
    Commit,
    Wait,
    Withdraw,
    canary_engines,
    decide,
    engines_asked,
    with_committed,
)
from reference_engine.fleet.bundle import digest_of
from reference_engine.fleet.documents import (
    EngineMember,
    EngineStatus,
    FleetVersion,
    Proposal,
    SetHead,
    Withdrawal,
    decoded,
    encoded,
)
from reference_engine.fleet.etcd.errors import Compacted, EtcdError, EtcdUnavailable, EtcdUnknown
from reference_engine.fleet.etcd.messages import Delete, KeyCompare, Put
from reference_engine.fleet.view import KeysView

if TYPE_CHECKING:
    from collections.abc import Callable

    from reference_engine.fleet.etcd.messages import Change
    from reference_engine.fleet.etcd.protocol import Etcd
    from reference_engine.fleet.keys import FleetKeys

LEASE_S = 10
"""The time after which a proposal goes whose publisher is not heard of any more, in s."""

KEPT = 20
"""The versions of a set that stay in etcd, with their files."""

REASONS_S = 5.0
"""How long the answers of others are waited for once one engine can't, so that all reasons are known, in s."""

RETRY_S = 0.3
"""The pause before etcd is asked again, in s."""


class FleetError(Exception):
    """Nothing could be proposed; the message says why."""


@frozen(kw_only=True)
class PublishRequest:
    """What is to be published."""

    set: str
    """The set's name."""
    bundle: bytes = field(repr=False)
    """Its files."""
    digest: str = ""
    """The digest of its configuration."""
    by: str = ""
    """Who publishes: a user and a machine."""
    rolled_back_to: int | None = None
    """The earlier version whose files these are."""
    engines: tuple[str, ...] | None = None
    """The engines of a canary; None: all."""
    share: int | None = None
    """The share of engines of a canary, in percent, in place of their names."""
    at_least: int = 100
    """The share of engines that must be ready, in percent."""
    deadline_s: float = 120.0
    """How long engines have to become ready, in s."""
    settle_s: float = 10.0
    """How long it is waited for engines to say that they serve it, in s."""
    force: bool = False
    """Whether it is proposed although it serves, as after a secret has changed."""


@frozen(kw_only=True)
class PublishOutcome:
    """What has become of it."""

    outcome: Literal["committed", "withdrawn", "unchanged"]
    """`unchanged`: it is what is decided already."""
    version: FleetVersion
    """The version, as it was proposed, or as it serves already."""
    ready: tuple[str, ...] = ()
    """The engines that were ready."""
    without: tuple[str, ...] = ()
    """The engines that were not, and without which it was committed."""
    serving: tuple[str, ...] = ()
    """The engines that have said that they serve it."""
    reasons: Mapping[str, tuple[str, ...]] = field(factory=dict)
    """Why it was withdrawn, by the engine's name; the empty name is for no engine's."""
    seconds: float = 0.0
    """The time from the proposal to the decision, in s."""
    settled_s: float = 0.0
    """The time from the proposal until all ready engines serve it, in s."""


async def publish(
    etcd: Etcd, keys: FleetKeys, request: PublishRequest, *, tell: Callable[[str], None] = lambda _text: None
) -> PublishOutcome:
    """Publishes a version; returns when it was committed, or withdrawn.

    Args:
        etcd: the requests to etcd.
        keys: the fleet's keys.
        request: what is published.
        tell: gets the progress, in words.

    Raises:
        FleetError: something else is being published, or no engine is there for a canary.
        EtcdError: etcd can't be reached, or refuses. Nothing was committed, unless it is `EtcdUnknown`.

    """
    publication = _Publication(etcd, keys, request, tell)
    if (unchanged := await publication.begin()) is not None:
        return PublishOutcome(outcome="unchanged", version=unchanged)
    outcome: list[PublishOutcome] = []
    lease = await etcd.grant(LEASE_S)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_keep_alive, etcd, lease)
            await publication.propose(lease)
            outcome.append(await publication.decision())
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as errors:
        error: BaseException = errors
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from None
    finally:
        with trio.move_on_after(2, shield=True):
            await _forget(etcd, lease)
    if outcome[0].outcome == "committed":
        return await publication.settled(outcome[0])
    return outcome[0]


async def _keep_alive(etcd: Etcd, lease: int) -> None:
    """Keeps the lease; a failure is no matter until it expires, which the decision finds out."""
    while True:
        await trio.sleep(LEASE_S / 5)
        try:
            await etcd.keep_alive(lease)
        except EtcdError:
            continue


async def _forget(etcd: Etcd, lease: int) -> None:
    try:
        await etcd.revoke(lease)
    except EtcdError:  # then it expires
        return


class _Publication:
    """One proposal, from the reading of what there is to its end."""

    def __init__(self, etcd: Etcd, keys: FleetKeys, request: PublishRequest, tell: Callable[[str], None]) -> None:
        self._etcd, self._keys, self._request, self._tell = etcd, keys, request, tell
        self._view = KeysView()
        self._began = trio.current_time()
        self._proposal: Proposal
        self._head_revision = 0
        self._changed = trio.Event()

    async def begin(self) -> FleetVersion | None:
        """Reads what there is; returns the version that is decided already if it is this one."""
        await self._read()
        request, head = self._request, self._view.document(self._keys.head(self._request.set), SetHead)
        decided = None if head is None else head.version
        if decided is None or head is None or request.force or head.canary is not None or self._is_canary:
            return None
        bundle = digest_of(request.bundle)
        same = decided.bundle == bundle or (request.digest != "" and decided.digest == request.digest)
        return decided if same else None

    @property
    def _is_canary(self) -> bool:
        return self._request.engines is not None or self._request.share is not None

    async def _read(self) -> None:
        self._view.read(await self._etcd.range(self._keys.state, prefix=True))

    async def propose(self, lease: int) -> None:
        """Puts the proposal, with its files, under the lease."""
        keys, request, view = self._keys, self._request, self._view
        bundle = digest_of(request.bundle)
        identity = uuid.uuid4().hex
        while True:
            self._check_free()
            self._proposal = self._compose(bundle, identity)
            self._head_revision = view.mod_revision(keys.head(request.set))
            key = keys.bundle(request.set, bundle)
            there = next(iter((await self._etcd.range(key)).kvs), None)
            puts: list[Change] = [Put(keys.proposal(request.set), encoded(self._proposal), lease)]
            if there is None or there.lease:  # with another's lease they may go at any moment
                puts.append(Put(key, request.bundle, lease))
            conditions = [
                KeyCompare(keys.proposal(request.set), "create", "equal", 0),
                KeyCompare(keys.head(request.set), "mod", "equal", self._head_revision),
                KeyCompare(key, "mod", "equal", 0 if there is None else there.mod_revision),
            ]
            try:
                made = (await self._etcd.txn(conditions, puts)).succeeded
            except EtcdUnknown:
                made = False  # perhaps it was: that is seen by its ID
            await self._read()
            known = view.document(keys.proposal(request.set), Proposal)
            if made or (known is not None and known.version.id == identity):
                asked = engines_asked(keys, request.set, view, self._proposal)
                self._tell(f"version {self._proposal.version.version} is proposed to {_count(len(asked), 'engine')}")
                return

    def _check_free(self) -> None:
        known = self._view.document(self._keys.proposal(self._request.set), Proposal)
        if known is not None:
            by, at = known.version.by or "somebody", known.version.at
            raise FleetError(f"{by} is publishing version {known.version.version} since {at}; try again after that")

    def _compose(self, bundle: str, identity: str) -> Proposal:
        keys, request, view = self._keys, self._request, self._view
        head = view.document(keys.head(request.set), SetHead)
        members = [one for one in view.documents(keys.members, EngineMember) if request.set in one.sets]
        decided = [] if head is None else [head.version, *([head.canary.version] if head.canary else [])]
        numbers = [0, *(version.version for version in decided if version is not None)]
        numbers += [one.highest.get(request.set, 0) for one in members]
        statuses = [one.sets.get(request.set) for one in view.documents(keys.statuses, EngineStatus)]
        numbers += [status.highest for status in statuses if status is not None]
        engines = request.engines
        if request.share is not None:
            engines = canary_engines([one.engine for one in members], request.share)
        if self._is_canary and not members:
            raise FleetError("no engine of the fleet is up, so none can be a canary")
        number = max(numbers) + 1
        canary = None if head is None else head.canary
        if canary is not None and not self._is_canary and canary.version.bundle == bundle and not request.force:
            number = canary.version.version  # what has been a canary is served by all, under its number
        return Proposal(
            version=FleetVersion(
                version=number,
                id=identity,
                bundle=bundle,
                digest=request.digest,
                at=datetime.now(UTC).isoformat(timespec="seconds"),
                by=request.by,
                rolled_back_to=request.rolled_back_to,
                at_least=request.at_least,
            ),
            engines=engines,
        )

    async def decision(self) -> PublishOutcome:
        """Commits the proposal when that is possible, or withdraws it."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch)
            outcome = await self._decide()
            nursery.cancel_scope.cancel()
        return outcome

    async def _decide(self) -> PublishOutcome:
        deadline = self._began + self._request.deadline_s
        waiting: tuple[str, ...] = ()
        first_refusal: float | None = None
        while True:
            changed = self._changed
            over = trio.current_time() >= deadline
            verdict = decide(
                self._keys,
                self._request.set,
                self._view,
                self._proposal,
                head_revision=self._head_revision,
                over=over,
            )
            if isinstance(verdict, Wait):
                if first_refusal is None and self._refused():
                    first_refusal = trio.current_time()
                    deadline = min(deadline, first_refusal + REASONS_S)
                if verdict.engines != waiting:
                    waiting = verdict.engines
                    self._tell(f"waiting for {_some(waiting)}")
                with trio.move_on_at(deadline):
                    await changed.wait()
            elif isinstance(verdict, Commit):
                if (committed := await self._commit(verdict)) is not None:
                    return committed
            else:
                return await self._withdraw(verdict)

    def _refused(self) -> bool:
        """Returns True if the proposal can't be committed any more, whatever the others say."""
        verdict = decide(
            self._keys, self._request.set, self._view, self._proposal, head_revision=self._head_revision, over=True
        )
        if not isinstance(verdict, Withdraw):
            return False
        late = [reasons for reasons in verdict.reasons.values() if reasons == ("has not become ready in time",)]
        asked = len(engines_asked(self._keys, self._request.set, self._view, self._proposal))
        return (asked - len(verdict.reasons) + len(late)) * 100 < self._proposal.version.at_least * asked

    async def _commit(self, verdict: Commit) -> PublishOutcome | None:
        """Makes the transaction; returns None if something has changed meanwhile, which is read then."""
        keys, name = self._keys, self._request.set
        version = evolve(self._proposal.version, without=verdict.without)
        head = with_committed(self._view.document(keys.head(name), SetHead), self._proposal, version)
        changes: list[Change] = [
            Put(keys.head(name), encoded(head)),
            Put(keys.version(name, version.version), encoded(version)),
            Put(keys.bundle(name, version.bundle), None),
            Delete(keys.proposal(name)),
        ]
        try:
            changes += await self._outdated(version, head)
            made = (await self._etcd.txn(verdict.conditions, changes)).succeeded
        except EtcdUnavailable:
            made = await self._was_committed(version)
        if not made:
            await self._read_patiently()
        if not made:
            return None
        seconds = trio.current_time() - self._began
        return PublishOutcome(
            outcome="committed", version=version, ready=verdict.ready, without=verdict.without, seconds=seconds
        )

    async def _was_committed(self, version: FleetVersion) -> bool:
        """Returns whether a commit that was not answered was made, once etcd can be asked."""
        key = self._keys.version(self._request.set, version.version)
        with trio.move_on_after(max(self._request.deadline_s, LEASE_S)):
            while True:
                try:
                    kvs = (await self._etcd.range(key)).kvs
                except EtcdUnavailable:
                    await trio.sleep(RETRY_S)
                else:
                    return any((made := decoded(kv.value, FleetVersion)) and made.id == version.id for kv in kvs)
        number = version.version
        raise EtcdUnknown(f"etcd is away, and it is not known whether version {number} was committed: see fleet status")

    async def _outdated(self, new: FleetVersion, head: SetHead) -> list[Change]:
        """Returns the deletions of versions beyond those that are kept, and of files that only they have."""
        keys, name = self._keys, self._request.set
        kvs = (await self._etcd.range(keys.versions(name), prefix=True)).kvs
        versions = [version for kv in kvs if (version := decoded(kv.value, FleetVersion)) is not None]
        kept = [new, *versions[-KEPT + 1 :], *(one for one in (head.version,) if one is not None)]
        outdated = versions[: -KEPT + 1]
        bundles = {one.bundle for one in outdated} - {one.bundle for one in kept}
        numbers = {one.version for one in outdated} - {one.version for one in kept}
        return [
            *(Delete(keys.version(name, number)) for number in sorted(numbers)),
            *(Delete(keys.bundle(name, bundle)) for bundle in sorted(bundles)),
        ]

    async def _withdraw(self, verdict: Withdraw) -> PublishOutcome:
        keys, name, version = self._keys, self._request.set, self._proposal.version
        own = KeyCompare(keys.proposal(name), "mod", "equal", self._view.mod_revision(keys.proposal(name)))
        withdrawal = Withdrawal(version=version, reasons=verdict.reasons)
        changes: list[Change] = [Put(keys.withdrawn(name), encoded(withdrawal)), Delete(keys.proposal(name))]
        try:
            if own.revision:
                await self._etcd.txn([own], changes)
        except EtcdError:  # it expires with the lease
            pass
        return PublishOutcome(
            outcome="withdrawn", version=version, reasons=verdict.reasons, seconds=trio.current_time() - self._began
        )

    async def settled(self, outcome: PublishOutcome) -> PublishOutcome:
        """Waits until the engines that were ready say that they serve the version, or the time for that is over."""
        serving = self._serving(outcome)
        with trio.move_on_after(self._request.settle_s):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch)
                while not set(outcome.ready) <= set(serving):
                    await self._changed.wait()
                    serving = self._serving(outcome)
                nursery.cancel_scope.cancel()
        settled_s = trio.current_time() - self._began
        return evolve(outcome, serving=self._serving(outcome), settled_s=settled_s)

    def _serving(self, outcome: PublishOutcome) -> tuple[str, ...]:
        statuses = self._view.documents(self._keys.statuses, EngineStatus)
        name = self._request.set
        return tuple(one.engine for one in statuses if name in one.sets and one.sets[name].id == outcome.version.id)

    async def _watch(self) -> None:
        """Takes over changes, until it is cancelled."""
        while True:
            try:
                async with self._etcd.watch(
                    self._keys.state, prefix=True, from_revision=self._view.revision + 1
                ) as watch:
                    while True:
                        if self._view.watched(await watch.receive()):
                            self._tell_change()
            except Compacted:
                await self._read_patiently()
            except EtcdUnavailable:
                await trio.sleep(RETRY_S)

    async def _read_patiently(self) -> None:
        """Reads what there is, however long etcd is away."""
        while True:
            try:
                await self._read()
            except EtcdUnavailable:
                await trio.sleep(RETRY_S)
            else:
                self._tell_change()
                return

    def _tell_change(self) -> None:
        changed, self._changed = self._changed, trio.Event()
        changed.set()


def _count(number: int, of: str) -> str:
    return f"{number} {of}{'' if number == 1 else 's'}"


def _some(names: tuple[str, ...], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


async def read_versions(etcd: Etcd, keys: FleetKeys, name: str) -> list[FleetVersion]:
    """Returns the versions of a set that are in etcd, by their numbers."""
    kvs = (await etcd.range(keys.versions(name), prefix=True)).kvs
    return [version for kv in kvs if (version := decoded(kv.value, FleetVersion)) is not None]


async def read_earlier(etcd: Etcd, keys: FleetKeys, name: str, to: int | None) -> tuple[FleetVersion, bytes]:
    """Returns an earlier version of a set, with its files.

    Args:
        etcd: the requests to etcd.
        keys: the fleet's keys.
        name: the set's name.
        to: its number; None: what serves while there is a canary, or else the one before that has other files.

    Raises:
        FleetError: it is not in etcd.

    """
    versions = {version.version: version for version in await read_versions(etcd, keys, name)}
    if to is None:
        head = next(iter((await etcd.range(keys.head(name))).kvs), None)
        decided = None if head is None else decoded(head.value, SetHead)
        serves = None if decided is None else decided.version
        if decided is not None and decided.canary is not None and serves is not None:
            to = serves.version
        else:
            earlier = [one for one in versions.values() if serves and one.version < serves.version]
            to = max((one.version for one in earlier if serves and one.bundle != serves.bundle), default=0)
    if to not in versions:
        kept = ", ".join(map(str, versions)) or "none"
        raise FleetError(f"the fleet has no version {to or 'before'} of {name}; kept: {kept}")
    for kv in (await etcd.range(keys.bundle(name, versions[to].bundle))).kvs:
        return versions[to], kv.value
    raise FleetError(f"the files of version {to} are not in etcd any more")
