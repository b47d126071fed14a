"""Keeps the latest versions of each pipeline set on disk, with copies of their files.

In the directory that `last_known_good` names, each pipeline set has a directory of its own:

    main/manifest.json      the versions, each with the paths of its files and their SHA-256; written last
    main/<SHA-256>          the content of one file, once for all versions that have it

The files of secrets (`${file:...}`) are not copied; a secret that is written in the YAML itself is in the copy too.
Only this user can read the copies. Each engine needs a directory of its own.

A crash at any moment leaves the manifest of before or the new one, with all contents that it names: contents are
written before the manifest that names them, and deleted after one that does not.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from tempfile import mkstemp
from typing import Any

from attrs import fields, frozen

from voicepipe import ConfigFingerprint, KeptVersion, Plan, absolute_path

FORMAT = 2
"""The version of the manifest's format. The first one, which has one version without a number, is read as well."""

MANIFEST = "manifest.json"

MOST = 10
"""The number of versions of a set that are kept."""

_NAMES = tuple(field.name for field in fields(Plan) if field.name != "degraded")


class UnusableError(Exception):
    """The copy is damaged, or is of another YAML file; the message says which."""


@frozen
class VersionOnDisk:
    """A version on disk."""

    kept: KeptVersion
    """The version."""
    contents: Mapping[str, str]
    """The SHA-256 of its files, by their paths."""


@frozen
class VersionsOnDisk:
    """The versions of a set on disk."""

    versions: tuple[VersionOnDisk, ...] = ()
    """The versions, by their numbers."""
    highest: int = 0
    """The highest number that was ever used."""


def keep_version(
    directory: Path, name: str, version: KeptVersion, sources: Mapping[Path, bytes], highest: int = 0
) -> None:
    """Adds a version to those of a pipeline set, in place of one of the same number; the oldest ones go.

    When it returns, the version is on the disk. After a failure or a crash the versions of before are whole.

    Args:
        directory: the directory that `last_known_good` names; it is created if it does not exist.
        name: the pipeline set's name.
        version: the version.
        sources: the version's files, `SetConfig.sources`.
        highest: a number that was used already, if the directory does not know it.

    Raises:
        OSError: the copy can't be written.

    """
    folder = directory / name
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    try:
        before = stored_versions(directory, name)
    except UnusableError:  # it was reported when it was read
        before = VersionsOnDisk()
    contents = {str(file): sha256(content).hexdigest() for file, content in sources.items()}
    for file, content in sources.items():
        if not _is_there(folder / contents[str(file)], content):
            _write(folder / contents[str(file)], content)
    others = [stored for stored in before.versions if stored.kept.version != version.version]
    versions = sorted([*others, VersionOnDisk(version, contents)], key=lambda stored: stored.kept.version)[-MOST:]
    manifest = {
        "format": FORMAT,
        "set": name,
        "highest": max(highest, before.highest, version.version),
        "versions": [_as_data(stored) for stored in versions],
    }
    _write(folder / MANIFEST, json.dumps(manifest, indent=2).encode())
    wanted = {MANIFEST}.union(*(stored.contents.values() for stored in versions))
    for entry in folder.iterdir():
        if entry.name not in wanted:
            entry.unlink()


def stored_versions(directory: Path, name: str) -> VersionsOnDisk:
    """Returns the versions of a pipeline set; none if there is no copy.

    Args:
        directory: the directory that `last_known_good` names.
        name: the pipeline set's name.

    Raises:
        UnusableError: the manifest is damaged, or can't be read.

    """
    folder = directory / name
    try:
        manifest: Any = json.loads((folder / MANIFEST).read_bytes())
        if manifest["format"] == 1:
            return VersionsOnDisk((_of_first_format(manifest),), 1)
        if manifest["format"] != FORMAT:
            raise UnusableError(f"its format is {manifest['format']}, not {FORMAT}")
        versions = tuple(_as_stored(data) for data in manifest["versions"])
        return VersionsOnDisk(versions, max([int(manifest["highest"]), *(one.kept.version for one in versions)]))
    except FileNotFoundError:
        return VersionsOnDisk()
    except OSError as error:
        raise UnusableError(f"{error.filename} can't be read: {error.strerror}") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise UnusableError(f"its manifest is damaged: {type(error).__name__}") from None


def sources_of(directory: Path, name: str, stored: VersionOnDisk) -> dict[Path, bytes]:
    """Returns the files of a version.

    Raises:
        UnusableError: they are damaged, or gone.

    """
    folder = directory / name
    try:
        return {Path(source): _read(folder, digest) for source, digest in stored.contents.items()}
    except FileNotFoundError as error:
        raise UnusableError(f"{error.filename} is missing") from None
    except OSError as error:
        raise UnusableError(f"{error.filename} can't be read: {error.strerror}") from None


def last_sources(directory: Path, name: str, path: Path) -> dict[Path, bytes] | None:
    """Returns the files of the version that served last, for `open_pipeline_set`; None if there is no copy.

    Args:
        directory: the directory that `last_known_good` names.
        name: the pipeline set's name.
        path: the set's YAML file.

    Raises:
        UnusableError: the copy is damaged, or is of another YAML file.

    """
    versions = stored_versions(directory, name).versions
    if not versions:
        return None
    file = absolute_path(path)
    last = next((stored for stored in reversed(versions) if stored.kept.path == file), None)
    if last is None:
        raise UnusableError(f"it is of {versions[-1].kept.path}")
    return sources_of(directory, name, last)


def _as_data(stored: VersionOnDisk) -> dict[str, Any]:
    kept = stored.kept
    return {
        "version": kept.version,
        "digest": kept.fingerprint.digest,
        "values": kept.fingerprint.values,
        "file": str(kept.path),
        "active_pipeline": kept.active_pipeline,
        "applied_at": kept.applied_at.isoformat(),
        "trigger": kept.trigger,
        "plan": {name: getattr(kept.plan, name) for name in _NAMES},
        "rolled_back_to": kept.rolled_back_to,
        "put_aside": None if (aside := kept.put_aside) is None else {"digest": aside.digest, "values": aside.values},
        "sources": dict(stored.contents),
    }


def _as_stored(data: Mapping[str, Any]) -> VersionOnDisk:
    aside, back_to = data["put_aside"], data["rolled_back_to"]
    plan: dict[str, Any] = {
        name: value if isinstance(value, str) else tuple(value) for name, value in data["plan"].items()
    }
    kept = KeptVersion(
        version=int(data["version"]),
        fingerprint=ConfigFingerprint(str(data["digest"]), str(data["values"])),
        path=Path(data["file"]),
        active_pipeline=str(data["active_pipeline"]),
        applied_at=datetime.fromisoformat(data["applied_at"]),
        trigger=str(data["trigger"]),
        plan=Plan(**plan),
        rolled_back_to=None if back_to is None else int(back_to),
        put_aside=None if aside is None else ConfigFingerprint(str(aside["digest"]), str(aside["values"])),
    )
    return VersionOnDisk(kept, _contents(data["sources"], kept.path))


def _of_first_format(manifest: Mapping[str, Any]) -> VersionOnDisk:
    path = Path(manifest["file"])
    kept = KeptVersion(
        version=1,
        fingerprint=ConfigFingerprint(str(manifest["digest"]), ""),
        path=path,
        active_pipeline="",
        applied_at=datetime.fromisoformat(manifest.get("kept_at", datetime.now(UTC).isoformat())),
        trigger="",
        plan=Plan(),
    )
    return VersionOnDisk(kept, _contents(manifest["sources"], path))


def _contents(sources: Any, path: Path) -> dict[str, str]:
    contents = dict(sources.items())
    if any(set(digest) - set("0123456789abcdef") for digest in contents.values()):
        raise ValueError("no digest")
    if str(path) not in contents:
        raise UnusableError("its manifest is damaged: the YAML file is missing")
    return contents


def _is_there(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except OSError:
        return False


def _read(folder: Path, digest: str) -> bytes:
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
