"""Runs in the helper process that reads a configuration while calls are up, and answers its parent.

Parsing a large file holds the interpreter for hundreds of milliseconds, also in a thread, which callers would hear. The
request is a pickled `ReadRequest`, over a connection. The answer has three parts: a line with the fingerprints of the
code that this process was imported from and of the code on the disk (see `fingerprint`), a pickled `Preface`, which has
plain types only, and a pickled `SetConfig` or `ConfigError`, or the settings of a pipeline as plain data.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from traceback import extract_tb
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

from attrs import field, frozen

from voicepipe.components.registry import installed
from voicepipe.config.describe.provenance import as_data, provenance_of
from voicepipe.config.fingerprint import adapters_on_disk, code_on_disk
from voicepipe.config.hashes import Signature, known_hashes, learn
from voicepipe.config.load import load_config, load_without_secrets
from voicepipe.config.paths import know_working_directory, working_directory
from voicepipe.errors import ConfigError, Location, Problem

if TYPE_CHECKING:
    from voicepipe.components.registry import Registry
    from voicepipe.config.settings import SetConfig


class DefectError(ConfigError):
    """Reading the files failed by a defect of the code, not by a mistake in them."""


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
    """Contents of files by absolute path, which replace those on the disk."""
    directory: Path = field(factory=working_directory)
    """The directory that relative paths start from."""
    hashes: Mapping[Signature, str] = field(factory=dict, repr=False)
    """The known hashes of large files."""
    explained: str = ""
    """The pipeline whose settings are to be explained; empty: the configuration is wanted."""


Preface: TypeAlias = tuple[str, dict[Signature, str]]
"""The first pickle of an answer: the fingerprint of the adapters' code, and the known hashes of large files."""


def read(request: ReadRequest, registry: Registry | None = None) -> SetConfig:
    """Returns the configuration with the reachable pipelines only: unpickling a thousand would delay calls.

    Args:
        request: the file, and the environment to read it in.
        registry: the adapters that the file may name; None: the installed ones.

    Raises:
        ConfigError: the file has problems; a `DefectError` if any other exception was raised.

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
    # Adapters may raise anything, such as SystemExit, and a reload must never end the process.
    except BaseException as error:  # noqa: BLE001
        raise defect(request.path, broke_down(error)) from None


def explain(request: ReadRequest, registry: Registry | None = None) -> dict[str, Any]:
    """Returns the settings of a pipeline with the origin of each, as data for JSON.

    Variables and files of secrets may be missing meanwhile: what they give is shown as it is written.

    Args:
        request: the file, the pipeline, and the environment to read it in.
        registry: the adapters that the file may name; None: the installed ones.

    Raises:
        ConfigError: the file has problems or no such pipeline; a `DefectError` if any other exception was raised.

    """
    try:
        presumed = load_without_secrets(
            request.path,
            registry=registry,
            environ=request.environ,
            tools=request.tools,
            contents=request.contents,
        )
        if presumed.placed is not None:
            return as_data(provenance_of(presumed.placed, request.explained))
    except (ConfigError, KeyboardInterrupt):
        raise
    except BaseException as error:  # noqa: BLE001 - as above
        raise defect(request.path, broke_down(error)) from None
    missing = ", ".join(presumed.missing)
    raise ConfigError([Problem(Location.of_whole(request.path), "", f"can't be explained without {missing}")])


def broke_down(error: BaseException) -> str:
    """Returns the type and the location of an exception, without its message, which may quote a secret."""
    frames = extract_tb(error.__traceback__)
    at = f" in {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
    return f"failed with {type(error).__name__}{at}"


def defect(path: Path, what: str) -> DefectError:
    """Returns the error for a file that could not be read because of a defect in the code."""
    hint = "a defect in voicepipe or in an adapter: please report it, with what `voicepipe check` prints"
    return DefectError([Problem(Location.of_whole(path), "", f"reading it {what}", hint)])


def answer(request: ReadRequest) -> bytes:
    """Returns the pickled answer to a request."""
    try:
        config = explain(request) if request.explained else read(request)
    except ConfigError as error:
        return pickle.dumps(error)
    try:
        return pickle.dumps(config)
    except Exception as error:  # noqa: BLE001 - an adapter's options may hold anything
        return pickle.dumps(defect(request.path, f"in a helper process {broke_down(error)}: options must be picklable"))


def main(asked: BinaryIO, write: Callable[[bytes], object], code: str) -> None:
    """Reads a request, and writes the answer.

    Args:
        asked: has the request.
        write: writes a part of the answer at once, for the first line has to come whatever the reading does.
        code: the fingerprint of the code from which this process was imported.

    """
    write(f"{code} {code_on_disk()}\n".encode())
    request = pickle.load(asked)  # noqa: S301 - our own parent wrote it
    know_working_directory(request.directory)
    learn(request.hashes)
    answered = answer(request)
    write(pickle.dumps((adapters_on_disk(installed()), known_hashes())))
    write(answered)
