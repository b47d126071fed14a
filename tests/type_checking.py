"""mypy on code of others that uses voicepipe: what it knows of voicepipe already, it need not find out again."""

from __future__ import annotations

import shutil
from pathlib import Path

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".mypy_cache"


def mypy_options(directory: Path) -> list[Path | str]:
    """Options of mypy: the house's settings, and a cache in a directory.

    The cache is a copy of what `make types` has left, if it has: then mypy takes a second instead of twelve. What was
    changed since is checked anew.
    """
    own = directory / "mypy-cache"
    if CACHE.is_dir():
        shutil.copytree(CACHE, own)
    return ["--config-file", ROOT / "pyproject.toml", "--cache-dir", own]
