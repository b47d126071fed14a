"""An engine's part in a fleet: it is there under a lease, watches what is decided, and says what it serves.

Theory of operation
===================

*A session* with etcd has a lease, whose keys are the engine's member, its reports and its status. It begins with the
member, then reads what is decided: so that whatever is committed after that reading counts this engine. In it four
tasks run: the lease is kept alive, the decisions are watched, reports are sent, and the status is. The first of them
that fails ends the session, and another is begun; with the same lease, if that still lives.

*A watch* that breaks is opened again from the revision up to which everything is known. If etcd has compacted that, the
present state is read. A watch can't tell a silent etcd from one that stands still; the lease can, as keeping it alive
needs an answer.

*A name twice.* The engine that joins first after a start takes the name over, together with the lease of the engine
that had it: usually that was itself, before it was killed. If that engine is alive, it notices that its lease is gone,
finds the name taken, says so, and joins again only once the name is free.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from random import Random, SystemRandom
from typing import TYPE_CHECKING, Protocol

import trio
from attrs import evolve, frozen

from reference_engine.fleet.documents import (
    EngineMember,
    EngineReport,
    EngineStatus,
    Proposal,
    SetHead,
    Withdrawal,
    decoded,
    encoded,
)
from reference_engine.fleet.etcd.errors import Compacted, EtcdError, EtcdUnavailable, LeaseNotFound
from reference_engine.fleet.etcd.messages import KeyCompare, Put
from reference_engine.fleet.view import KeysView

if TYPE_CHECKING:
    from collections.abc import Callable

    from reference_engine.fleet.documents import FleetVersion
    from reference_engine.fleet.etcd.protocol import Etcd
    from reference_engine.fleet.keys import FleetKeys

FIRST_PAUSE_S, MAX_PAUSE_S = 0.2, 3.0
"""The pauses between attempts to reach etcd, which double, in s."""

STATUS_S = 5.0
"""How often a changed number of calls is told, in s. Changed versions are told at once."""


class FleetLog(Protocol):
    """What gets records of a fleet: the engine's log."""

    def info(self, event: str, **fields: object) -> None:
        """Writes a record."""

    def warning(self, event: str, **fields: object) -> None:
        """Writes a warning."""

    def error(self, event: str, **fields: object) -> None:
        """Writes an error."""


class NameTakenError(EtcdError):
    """Another engine of the fleet has joined under this engine's name."""


@frozen
class MemberOptions:
    """What a member is."""

    engine: str
    """The engine's name."""
    sets: tuple[str, ...]
    """The pipeline sets that the fleet decides on."""
    ttl_s: int = 10
    """The time of the lease, in s."""
    software: str = ""
    """The version of voicepipe."""


