"""The demonstration is played while other tests run: it is most of a minute in which the machine has little to do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

ROOT = Path(__file__).parents[2]

PLAYED_S = 280
"""How long it may take on a machine that does much else besides; it takes 40 s."""


class Demonstration:
    """A demonstration that is being played as a user plays it, with nothing but an empty home."""

    def __init__(self, directory):
        self._home, self.output = directory / "home", directory / "output"
        self._home.mkdir()
        self._files = [(directory / name).open("w+", encoding="utf-8") for name in ("stdout", "stderr")]
        stdout, stderr = self._files
        self._process = subprocess.Popen(
            [sys.executable, "-m", "examples.demo", "--output", str(self.output)],
            cwd=ROOT,
            env={"HOME": str(self._home), "PATH": os.defpath},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
        )

    def finished(self):
        """Its exit status and what it said, once it is over."""
        status = self._process.wait(PLAYED_S)
        said = []
        for file in self._files:
            file.seek(0)
            said.append(file.read())
        return subprocess.CompletedProcess(self._process.args, status, *said)

    def close(self):
        self._process.terminate()  # nothing, if it is over
        self._process.wait()
        for file in self._files:
            file.close()


PLAYED = pytest.StashKey[Demonstration]()


def pytest_collection_finish(session):
    """Begins it if a test wants it."""
    if session.config.option.collectonly or not any("demo" in getattr(item, "fixturenames", ()) for item in session.items):
        return
    directory = TemporaryDirectory(prefix="demo-")
    session.config.add_cleanup(directory.cleanup)
    playing = session.config.stash[PLAYED] = Demonstration(Path(directory.name))
    session.config.add_cleanup(playing.close)


@pytest.fixture(scope="module")
def demo(request):
    """The finished process, and what it wrote."""
    playing = request.config.stash[PLAYED]
    return playing.finished(), playing.output
