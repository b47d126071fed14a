"""The last known good store: files that served, kept across restarts, so that a start with invalid ones can serve them.

Below the directory that `last_known_good` names, each pipeline set has one of its own:

    main/manifest.json      which files they were, with their SHA-256; written last
    main/<SHA-256>          what was in each of them

The file of a secret (`${file:...}`) is not kept. A secret that stands in the YAML itself is in the copy too. All that
is written here can be read by this user only. A directory serves one engine.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from tempfile import mkstemp
from typing import TYPE_CHECKING, Any

import trio

from voicepipe import Applied, absolute_path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from reference_engine.log.log import Log
    from voicepipe import PipelineSet, SetEvent

FORMAT = 1
"""Of the manifest; one of another number is for another version of the engine."""

MANIFEST = "manifest.json"


class UnusableError(Exception):
    """The kept files are damaged, or of another file; the message says which."""


def keep_sources(directory: Path, name: str, path: Path, digest: str, sources: Mapping[Path, bytes]) -> None:
    """Keeps a version's sources in place of those that were kept before; whole, or not at all.

    Args:
        directory: what `last_known_good` names; it is made if need be.
        name: the pipeline set's.
        path: its YAML file.
        digest: the version's.
        sources: `SetConfig.sources`.

    Raises:
        OSError: there is no room for it, or it may not be written there.

    """
    home = directory / name
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    home.mkdir(mode=0o700, exist_ok=True)
    named = {str(file): sha256(content).hexdigest() for file, content in sources.items()}
    for file, content in sources.items():
        _write(home / named[str(file)], content)
    manifest = {
        "format": FORMAT,
        "set": name,
        "file": str(absolute_path(path)),
        "digest": digest,
        "kept_at": datetime.now(UTC).isoformat(),
        "sources": named,
    }
    _write(home / MANIFEST, json.dumps(manifest, indent=2).encode())
    wanted = {MANIFEST, *named.values()}
    for entry in home.iterdir():
        if entry.name not in wanted:
            entry.unlink()


def kept_sources(directory: Path, name: str, path: Path) -> dict[Path, bytes] | None:
    """The sources that are kept of a set, for `open_pipeline_set`; None if there are none.

    Args:
        directory: what `last_known_good` names.
        name: the pipeline set's.
        path: its YAML file.

    Raises:
        UnusableError: what is kept is damaged, or of another file.

    """
    home = directory / name
    try:
        manifest: Any = json.loads((home / MANIFEST).read_bytes())
        if manifest["format"] != FORMAT:
            raise UnusableError(f"its format is {manifest['format']}, not {FORMAT}")
        file = absolute_path(path)
        if manifest["file"] != str(file):
            raise UnusableError(f"it is of {manifest['file']}")
        sources = {Path(source): _read(home, digest) for source, digest in manifest["sources"].items()}
    except FileNotFoundError as error:
        if error.filename == str(home / MANIFEST):
            return None
        raise UnusableError(f"{error.filename} is missing") from None
    except OSError as error:
        raise UnusableError(f"{error.filename} can't be read: {error.strerror}") from None
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise UnusableError(f"its manifest is damaged: {type(error).__name__}") from None
    if file not in sources:
        raise UnusableError("its manifest is damaged: the YAML file is missing")
    return sources


def _read(home: Path, digest: str) -> bytes:
    if set(digest) - set("0123456789abcdef"):
        raise ValueError("no digest")
    content = (home / digest).read_bytes()
    if sha256(content).hexdigest() != digest:
        raise UnusableError(f"{home / digest} is damaged")
    return content


def _write(path: Path, content: bytes) -> None:
    """Replaces a file, for this user only; after a crash it is the old one or the new one."""
    descriptor, partly = mkstemp(dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partly, path)  # noqa: PTH105 - there is no Path of it
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(partly)  # noqa: PTH108 - likewise
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


class LastKnownGood:
    """Keeps the sources of what serves, set by set, and hands them out at a start.

    Args:
        directory: tells where, each time anew; None: nothing is kept, and nothing handed out.
        sets: the pipeline sets by name, with a version or without.
        log: for what can't be kept, what can't be used, and what serves in place of the files.

    """

    def __init__(self, directory: Callable[[], Path | None], sets: Mapping[str, PipelineSet], log: Log) -> None:
        self._directory, self._sets, self._log = directory, sets, log
        self._waiting: dict[str, None] = {}
        self._asked = trio.Event()

    async def sources(self, name: str, path: Path) -> Mapping[Path, bytes] | None:
        """The sources to serve if the set's files are invalid; None if nothing is kept, or nothing that can be used."""
        directory = self._directory()
        if directory is None:
            return None
        try:
            return await trio.to_thread.run_sync(kept_sources, directory, name, path)
        except UnusableError as error:
            self._log.warning("last_known_good.unusable", set=name, directory=str(directory), reason=str(error))
            return None

    def started(self, pipelines: PipelineSet) -> None:
        """Takes note of a set that has its first version; warns if that is not what the files say."""
        if pipelines.last_known_good:
            current = pipelines.current
            self._log.warning(
                "last_known_good.serves", set=pipelines.name, version=current.version, digest=current.digest
            )
        self._ask(pipelines.name)

    def observe(self, event: SetEvent) -> None:
        """Has a new version kept; an observer of pipeline sets."""
        if isinstance(event, Applied):
            self._ask(event.set)

    def keep_all(self) -> None:
        """Has the versions of all sets kept, because the directory has changed."""
        for name in self._sets:
            self._ask(name)

    def _ask(self, name: str) -> None:
        self._waiting[name] = None
        self._asked.set()

    async def keep(self) -> None:
        """Writes the versions that are to be kept, until it is cancelled."""
        while True:
            await self._asked.wait()
            self._asked = trio.Event()
            while self._waiting:
                name = next(iter(self._waiting))
                del self._waiting[name]
                await self._keep(name)

    async def _keep(self, name: str) -> None:
        pipelines, directory = self._sets.get(name), self._directory()
        if pipelines is None or pipelines.version is None or directory is None or pipelines.last_known_good:
            return
        config = pipelines.current.config
        try:
            await trio.to_thread.run_sync(keep_sources, directory, name, config.path, config.digest, config.sources)
        except OSError as error:
            reason = error.strerror or str(error)
            self._log.warning("last_known_good.not_kept", set=name, directory=str(directory), reason=reason)