class FleetMembership:
    """An engine's membership of its fleet.

    Args:
        etcd: the requests to etcd.
        keys: the fleet's keys.
        options: what this member is.
        log: gets `fleet.joined`, `fleet.away`, `fleet.back` and `fleet.name_taken`.
        status: returns what the engine serves; its `engine` and `sets` are filled in by `sets_status`.
        random: for the lengths of pauses.

    Attributes:
        view: what is known of the keys that engines watch.
        known: set once everything that is decided is known.
        away: why etcd can't be reached; empty while it can.
        away_since: since when, on trio's clock.

    """

    def __init__(
        self,
        etcd: Etcd,
        keys: FleetKeys,
        options: MemberOptions,
        *,
        log: FleetLog,
        status: Callable[[], EngineStatus],
        random: Random | None = None,
    ) -> None:
        self.view, self.known = KeysView(), trio.Event()
        self.away, self.away_since = "etcd has not been reached yet", trio.current_time()
        self.options, self.keys = options, keys
        self.highest: dict[str, int] = {}
        self._etcd, self._log, self._status = etcd, log, status
        self._random = SystemRandom() if random is None else random
        self._member = EngineMember(
            engine=options.engine,
            instance=uuid.UUID(int=self._random.getrandbits(128)).hex,
            software=options.software,
            sets=options.sets,
            since=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        self._lease: int | None = None
        self._joined = self._told_away = False
        self._changed, self._to_send, self._sent = trio.Event(), trio.Event(), trio.Event()
        self._reports: dict[str, EngineReport] = {}

    @property
    def changed(self) -> trio.Event:
        """An event that is set with the next change of what is known, or of whether etcd is reached."""
        return self._changed

    def head(self, name: str) -> SetHead | None:
        """Returns what is decided for a set."""
        return self.view.document(self.keys.head(name), SetHead)

    def proposal(self, name: str) -> Proposal | None:
        """Returns what is proposed for a set."""
        return self.view.document(self.keys.proposal(name), Proposal)

    def withdrawal(self, name: str) -> Withdrawal | None:
        """Returns the proposal for a set that was withdrawn last."""
        return self.view.document(self.keys.withdrawn(name), Withdrawal)

    def decided(self, name: str) -> FleetVersion | None:
        """Returns the version of a set that this engine is to serve; None: none is decided."""
        return None if (head := self.head(name)) is None else head.version_of(self.options.engine)

    def report(self, name: str, report: EngineReport) -> None:
        """Has a report on a proposal sent, in this session and in later ones, until another takes its place."""
        self._reports[name] = report
        self.tell_status()

    def tell_status(self) -> None:
        """Has the status sent soon, because what is served has changed."""
        self._to_send.set()

    async def status_sent(self) -> None:
        """Returns when etcd has the status as it is now, or once etcd is away."""
        self._sent = trio.Event()
        self.tell_status()
        while not self.away and not self._sent.is_set():
            with trio.move_on_after(FIRST_PAUSE_S):
                await self._sent.wait()

    async def run(self) -> None:
        """Keeps the membership until it is cancelled; then leaves the fleet."""
        pause = FIRST_PAUSE_S
        try:
            while True:
                error = await self._session()
                if not self.away:  # a session had begun
                    pause, self.away_since = FIRST_PAUSE_S, trio.current_time()
                elif not self._told_away:
                    self._told_away = True
                    self._log.warning("fleet.away", fleet=self.keys.fleet, reason=str(error))
                self.away = str(error)
                self._tell()
                await trio.sleep(pause * self._random.uniform(0.5, 1.5))
                pause = min(pause * 2, MAX_PAUSE_S)
        finally:
            with trio.move_on_after(1, shield=True):
                await self._leave()

    async def _leave(self) -> None:
        if self._lease is not None:
            try:
                await self._etcd.revoke(self._lease)
            except EtcdError:  # then it expires
                return

    async def _session(self) -> EtcdError:
        """Runs a session with etcd; returns what has ended it."""
        ended: list[EtcdError] = []
        try:
            await self._join()
            self.view.read(await self._etcd.range(self.keys.sets, prefix=True))
            self._reached()
            async with trio.open_nursery() as nursery:
                for task in (self._keep_alive, self._watch, self._send):
                    nursery.start_soon(task)
        except* EtcdError as errors:
            ended += _leaves(errors)
        if any(isinstance(error, LeaseNotFound) for error in ended):
            self._lease = None
        return ended[0]

    async def _join(self) -> None:
        """Gets a lease, and stands among the members under it."""
        etcd, key = self._etcd, self.keys.member(self.options.engine)
        if self._lease is not None:
            try:
                await etcd.keep_alive(self._lease)
            except LeaseNotFound:
                self._lease = None
        there = next(iter((await etcd.range(key)).kvs), None)
        member = None if there is None else decoded(there.value, EngineMember)
        if there is not None and member is not None and member.instance == self._member.instance:
            if self._lease is not None and there.lease == self._lease:
                return
        elif there is not None and self._joined:
            self._log.error("fleet.name_taken", fleet=self.keys.fleet, engine=self.options.engine)
            raise NameTakenError(
                f"another engine of the fleet is called {self.options.engine}: set `name` in engine.yaml"
            )
        if there is not None and there.lease not in {0, self._lease}:
            await etcd.revoke(there.lease)
        if self._lease is None:
            self._lease = await etcd.grant(self.options.ttl_s)
        seen = 0 if there is None else there.mod_revision
        absent_or_seen = KeyCompare(key, "mod", "less", seen + 1)
        self._member = evolve(self._member, highest=dict(self.highest))
        if not (await etcd.txn([absent_or_seen], [Put(key, encoded(self._member), self._lease)])).succeeded:
            raise EtcdUnavailable("another engine has joined under this name at the same moment")
        if not self._joined:
            self._log.info("fleet.joined", fleet=self.keys.fleet, engine=self.options.engine)
        self._joined = True

    def _reached(self) -> None:
        if self._told_away:
            self._told_away = False
            self._log.info("fleet.back", fleet=self.keys.fleet, seconds=round(trio.current_time() - self.away_since, 1))
        self.away = ""
        self.known.set()
        self._tell()

    def _tell(self) -> None:
        changed, self._changed = self._changed, trio.Event()
        changed.set()

    async def _keep_alive(self) -> None:
        while True:
            await trio.sleep(self.options.ttl_s / 4)
            await self._etcd.keep_alive(self._held_lease())

    async def _watch(self) -> None:
        while True:
            try:
                async with self._etcd.watch(self.keys.sets, prefix=True, from_revision=self.view.revision + 1) as watch:
                    while True:
                        if self.view.watched(await watch.receive()):
                            self._tell()
            except Compacted:
                self.view.read(await self._etcd.range(self.keys.sets, prefix=True))
                self._tell()
            except EtcdUnavailable:
                await trio.sleep(FIRST_PAUSE_S * self._random.uniform(0.5, 1.5))

    async def _send(self) -> None:
        """Sends reports and the status whenever they have changed."""
        sent: dict[str, EngineReport] = {}
        status: EngineStatus | None = None
        while True:
            self._to_send, being_sent = trio.Event(), self._sent
            lease = self._held_lease()
            reports = {name: report for name, report in self._reports.items() if sent.get(name) != report}
            now = evolve(self._status(), engine=self.options.engine)
            puts = [
                Put(self.keys.report(name, self.options.engine), encoded(report), lease)
                for name, report in reports.items()
            ]
            if now != status:
                puts.append(Put(self.keys.status(self.options.engine), encoded(now), lease))
            if puts:
                await self._etcd.txn((), puts)
                sent |= reports
                status = now
            being_sent.set()
            with trio.move_on_after(STATUS_S):
                await self._to_send.wait()

    def _held_lease(self) -> int:
        if self._lease is None:
            raise AssertionError("a session has a lease")
        return self._lease


def _leaves(errors: BaseExceptionGroup[EtcdError]) -> list[EtcdError]:
    leaves: list[EtcdError] = []
    for error in errors.exceptions:
        leaves += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return leaves
