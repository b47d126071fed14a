"""R04: `voicepipe check` exits 0 when all is fine, 78 for a bad configuration, 1 otherwise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GOOD = ROOT / "config" / "ai-agent.yaml"
RUN = [sys.executable, "-c", "import sys; from voicepipe.cli import main; sys.exit(main())"]


def check(*arguments, **environ):
    return subprocess.run(
        [*RUN, "check", *arguments], env=os.environ | environ, capture_output=True, text=True, check=False, cwd=ROOT
    )


def test_all_is_fine():
    process = check(GOOD)
    assert (process.returncode, process.stderr) == (0, "")


@pytest.mark.parametrize("content", ["", "pipelines: [", "pipelines: {}", "\0", "[" * 20_000, None])
def test_a_bad_configuration(tmp_path, content):
    path = tmp_path / "bad.yaml"
    if content is not None:
        path.write_text(content)
    process = check(GOOD, path)
    assert process.returncode == 78
    assert f"{path}:1:" in process.stdout
    assert process.stderr == ""


def test_wrong_usage():
    assert check().returncode == 2
    assert check("--formt", "json", GOOD).returncode == 2


def test_an_adapter_that_nobody_names_is_not_in_the_way(tmp_path):
    """A package that can't be imported is no mistake of a file that doesn't use it."""
    package = tmp_path / "broken-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[voicepipe.tts]\nbroken = no_such_module:tts\n")
    process = check(GOOD, PYTHONPATH=str(tmp_path))
    assert (process.returncode, process.stderr) == (0, "")


def test_anything_else():
    """A disk that is full is nobody's configuration."""
    with Path("/dev/full").open("w") as full:
        process = subprocess.run([*RUN, "check", GOOD], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert process.returncode == 1
    assert "No space left on device" in process.stderr
