"""Versions that are kept beyond their process, so that their numbers and a rollback go on after a restart.

Theory of operation
===================

*Numbers.* A set and a number never mean two configurations, in any record or log, whatever ends the process. So a
number is kept before a call can get it (`VersionHistory.keep`), and a set that is opened again goes on after the
highest one that was kept.

*The same number again.* If the first version of a process is what the last one served, it has that number. A restart
then changes nothing in figures by version, `If-Match` of before it holds, and ten restarts don't push the versions out
that a rollback needs. Else it has the next number.

*What is the same* is told by a `ConfigFingerprint`, because the digest leaves out the values of `${...}`: with another
model in the environment the digest is the same, and the configuration is not. The values themselves are not kept. Their
hash is salted, and slow to compute, so that whoever gets it can hardly test guesses.

*Rollback.* The sources of the kept versions are read again when a rollback asks for them, with the secrets of today. A
rollback that holds is kept with the fingerprint of the files that it put aside: a start that finds these files serves
the rollback again, and not what somebody has gone back from.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import scrypt
from hmac import compare_digest
from pathlib import Path
from secrets import token_bytes
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

import attrs
from attrs import field, frozen

from voicepipe.components.labels import ROLES
from voicepipe.components.values import Directory, File
from voicepipe.config.identity import identity, sha256_of
from voicepipe.config.settings import PipelineSettings
from voicepipe.pipelines.plan import Plan

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from voicepipe.config.settings import SetConfig
    from voicepipe.pipelines.read_config import ReadConfig

_SALT = 16
_OWN = tuple(
    attribute.name for attribute in attrs.fields(PipelineSettings) if attribute.eq and attribute.name not in ROLES
)


@frozen
class ConfigFingerprint:
    """Recognises a configuration, with the values of `${...}`, and holds none of them."""

    digest: str
    """The configuration's digest, which leaves out the values."""
    values: str = field(repr=False)
    """A salted hash of the values, in hex after its salt. Keep it private all the same."""

    @classmethod
    def of(cls, config: SetConfig) -> Self:
        """Returns the fingerprint of a configuration; it takes some 10 ms, so it is called in a thread."""
        salt = token_bytes(_SALT)
        return cls(config.digest, f"{salt.hex()}${_hash_of(config, salt)}")

    def matches(self, config: SetConfig) -> bool:
        """Returns True if a configuration is the same; it takes as long as `of`."""
        if self.digest != config.digest:
            return False
        salt, _, hashed = self.values.partition("$")
        try:
            return compare_digest(hashed, _hash_of(config, bytes.fromhex(salt)))
        except (ValueError, TypeError):  # it is damaged
            return False


def _hash_of(config: SetConfig, salt: bytes) -> str:
    normal = _NormalForm()
    parts = [config.digest, config.active_pipeline, sha256_of(normal(config.routes)), sha256_of(normal(config.logging))]
    for name in config.reachable:
        time.sleep(0)  # this runs in a thread beside calls, which get the interpreter in between
        pipeline = config.pipelines[name]
        own = [normal(getattr(pipeline, key)) for key in _OWN]
        parts.append(sha256_of([own, [component.key for role in ROLES for component in pipeline.role(role)]]))
    return scrypt("\n".join(parts).encode(), salt=salt, n=2**12, r=8, p=1, dklen=32).hex()


class _NormalForm:
    """Makes plain data of settings, equal for equal ones: without their places in the file, for instance."""

    def __init__(self) -> None:
        # Most pipelines share most sections, and all of them live as long as the configuration.
        self._known: dict[int, str] = {}

    def __call__(self, value: Any) -> Any:
        if isinstance(value, File | Directory):
            return identity(value)
        if attrs.has(type(value)):
            if (known := self._known.get(id(value))) is None:
                fields = (attribute.name for attribute in attrs.fields(type(value)) if attribute.eq)
                known = self._known[id(value)] = sha256_of({name: self(getattr(value, name)) for name in fields})
            return known
        if isinstance(value, Mapping):
            return {str(key): self(item) for key, item in value.items()}
        if isinstance(value, tuple | list):
            return [self(item) for item in value]
        return str(value) if isinstance(value, str) else value


