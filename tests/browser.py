"""Debian's Chromium, without a screen: what a page is after its scripts have run."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from patience import LONG_S

if TYPE_CHECKING:
    from pathlib import Path

FLAGS = (
    "--headless",
    "--no-sandbox",  # root, as CI is, has none
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",  # nothing of the browser's own goes out
    "--disable-component-update",
    "--disable-sync",
)

NARROW = (390, 844)
"""The size of a telephone's screen."""

WIDE = (1280, 900)
"""The size of a window on a desk."""


def page_after_scripts(address: str, profile: Path, *, wait_ms: int = 10_000) -> str:
    """A page's HTML once its scripts are at rest, for at most `wait_ms` of the browser's virtual time.

    Skips the test if no Chromium is installed.
    """
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium: apt install chromium")
    command = [
        chromium,
        *FLAGS,
        f"--user-data-dir={profile}",
        f"--virtual-time-budget={wait_ms}",
        "--dump-dom",
        address,
    ]
    run = subprocess.run(command, capture_output=True, text=True, timeout=LONG_S, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout
