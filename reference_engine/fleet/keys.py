"""The keys of a fleet in etcd. Pure."""

from __future__ import annotations

from urllib.parse import quote

from attrs import frozen


@frozen
class FleetKeys:
    """The keys of one fleet; names of engines may have any characters."""

    fleet: str
    """The fleet's name."""

    @property
    def root(self) -> str:
        """What all keys begin with."""
        return f"/voicepipe/{self.fleet}/"

    @property
    def state(self) -> str:
        """All but versions and their files; whoever publishes watches it."""
        return f"{self.root}state/"

    @property
    def sets(self) -> str:
        """What is decided and proposed for all sets; engines watch it."""
        return f"{self.state}sets/"

    @property
    def members(self) -> str:
        """The engines that are up, each under its lease."""
        return f"{self.state}members/"

    @property
    def statuses(self) -> str:
        """What engines serve, each under its lease."""
        return f"{self.state}status/"

    def head(self, name: str) -> str:
        """What is decided for a set."""
        return f"{self.sets}{name}/head"

    def proposal(self, name: str) -> str:
        """What is proposed for a set, under the lease of whoever proposes it."""
        return f"{self.sets}{name}/proposal"

    def withdrawn(self, name: str) -> str:
        """The proposal for a set that was withdrawn last, and why."""
        return f"{self.sets}{name}/withdrawn"

    def reports(self, name: str) -> str:
        """What engines say of what is proposed for a set."""
        return f"{self.state}reports/{name}/"

    def report(self, name: str, engine: str) -> str:
        """What an engine says of what is proposed for a set, under its lease."""
        return self.reports(name) + quote(engine, safe="")

    def member(self, engine: str) -> str:
        """An engine that is up."""
        return self.members + quote(engine, safe="")

    def status(self, engine: str) -> str:
        """What an engine serves."""
        return self.statuses + quote(engine, safe="")

    def versions(self, name: str) -> str:
        """The latest versions of a set."""
        return f"{self.root}versions/{name}/"

    def version(self, name: str, number: int) -> str:
        """A version of a set; the keys are in the order of the numbers."""
        return f"{self.versions(name)}{number:010d}"

    def bundles(self, name: str) -> str:
        """The files of a set's latest versions."""
        return f"{self.root}bundles/{name}/"

    def bundle(self, name: str, digest: str) -> str:
        """The files of versions, by their SHA-256."""
        return self.bundles(name) + digest
