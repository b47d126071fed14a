"""The pipeline sets of an engine on which its fleet decides.

Theory of operation
===================

*Files.* A fleet's version is not written to where the set's own file is. Its files take the place of those on the disk
when they are read, by path, as those of a rollback do. So the set's file keeps its path, relative paths in it mean what
they mean on this engine, and models, which a fleet does not distribute, are found beside it.

*Numbers* are the fleet's. A version that is applied has the number that it has everywhere (`PipelineSet.serve`). At a
start `FleetVersions`, which stands before the set's own history, has numbers go on after the one before the fleet's.

*Agreement.* A version is kept right before it serves (`VersionHistory.keep`). That is where an engine says that it is
ready, and waits for the fleet. What the fleet has not decided on is refused there: a reload can't change such a set.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import mkstemp
from typing import TYPE_CHECKING

import trio
from attrs import define, field

from reference_engine.fleet.bundle import digest_of, unpacked
from reference_engine.fleet.documents import FleetVersion, decoded, encoded
from reference_engine.fleet.following import ApplyOutcome, WithdrawnError
from voicepipe import (
    Applied,
    ConfigError,
    KeptVersion,
    Location,
    PipelineSetClosed,
    Problem,
    ReadConfig,
    SetConfig,
    Unchanged,
    VersionHistory,
    absolute_path,
    load_config,
    read_config,
    read_in_thread,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reference_engine.sets.served_set import ServedSet

FLEET = "fleet"
"""The trigger of reloads that a fleet has decided on, or that prepare what it may decide on."""


@define(eq=False)
class FleetSource:
    """A version with its files, as this engine reads them."""

    version: FleetVersion
    """The version."""
    bundle: bytes = field(repr=False)
    """Its files, as they were published."""
    files: Mapping[Path, bytes] = field(repr=False)
    """Its files by absolute path."""
    agree: Callable[[str], Awaitable[None]] | None = None
    """Waits for the fleet's decision; None: it has decided."""

    def is_read_in(self, sources: Mapping[Path, bytes]) -> bool:
        """Returns True if a configuration was read from these files."""
        return bool(sources) and all(self.files.get(path, content) == content for path, content in sources.items())


class FleetSets:
    """The sets of an engine on which its fleet decides; `LocalSets` of the follower, `SetSource` of the engine's sets.

    Args:
        directory: where the last decided version of each set is kept, for a start without etcd.
        names: the names of these sets.
        get: returns a set of the engine by its name.
        environ: returns the variables for `${NAME}`.

    """

    def __init__(
        self,
        directory: Path,
        names: tuple[str, ...],
        get: Callable[[str], ServedSet | None],
        environ: Callable[[], Mapping[str, str]],
    ) -> None:
        self.calls: Callable[[], int] = lambda: 0
        """Returns the number of calls that are up."""
        self._directory, self._names, self._get, self._environ = directory, names, get, environ
        self._held: dict[str, FleetSource] = {}
        self._trying: dict[str, FleetSource] = {}

    def source(self, name: str) -> FleetSource | None:
        """Returns what a set is read from now; None: its own files, because nothing is decided."""
        return self._trying.get(name) or self._held.get(name)

    def decides(self, name: str) -> bool:
        """Returns True if the fleet has decided what a set serves."""
        return name in self._held

    def contents(self, name: str) -> Mapping[Path, bytes] | None:
        """Returns the files that take the place of those on the disk when a set is read."""
        return None if (source := self.source(name)) is None else source.files

    def history(self, name: str, own: VersionHistory) -> VersionHistory:
        """Returns the history of a set, which asks the fleet before a version serves."""
        return FleetVersions(self, name, own) if name in self._names else own

    def hold(self, name: str, path: Path, version: FleetVersion, bundle: bytes) -> FleetSource:
        """Has a set that has not started yet begin with a version that is decided.

        Raises:
            BundleError: its files are damaged.

        """
        source = self._held[name] = FleetSource(version, bundle, unpacked(bundle, absolute_path(path)))
        return source

    async def apply(
        self, name: str, version: FleetVersion, bundle: bytes, agree: Callable[[str], Awaitable[None]] | None
    ) -> ApplyOutcome:
        """Serves a version, once everything new is open and `agree` has returned."""
        served = self._get(name)
        if served is None:
            return ApplyOutcome(serves=False, problems=(f"this engine has no pipeline set {name!r} any more",))
        number = version.version
        # Its own versions have numbers too, which a publisher learns of a moment later.
        if name not in self._held and served.version is not None and served.version >= number:
            used = f"this engine has used the number {number} for its own file: publish again, with a higher one"
            return ApplyOutcome(serves=False, problems=(used,))
        source = FleetSource(version, bundle, unpacked(bundle, absolute_path(served.path)), agree)
        self._trying[name] = source
        try:
            read = await self._read(served.path, source.files)
            outcome = await served.serve(read, version=number, trigger=FLEET)
            if isinstance(outcome, Unchanged) and source.agree is not None:
                await source.agree(outcome.digest)
        except ConfigError as error:
            return ApplyOutcome(serves=False, problems=tuple(str(problem) for problem in error.problems))
        except (PipelineSetClosed, WithdrawnError) as error:
            return ApplyOutcome(serves=False, problems=(str(error),))
        finally:
            del self._trying[name]
        if not isinstance(outcome, Applied | Unchanged):
            return ApplyOutcome(serves=False, problems=tuple(str(problem) for problem in outcome.problems))
        source.agree = None
        self._held[name] = source
        await self.remember(name)
        return ApplyOutcome(serves=True, digest=outcome.digest)

    async def _read(self, path: Path, files: Mapping[Path, bytes]) -> ReadConfig:
        """Returns the configuration of files: by a helper process beside calls, else by a thread, which is faster.

        Raises:
            ConfigError: they are not valid here.

        """
        if self.calls():
            return await read_config(path, environ=self._environ, contents=files)

        def load() -> SetConfig:
            return load_config(path, environ=self._environ(), contents=files)

        return ReadConfig(await read_in_thread(path, load))

    async def remember(self, name: str) -> None:
        """Keeps what a set serves on the disk, for a start without etcd; a failure is no matter until then."""
        if (source := self._held.get(name)) is not None:
            content = encoded(source.version) + b"\n" + source.bundle
            with suppress(OSError):
                await trio.to_thread.run_sync(_write, self._directory / f"{name}.version", content)

    async def remembered(self, name: str) -> tuple[FleetVersion, bytes] | None:
        """Returns what a set has served last, with its files; None if that is not kept, or is damaged."""
        try:
            content = await trio.Path(self._directory / f"{name}.version").read_bytes()
        except OSError:
            return None
        head, _, bundle = content.partition(b"\n")
        version = decoded(head, FleetVersion)
        return None if version is None or digest_of(bundle) != version.bundle else (version, bundle)


