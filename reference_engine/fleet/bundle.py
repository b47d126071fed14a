"""The files of a version in one piece: a ZIP archive of the set's YAML file and all that it names. Pure.

Paths in it are relative to the directory of the YAML file, or absolute for files outside of it, which the YAML may name
either way (`../shared/prompt.md`). Models are not in it: an engine has them on its disk, and their hashes are part of
the configuration's digest.
The same files make the same bytes, so that their SHA-256 names them.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_BYTES = 1_500_000
"""The most bytes of a bundle: a request to etcd may have 1.5 MiB (`--max-request-bytes`)."""

MOST_UNPACKED = 64 << 20
"""The most bytes of its files."""

_FIXED = (1980, 1, 1, 0, 0, 0)
"""The time of all entries, as early as ZIP can say."""


class BundleError(Exception):
    """Files can't be published, or a bundle is none; the message says why."""


def packed(path: Path, sources: Mapping[Path, bytes]) -> bytes:
    """Returns the bundle of a set's files.

    Args:
        path: the absolute path of the YAML file.
        sources: the files by absolute path, the YAML file among them.

    Raises:
        BundleError: they are too large for etcd.

    """
    entries = {_name_in(path, source): content for source, content in sources.items()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(entries):
            info = zipfile.ZipInfo(name, _FIXED)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, entries[name])
        outside = any(name.startswith("/") for name in entries)
        archive.comment = json.dumps([path.name, str(path.parent) if outside else ""]).encode()
    bundle = buffer.getvalue()
    if len(bundle) > MOST_BYTES:
        largest = sorted(entries, key=lambda name: len(entries[name]), reverse=True)[:3]
        shown = ", ".join(f"{name} ({len(entries[name]):,} bytes)" for name in largest)
        raise BundleError(
            f"the files have {len(bundle):,} bytes packed, and etcd takes {MOST_BYTES:,}; the largest are {shown}; "
            "shorten sounds or make them 8 kHz mono, or distribute the files by Git, rsync or a ConfigMap, and reload "
            "each engine"
        )
    return bundle


def digest_of(bundle: bytes) -> str:
    """Returns the SHA-256 that names a bundle, in hex."""
    return sha256(bundle).hexdigest()


def unpacked(bundle: bytes, path: Path) -> dict[Path, bytes]:
    """Returns the files of a bundle by absolute path, as if they lay about an engine's own YAML file.

    Args:
        bundle: the bundle.
        path: the absolute path of the set's YAML file on this engine, which gets the content of the bundle's.

    Raises:
        BundleError: it is damaged, or larger than any that is made here.

    """
    try:
        with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
            if sum(info.file_size for info in archive.infolist()) > MOST_UNPACKED:
                raise BundleError(f"the bundle's files have more than {MOST_UNPACKED >> 20} MiB")
            main, directory = json.loads(archive.comment)
            if main not in archive.namelist():
                raise BundleError("the bundle has no YAML file")
            files: dict[Path, bytes] = {}
            for name in archive.namelist():
                if name == main:
                    files[path] = archive.read(name)
                    continue
                if name.startswith("/"):
                    files[Path(name)] = archive.read(name)
                beside = os.path.relpath(name, directory) if name.startswith("/") else name
                files[Path(os.path.normpath(path.parent / beside))] = archive.read(name)
            return files
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, TypeError, EOFError, OSError) as error:
        raise BundleError(f"the bundle is damaged: {error}") from error


def _name_in(path: Path, source: Path) -> str:
    return str(source.relative_to(path.parent)) if source.is_relative_to(path.parent) else str(source)
