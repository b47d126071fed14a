"""Workers that share the compiling of tests.

pytest rewrites the assertions of a file when it is imported, and keeps what it has compiled. Several workers import the
same files in the same order at the same time: in a fresh clone each of them would rewrite all, 15 s of a processor. So
each rewrites every so many'th file first, and finds the others done.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from _pytest.assertion import rewrite  # pytest has no name for it that is public

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import pytest


def share_of(directory: Path, number: int, of: int) -> list[Path]:
    """The files of a directory and those below it that are one worker's; all workers have about as many bytes."""
    files = [*directory.rglob("test_*.py"), *directory.rglob("conftest.py")]
    return sorted(files, key=lambda file: (-file.stat().st_size, file))[number::of]


def compile_tests(files: Iterable[Path], config: pytest.Config) -> None:
    """Compiles files as pytest does when it imports them, where that was not done before."""
    if sys.dont_write_bytecode:
        return
    for file in files:
        directory = rewrite.get_cache_dir(file)
        compiled = directory / (file.stem + rewrite.PYC_TAIL)
        if rewrite.try_makedirs(directory) and rewrite._read_pyc(file, compiled) is None:
            source_hash, code = rewrite._rewrite_test(file, config)
            rewrite._write_pyc(config.stash[rewrite.assertstate_key], code, source_hash, compiled)