class FleetVersions:
    """The `VersionHistory` of one opening of a set on which a fleet decides.

    Args:
        sets: what is decided and tried.
        name: the set's name.
        own: the set's own history, which keeps what serves.

    """

    def __init__(self, sets: FleetSets, name: str, own: VersionHistory) -> None:
        self._sets, self._name, self._own = sets, name, own
        self._kept: FleetSource | None = None

    @property
    def highest(self) -> int:
        """The number before the fleet's, or the highest of this engine's own while the fleet has decided nothing."""
        source = self._sets.source(self._name)
        return self._own.highest if source is None else source.version.version - 1

    async def load(self) -> Sequence[KeptVersion]:
        """Returns the versions of earlier processes; none of the fleet's, which has them in etcd."""
        earlier = await self._own.load()
        return earlier if self._sets.source(self._name) is None else ()

    async def keep(self, version: KeptVersion, sources: Mapping[Path, bytes]) -> None:
        """Waits until the fleet has decided that a version serves, and keeps it.

        Raises:
            ConfigError: the fleet has withdrawn it, or was not asked.

        """
        source = self._sets.source(self._name)
        if source is None:
            await self._own.keep(version, sources)
            return
        number, where = source.version.version, Location(version.path)
        if not source.is_read_in(sources) or source is self._kept:
            same = source is self._kept and source.is_read_in(sources)
            message = f"the fleet decides what this set serves, which is version {number}"
            hint = (
                "a secret or a model has changed: `reference-engine publish FILE --fleet ... --force` has all engines "
                "serve it"
                if same
                else "use `reference-engine publish` or `reference-engine fleet rollback`"
            )
            raise ConfigError([Problem(where, "", message, hint)])
        if version.version != number:
            message = (
                f"the fleet's version {number} can't be served under that number: {version.version - 1} was used here"
            )
            raise ConfigError([Problem(where, "", message, "publish it again: it gets a higher number")])
        if source.agree is not None:
            try:
                await source.agree(version.fingerprint.digest)
            except WithdrawnError as error:
                raise ConfigError([Problem(where, "", str(error))]) from error
            source.agree = None
        await self._own.keep(version, sources)
        self._kept = source

    async def sources(self, version: int) -> Mapping[Path, bytes]:
        """Returns the files of a version of this engine's own."""
        return await self._own.sources(version)


def _write(path: Path, content: bytes) -> None:
    """Replaces a file, readable by this user only; after a crash it is the old one or the new one, whole."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, unfinished = mkstemp(dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(unfinished).replace(path)
    except BaseException:
        Path(unfinished).unlink(missing_ok=True)
        raise
