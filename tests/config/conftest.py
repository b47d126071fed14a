from __future__ import annotations

from pathlib import Path
from shutil import copytree

import pytest

GOOD = Path(__file__).parent / "good"


@pytest.fixture
def config_directory(tmp_path: Path) -> Path:
    """A directory with the files that the corpus names."""
    copytree(GOOD / "files", tmp_path / "files")
    return tmp_path
