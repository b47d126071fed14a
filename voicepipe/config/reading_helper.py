"""Reads a configuration in a helper process, at the lowest priority, so that active calls are not delayed.

Parsing a big file takes the interpreter for hundreds of milliseconds, in a thread as well; calls that are up
would hear that. A pickled `ReadRequest` comes on standard input. To standard output go a line that tells which code
this is (see `fingerprint`), then a pickled `Preface`, which is of plain types, then a pickled `SetConfig` or
`ConfigError`. Secrets travel in those alone.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Mapping
from pathlib import Path
from traceback import extract_tb
from typing import TYPE_CHECKING, TypeAlias

from attrs import field, frozen

from voicepipe.components.registry import installed
from voicepipe.config.fingerprint import adapters_on_disk
from voicepipe.config.hashes import Signature, known_hashes, learn
from voicepipe.config.load import load_config
from voicepipe.config.paths import know_working_directory, working_directory
from voicepipe.errors import ConfigError, Location, Problem

if TYPE_CHECKING:
    from voicepipe.components.registry import Registry
    from voicepipe.config.settings import SetConfig


class DefectError(ConfigError):
    """Reading the files failed by a fault of the code, whatever they say."""


@frozen
class ReadRequest:
    """The request to a helper process: the file to read, and the environment to read it in."""

    path: Path
    """The YAML file."""
    environ: Mapping[str, str] = field(repr=False)
    """The variables for `${NAME}`."""
    tools: tuple[str, ...] = ()
    """Names that `tools:` may have besides the built-in ones."""
    contents: Mapping[Path, bytes] = field(factory=dict, repr=False)
    """Files by absolute path that are as given here, whatever is on the disk."""
    directory: Path = field(factory=working_directory)
    """The directory that relative paths start from."""
    hashes: Mapping[Signature, str] = field(factory=dict, repr=False)
    """Hashes of large files that are known already."""


Preface: TypeAlias = tuple[str, dict[Signature, str]]
"""The first part of an answer: the fingerprint of the adapters' code, and the hashes of large files known by now."""


def read(request: ReadRequest, registry: Registry | None = None) -> SetConfig:
    """Returns the configuration with the reachable pipelines only: unpickling a thousand would delay calls.

    Args:
        request: what to read.
        registry: the adapters that it may name; None: the installed ones.

    Raises:
        ConfigError: with every problem; a `DefectError` if reading itself broke down.

    """
    try:
        return load_config(
            request.path,
            registry=registry,
            environ=request.environ,
            tools=request.tools,
            contents=request.contents,
        ).for_calls
    except (ConfigError, KeyboardInterrupt):
        raise
    # An adapter's code is somebody else's, and a reload must never end the process.
    except BaseException as error:  # noqa: BLE001
        raise defect(request.path, broke_down(error)) from None


def broke_down(error: BaseException) -> str:
    """Returns the type and the location of an exception, without its message, which may quote a secret."""
    frames = extract_tb(error.__traceback__)
    at = f" in {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
    return f"failed with {type(error).__name__}{at}"


def defect(path: Path, what: str) -> DefectError:
    """The error for a file that could not be read through no fault of its own."""
    hint = "a defect in voicepipe or in an adapter: please report it, with what `voicepipe check` prints"
    return DefectError([Problem(Location(path), "", f"reading it {what}", hint)])


def answer(request: ReadRequest) -> bytes:
    """The pickled answer to a request."""
    try:
        config = read(request)
    except ConfigError as error:
        return pickle.dumps(error)
    try:
        return pickle.dumps(config)
    except Exception as error:  # noqa: BLE001 - an adapter's options may hold anything
        return pickle.dumps(defect(request.path, f"in a helper process {broke_down(error)}: options must be picklable"))


def main() -> None:
    """Answers one request."""
    # Whatever an adapter prints must not end up in the middle of the answer.
    with os.fdopen(os.dup(1), "wb") as output:
        os.dup2(2, 1)
        request = pickle.load(sys.stdin.buffer)  # noqa: S301 - our own parent wrote it
        know_working_directory(request.directory)
        learn(request.hashes)
        answered = answer(request)
        output.write(pickle.dumps((adapters_on_disk(installed()), known_hashes())))
        output.write(answered)
    os._exit(0)  # whatever threads an adapter has left behind
