"""Runs of pytest, each in a process of its own: forks of one that has imported what all of them need.

Tests that try the conformance kit as its users do need dozens of such runs, and to start one takes longer than what it
does. Each has its own directory, path and output, and loads the plugins and entry points that it finds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from patience import LONG_S

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_FORKING = """
import json, os, sys
import pytest, hypothesis, trio.testing, pytest_trio.plugin, xdist.plugin, voicepipe.public, voicepipe.testing

def run(directory, options, path, output):
    for descriptor in (1, 2):
        os.dup2(os.open(f"{output}.{descriptor}", os.O_CREAT | os.O_WRONLY, 0o600), descriptor)
    os.chdir(directory)
    os.environ["PYTHONPATH"] = os.pathsep.join(path)
    sys.path[:0] = ["", *path]
    sys.argv = ["pytest", *options]
    sys.exit(pytest.main(options))

def end():
    child, status = os.wait()
    with open(f"{running.pop(child)}.status", "w") as file:
        file.write(str(os.waitstatus_to_exitcode(status)))

at_once, runs = json.loads(sys.argv[1])
running = {}
for how in runs:
    if len(running) == at_once:
        end()
    if (child := os.fork()) == 0:
        run(*how)
    running[child] = how[-1]
while running:
    end()
"""


def forked_pytest(
    runs: Iterable[tuple[Path, list[str], Iterable[Path]]], place: Path, *, at_once: int = 1
) -> list[subprocess.CompletedProcess[str]]:
    """What came of each run, in their order.

    Args:
        runs: of each, the directory that it runs in, pytest's options, and what goes before everything on its path.
        place: a directory for what they print.
        at_once: how many of them run at a time.

    """
    wanted = [
        (str(directory), options, [str(entry) for entry in path], str(place / f"run{number}"))
        for number, (directory, options, path) in enumerate(runs)
    ]
    code = [sys.executable, "-c", _FORKING, json.dumps([at_once, wanted])]
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "COV_"))}
    subprocess.run(code, check=True, stdin=subprocess.DEVNULL, timeout=5 * LONG_S, env=environ)
    ended = []
    for _directory, options, _path, output in wanted:
        status, out, err = ((place / f"{output}.{what}").read_text() for what in ("status", "1", "2"))
        ended.append(subprocess.CompletedProcess(options, int(status), out, err))
    return ended
