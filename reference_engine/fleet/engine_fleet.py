"""An engine's fleet: opens the connection to etcd, and starts with what is decided."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import trio
from attrs import evolve

from reference_engine.fleet.bundle import BundleError
from reference_engine.fleet.documents import EngineStatus, SetStatus
from reference_engine.fleet.etcd.client import open_etcd
from reference_engine.fleet.etcd.errors import EtcdError
from reference_engine.fleet.following import FIRST_RETRY_S, FleetFollower
from reference_engine.fleet.keys import FleetKeys
from reference_engine.fleet.local_sets import FleetSets
from reference_engine.fleet.membership import FleetMembership, MemberOptions
from voicepipe import Rejected, __version__

if TYPE_CHECKING:
    from collections.abc import Callable

    from reference_engine.log.log import Log
    from reference_engine.sets.sets import Sets
    from reference_engine.settings.settings import EngineSettings


def default_fleet_directory() -> Path:
    """Returns the directory of what a fleet has decided on last: in systemd's state directory, or the user's."""
    if state := os.environ.get("STATE_DIRECTORY"):
        return Path(state.split(":", 1)[0]) / "fleet"
    home = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(home).expanduser() / "voicepipe" / "fleet"


class EngineFleet:
    """The fleet that an engine belongs to; without `fleet:` in its file it does nothing.

    Args:
        settings: the engine's settings.
        log: gets the records of the fleet.

    Attributes:
        local: the sets on which the fleet decides; None: there is no fleet.
        membership: what is known of the fleet, while `run` runs.
        follower: what is served of it, while `run` runs.

    """

    def __init__(self, settings: EngineSettings, log: Log) -> None:
        self.fleet = settings.fleet
        self.engine = settings.name or socket.gethostname()
        self.local: FleetSets | None = None
        self.membership: FleetMembership | None = None
        self.follower: FleetFollower | None = None
        self.names: tuple[str, ...] = ()
        self._log = log
        self._sets: Sets | None = None
        self._opened, self._started = trio.Event(), trio.Event()
        if self.fleet is not None:
            self.names = self.fleet.sets or tuple(settings.pipeline_sets)
            directory = self.fleet.directory or default_fleet_directory()
            self.local = FleetSets(
                directory,
                self.names,
                lambda name: None if self._sets is None else self._sets.get(name),
                lambda: os.environ if self._sets is None else self._sets.environ(),
            )

    @property
    def away(self) -> str:
        """Why etcd can't be reached; empty while it can, or without a fleet."""
        if self.fleet is None:
            return ""
        return "etcd has not been reached yet" if self.membership is None else self.membership.away

    def behind(self, name: str) -> str:
        """Returns why a set does not serve what the fleet has decided; empty if it does, or is none of the fleet's."""
        return self.follower.behind(name) if self.follower is not None and name in self.names else ""

    def is_behind(self, name: str) -> bool:
        """Returns True if a set does not serve what the fleet has decided, as far as that is known."""
        if self.membership is None or self.follower is None:
            return False
        decided, serves = self.membership.decided(name), self.follower.serves.get(name)
        return decided is not None and (serves is None or serves.id != decided.id)

    async def run(self, sets: Sets, calls: Callable[[], int], state: Callable[[], str]) -> None:
        """Belongs to the fleet until it is cancelled.

        Args:
            sets: the engine's pipeline sets.
            calls: returns the number of calls that are up.
            state: returns `starting`, `ready` or `draining`.

        """
        if self.fleet is None or self.local is None:
            return
        self._sets, self.local.calls = sets, calls
        async with open_etcd(self.fleet) as etcd:
            options = MemberOptions(self.engine, self.names, self.fleet.ttl_s, __version__)

            def status() -> EngineStatus:
                served = {name: self._set_status(name) for name in self.names}
                return EngineStatus(engine=self.engine, calls=calls(), state=state(), sets=served)

            membership = FleetMembership(etcd, FleetKeys(self.fleet.name), options, log=self._log, status=status)
            membership.highest = {name: await sets.highest(name) for name in self.names}
            follower = FleetFollower(etcd, membership, self.local, self._log)
            self.membership, self.follower = membership, follower
            async with trio.open_nursery() as nursery:
                nursery.start_soon(membership.run)
                self._opened.set()
                await self._started.wait()
                nursery.start_soon(follower.run)

    def _set_status(self, name: str) -> SetStatus:
        if self.follower is None:
            return SetStatus()
        served = None if self._sets is None else self._sets.get(name)
        highest = 0 if served is None or served.version is None else served.version
        return evolve(self.follower.status(name), highest=highest)

    async def before_sets(self) -> None:
        """Learns what is decided, before the sets are opened for the first time.

        If etcd does not answer, what has served last is taken; without that, etcd is waited for.
        """
        if self.fleet is None or self.local is None:
            return
        await self._opened.wait()
        if self.membership is None or self.follower is None or self._sets is None:
            raise AssertionError("`_opened` is set when there are all")
        paths = self._sets.paths
        with trio.move_on_after(self.fleet.ttl_s):
            await self.membership.known.wait()
        for name in self.names:
            kept = await self.local.remembered(name)
            if not self.membership.known.is_set() and kept is not None and name in paths:
                self.local.hold(name, paths[name], *kept)
                self._log.warning("fleet.starts_without_etcd", set=name, version=kept[0].version)
                continue
            await self.membership.known.wait()
            if name in paths:
                await self._begin_with_decided(name, paths[name])

    async def _begin_with_decided(self, name: str, path: Path) -> None:
        if self.membership is None or self.follower is None or self.local is None:
            raise AssertionError("they are there once the fleet is open")
        while (version := self.membership.decided(name)) is not None:
            try:
                self.local.hold(name, path, version, await self.follower.fetch(name, version))
            except (EtcdError, BundleError) as error:
                self.follower.failed(name, version, (str(error),))
                self._log.warning("fleet.behind", set=name, version=version.version, reason=str(error))
                await trio.sleep(FIRST_RETRY_S)
            else:
                return

    async def after_sets(self) -> None:
        """Follows the fleet from now on; returns when every set serves what is decided, so that calls may be taken."""
        if self.local is None or self.follower is None or self.membership is None or self._sets is None:
            return
        for name in self.names:
            served, source = self._sets.get(name), self.local.source(name)
            if served is None or source is None:
                continue
            if served.pipelines is not None and served.version is not None:
                self.follower.served(name, source.version, served.pipelines.current.digest)
                await self.local.remember(name)
            else:
                last = None if served.pipelines is None else served.pipelines.last_attempt
                problems = last.problems if isinstance(last, Rejected) else ()
                self.follower.failed(name, source.version, tuple(str(problem) for problem in problems))
        self._started.set()
        await self.membership.status_sent()  # a publisher must know the numbers that are used here
        told = ""
        while missing := [name for name in self.names if self.local.decides(name) and not self._serves(name)]:
            reasons = "; ".join(f"{name}: {self.behind(name)}" for name in missing)
            if reasons != told:
                told = reasons
                self._log.warning("fleet.takes_no_calls", fleet=self.membership.keys.fleet, reason=reasons)
            await trio.sleep(FIRST_RETRY_S / 10)

    def _serves(self, name: str) -> bool:
        served = None if self._sets is None else self._sets.get(name)
        return served is None or served.version is not None
