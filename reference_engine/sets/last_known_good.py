"""Keeps copies of the files that serve, so that a start with invalid files can serve the last known good ones.

In the directory that `last_known_good` names, each pipeline set has a directory of its own:

    main/manifest.json      the paths of the files, each with its SHA-256; written last
    main/<SHA-256>          the content of one file

The files of secrets (`${file:...}`) are not copied; a secret that is written in the YAML itself is in the copy too.
Only this user can read the copies. Each engine needs a directory of its own.
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
"""The version of the manifest's format; a manifest of another version can't be used."""

MANIFEST = "manifest.json"


class UnusableError(Exception):
    """The copy is damaged, or is of another YAML file; the message says which."""


def keep_sources(directory: Path, name: str, path: Path, digest: str, sources: Mapping[Path, bytes]) -> None:
    """Replaces the copy of a pipeline set by a version's sources; after a failure or a crash the earlier copy is whole.

    Args:
        directory: the directory that `last_known_good` names; it is created if it does not exist.
        name: the pipeline set's name.
        path: the set's YAML file.
        digest: the version's digest.
        sources: the version's files, `SetConfig.sources`.

    Raises:
        OSError: the copy can't be written.

    """
    folder = directory / name
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    named = {str(file): sha256(content).hexdigest() for file, content in sources.items()}
    for file, content in sources.items():
        _write(folder / named[str(file)], content)
    manifest = {
        "format": FORMAT,
        "set": name,
        "file": str(absolute_path(path)),
        "digest": digest,
        "kept_at": datetime.now(UTC).isoformat(),
        "sources": named,
    }
    _write(folder / MANIFEST, json.dumps(manifest, indent=2).encode())
    wanted = {MANIFEST, *named.values()}
    for entry in folder.iterdir():
        if entry.name not in wanted:
            entry.unlink()


def kept_sources(directory: Path, name: str, path: Path) -> dict[Path, bytes] | None:
    """Returns the copied sources of a pipeline set, for `open_pipeline_set`; None if there is no copy.

    Args:
        directory: the directory that `last_known_good` names.
        name: the pipeline set's name.
        path: the set's YAML file.

    Raises:
        UnusableError: the copy is damaged, or is of another YAML file.

    """
    folder = directory / name
    try:
        manifest: Any = json.loads((folder / MANIFEST).read_bytes())
        if manifest["format"] != FORMAT:
            raise UnusableError(f"its format is {manifest['format']}, not {FORMAT}")
        file = absolute_path(path)
        if manifest["file"] != str(file):
            raise UnusableError(f"it is of {manifest['file']}")
        sources = {Path(source): _read(folder, digest) for source, digest in manifest["sources"].items()}
    except FileNotFoundError as error:
        if error.filename == str(folder / MANIFEST):
            return None
        raise UnusableError(f"{error.filename} is missing") from None
    except OSError as error:
        raise UnusableError(f"{error.filename} can't be read: {error.strerror}") from None
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise UnusableError(f"its manifest is damaged: {type(error).__name__}") from None
    if file not in sources:
        raise UnusableError("its manifest is damaged: the YAML file is missing")
    return sources


def _read(folder: Path, digest: str) -> bytes:
    if set(digest) - set("0123456789abcdef"):
        raise ValueError("no digest")
    content = (folder / digest).read_bytes()
    if sha256(content).hexdigest() != digest:
        raise UnusableError(f"{folder / digest} is damaged")
    return content


def _write(path: Path, content: bytes) -> None:
    """Replaces a file, readable by this user only; after a crash it is the old one or the new one, whole."""
    descriptor, unfinished = mkstemp(dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)  # noqa: PTH105 - mkstemp gives text
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(unfinished)  # noqa: PTH108 - mkstemp gives text
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


class LastKnownGood:
    """Copies the sources of the versions that serve, set by set, and gives the copies to a start.

    Args:
        directory: returns the directory, which a reload may change; None: nothing is copied or given.
        sets: the pipeline sets by name, with a version or without.
        log: gets `last_known_good.serves`, `.unusable` and `.not_kept`.

    """

    def __init__(self, directory: Callable[[], Path | None], sets: Mapping[str, PipelineSet], log: Log) -> None:
        self._directory, self._sets, self._log = directory, sets, log
        self._waiting: dict[str, None] = {}
        self._requested = trio.Event()

    async def sources(self, name: str, path: Path) -> Mapping[Path, bytes] | None:
        """Returns the sources to serve if the set's files are invalid; None if there is no copy that can be used."""
        directory = self._directory()
        if directory is None:
            return None
        try:
            return await trio.to_thread.run_sync(kept_sources, directory, name, path)
        except UnusableError as error:
            self._log.warning("last_known_good.unusable", set=name, directory=str(directory), reason=str(error))
            return None

    def started(self, pipelines: PipelineSet) -> None:
        """Has the first version of a set copied; logs a warning if that version is itself the copy."""
        if pipelines.last_known_good:
            current = pipelines.current
            self._log.warning(
                "last_known_good.serves", set=pipelines.name, version=current.version, digest=current.digest
            )
        self._request(pipelines.name)

    def observe(self, event: SetEvent) -> None:
        """Has a new version copied; an observer of pipeline sets."""
        if isinstance(event, Applied):
            self._request(event.set)

    def keep_all(self) -> None:
        """Has the versions of all sets copied, because the directory has changed."""
        for name in self._sets:
            self._request(name)

    def _request(self, name: str) -> None:
        self._waiting[name] = None
        self._requested.set()

    async def keep(self) -> None:
        """Copies the requested versions one after the other, until it is cancelled."""
        while True:
            await self._requested.wait()
            self._requested = trio.Event()
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