@frozen(kw_only=True)
class KeptVersion:
    """A version as it is kept beyond its process."""

    version: int
    """Its number."""
    fingerprint: ConfigFingerprint
    """Recognises its configuration."""
    path: Path
    """The absolute path of the YAML file among its sources."""
    active_pipeline: str
    """The name of its active pipeline."""
    applied_at: datetime
    """The time when it began to serve, in UTC."""
    trigger: str
    """The name of what asked for it."""
    plan: Plan
    """The changes that it made."""
    rolled_back_to: int | None = None
    """The earlier version whose configuration it is; None: it was read from the files."""
    put_aside: ConfigFingerprint | None = None
    """The files that a rollback put aside: as long as they say that, the rollback holds. None: none, or they were
    invalid."""


class VersionHistory(Protocol):
    """Keeps the versions of one pipeline set beyond its process, for `open_pipeline_set`.

    One change of the set is carried out at a time, so there is one call at a time. An exception of `load` or `keep`
    rejects the change; to go on without a copy, log the failure and return.

    `keep` is the last step of a change before its version serves. Everything that can fail has been done by then: the
    files are read, all components are open, apologies are recorded, and the version loses nothing and is within the
    limit of live versions. A rejection there closes all that was opened for it. However long `keep` takes, calls begin
    and go on with the version before, and only other changes of this set wait. So it may wait until other processes are
    as far as this one: see `VersionAgreement`.
    """

    @property
    def highest(self) -> int:
        """The highest number that was ever used, by whomever; 0: none was. Known once `load` has returned."""
        ...

    async def load(self) -> Sequence[KeptVersion]:
        """Returns the versions of earlier processes, by their numbers; called once, before the first change."""
        ...

    async def keep(self, version: KeptVersion, sources: Mapping[Path, bytes]) -> None:
        """Keeps a version that is about to serve, in place of one of the same number.

        When it returns, the number must survive whatever may end the process.

        Args:
            version: the version.
            sources: its files by absolute path, `SetConfig.sources`; they may hold secrets that stand in the YAML.

        """
        ...

    async def sources(self, version: int) -> Mapping[Path, bytes]:
        """Returns the files of a kept version, for a rollback.

        Raises:
            LookupError: they are not kept any more.
            OSError: they can't be read.

        """
        ...


@runtime_checkable
class VersionAgreement(VersionHistory, Protocol):
    """A `VersionHistory` by which several processes serve a version all together, or none of them does.

    Theory of operation
    ===================

    A change in two phases is made of the steps of a change that there are anyway. One process leads: it reads the files
    and decides what the version is and which number it has. The others follow with `PipelineSet.serve`:

        leader     reload: read, number ──> change ──> open ──> keep ─────────── wait ───> serve
                                              │                   └─> ready        ^
        agreement                             └─> read, number       ready, ready ─┘ commit
                                                     v              ┌─> ready      v
        follower                            serve: change ──> open ──> keep ───── wait ──> serve

    `change` is entered in each process before anything is opened; in the leader it tells the others what to open.
    `keep` returns when all are ready: the first phase is over, and each `keep` that returns is a commit. If one of them
    can't serve the version, or has ended, `keep` raises a `ConfigError` in all others, which close what they opened and
    serve on what they served. The problems of that error are those of the outcome, so they should say which process
    failed, on what.

    After `keep` nothing is checked any more that could reject the version: a process that has agreed serves it. If a
    call pinned the version before while `keep` waited, there may be one live version more than `max_live_versions`.

    Cancelling a set that waits there, because the program ends, withdraws it from the change: `change` is left by the
    cancellation, and the agreement should tell the others that this process is gone.
    """

    def change(
        self, version: KeptVersion, read: ReadConfig, put_aside: ReadConfig | None, *, may_lose: bool
    ) -> AbstractAsyncContextManager[None]:
        """Returns the context of one change, entered before anything is opened for it.

        It is left without an exception when the version serves, and else with the exception that rejected it. Leaving
        must neither wait nor raise. What entering raises rejects the change. A change that only notes that a rollback
        is over has the number and the configuration of the version that serves.

        Args:
            version: the version, with its number.
            read: its configuration, to be encoded for the others.
            put_aside: the files that a rollback puts aside; None: it is no rollback, or the files were invalid.
            may_lose: whether to serve without a component that works now: `force` of the others' `serve`.

        """
        ...
