"""Reads a configuration beside calls that are up: in a helper process, or in a thread.

Parsing holds the interpreter's lock, so a thread would delay the audio of calls; a process of low priority doesn't. The
helper (`config/reading_helper.py`) is a fork of a process that has imported voicepipe anew (`reading_template.py`), so
it must be the same code as in this process: fingerprints of both, and of the code on the disk, are compared before
anything of its answer is unpickled. If they differ, a package was upgraded in place, and the outcome says that the
program needs a restart.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Mapping
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import trio
from attrs import evolve

from voicepipe.components.registry import installed
from voicepipe.config.fingerprint import (
    adapters_of_this_process,
    code_of_this_process,
    code_on_disk,
    libraries_changed,
    libraries_of_this_process,
)
from voicepipe.config.hashes import known_hashes, learn
from voicepipe.config.paths import working_directory
from voicepipe.config.reading_helper import Preface, ReadRequest, broke_down, defect, explain, read
from voicepipe.config.settings import SetConfig
from voicepipe.errors import ConfigError, Location, Problem

if TYPE_CHECKING:
    from pathlib import Path

    from voicepipe.components.registry import Registry
    from voicepipe.pipelines.reading_template import ReadingTemplate

Environ: TypeAlias = Mapping[str, str] | Callable[[], Mapping[str, str]] | None
"""Where `${NAME}` is looked up; a function, called in a thread, gives it anew for each reading; None: the process's
environment."""

T = TypeVar("T")

_ANSWERED_SOMETHING_ELSE = "failed, because the helper process answered something else"

READERS = 8
"""The number of threads that read files at the same time; further readings wait, within their time limit."""

_limiter = trio.lowlevel.RunVar[trio.CapacityLimiter]("files that are read in threads")

READ_S = 120.0
"""The time limit of reading, in s: a network drive or a check that hangs must not block later reloads."""


async def load(
    path: Path,
    registry: Registry,
    environ: Environ,
    tools: tuple[str, ...],
    *,
    template: ReadingTemplate | None,
    contents: Mapping[Path, bytes] | None = None,
) -> SetConfig:
    """Returns the configuration of a file, as `load_config` does, without blocking the loop.

    Args:
        path: the YAML file.
        registry: the adapters that it may name.
        environ: the variables for `${NAME}`.
        tools: names that `tools:` may have besides the built-in ones.
        template: makes the helper process, which has to read because calls may be up; None: a thread reads. With a
            registry other than the installed one, which only this process knows, a thread reads all the same.
        contents: contents of files by absolute path, which replace those on the disk.

    Raises:
        ConfigError: the file has problems; a `DefectError` if reading itself failed.

    """
    request = await read_in_thread(path, partial(_request, path, environ, tools, contents, registry))
    if template is None or registry is not installed():
        return await read_in_thread(path, partial(read, request, registry))
    config, _answer = await _ask_helper(request, template)
    if not isinstance(config, SetConfig):
        raise defect(path, _ANSWERED_SOMETHING_ELSE)
    return config


async def load_with_answer(
    path: Path,
    registry: Registry,
    environ: Environ,
    tools: tuple[str, ...],
    *,
    template: ReadingTemplate,
    contents: Mapping[Path, bytes] | None = None,
) -> tuple[SetConfig, bytes]:
    """Returns the configuration of a file, and the helper's answer, of which `config_of_answer` makes it anywhere.

    A helper reads even if no calls are up. With a registry other than the installed one a thread reads, and answers.

    Args:
        path: the YAML file.
        registry: the adapters that it may name.
        environ: the variables for `${NAME}`.
        tools: names that `tools:` may have besides the built-in ones.
        template: makes the helper process.
        contents: contents of files by absolute path, which replace those on the disk.

    Raises:
        ConfigError: the file has problems; a `DefectError` if reading itself failed.

    """
    request = await read_in_thread(path, partial(_request, path, environ, tools, contents, registry))
    if registry is not installed():
        return await read_in_thread(path, partial(_read_and_answer, request, registry))
    config, answer = await _ask_helper(request, template)
    if not isinstance(config, SetConfig):
        raise defect(path, _ANSWERED_SOMETHING_ELSE)
    return config, answer


async def config_of_answer(path: Path, answer: bytes) -> SetConfig | None:
    """Returns the configuration in a helper's answer; None if it is of other code, which only its sources can tell.

    Raises:
        ConfigError: the answer is damaged.

    """
    await trio.to_thread.run_sync(_note_code, installed())
    if _code_of(answer) != {code_of_this_process()}:
        return None
    config = await _result_of(path, answer)
    if not isinstance(config, SetConfig):
        raise defect(path, _ANSWERED_SOMETHING_ELSE)
    return config


def _read_and_answer(request: ReadRequest, registry: Registry) -> tuple[SetConfig, bytes]:
    config = read(request, registry)
    preface: Preface = adapters_of_this_process(installed()), known_hashes()
    answer = f"{code_of_this_process()}\n".encode() + pickle.dumps(preface) + pickle.dumps(config)
    return config, answer


async def explain_settings(
    config: SetConfig,
    pipeline: str,
    registry: Registry,
    environ: Environ,
    tools: tuple[str, ...],
    *,
    template: ReadingTemplate,
) -> dict[str, Any]:
    """Returns the settings of a pipeline with the origin of each, as data for JSON.

    The configuration's own sources are read again, in a helper process, because calls may be up.

    Args:
        config: the configuration.
        pipeline: the pipeline's name.
        registry: the adapters that it may name; with another one than the installed one a thread reads.
        environ: the variables for `${NAME}`.
        tools: names that `tools:` may have besides the built-in ones.
        template: makes the helper process.

    Raises:
        ConfigError: the sources can't be read any more; a `DefectError` if reading itself failed.

    """
    path = config.path
    request = await read_in_thread(path, partial(_request, path, environ, tools, config.sources, registry))
    request = evolve(request, explained=pipeline)
    if registry is not installed():
        return await read_in_thread(path, partial(explain, request, registry))
    settings, _answer = await _ask_helper(request, template)
    if not isinstance(settings, dict):
        raise defect(path, _ANSWERED_SOMETHING_ELSE)
    return settings


async def read_in_thread(path: Path, read: Callable[[], T]) -> T:
    """Calls a function that reads files in a thread, and returns its result.

    A network drive may keep it from ever returning. So it has threads of its own, of which others need none.

    Args:
        path: the file that problems are about.
        read: the function; what it raises is raised here. At the time limit, or if cancelled, it is abandoned.

    Raises:
        ConfigError: it did not return within `READ_S`, or the system grants no more threads.

    """
    try:
        with trio.fail_after(READ_S):
            return await trio.to_thread.run_sync(read, abandon_on_cancel=True, limiter=_threads())
    except trio.TooSlowError:
        raise _too_slow(path) from None
    except RuntimeError as error:
        if "start new thread" not in str(error):
            raise
        hint = "raise the limit of processes: TasksMax= of systemd, --pids-limit of a container, ulimit -u"
        raise ConfigError(
            [Problem(Location.of_whole(path), "", "was not read: the system grants no more threads", hint)]
        ) from None


def _threads() -> trio.CapacityLimiter:
    try:
        return _limiter.get()
    except LookupError:
        limiter = trio.CapacityLimiter(READERS)
        _limiter.set(limiter)
        return limiter


def _too_slow(path: Path) -> ConfigError:
    hint = "is it, or a file that it names, on a drive that doesn't answer?"
    return ConfigError([Problem(Location.of_whole(path), "", f"was not read within {READ_S:g} s", hint)])


def _request(
    path: Path, environ: Environ, tools: tuple[str, ...], contents: Mapping[Path, bytes] | None, registry: Registry
) -> ReadRequest:
    _note_code(registry)  # at the first reading, because the files may be another release's later
    try:
        directory = working_directory()
    except OSError as error:
        hint = "start it in a directory that stays, or give the file's absolute path"
        message = f"the working directory can't be found: {error.strerror}"
        raise ConfigError([Problem(Location.of_whole(path), "", message, hint)]) from None
    return ReadRequest(path, _variables(path, environ), tools, contents or {}, directory, known_hashes())


def _variables(path: Path, environ: Environ) -> dict[str, str]:
    try:
        return dict(os.environ if environ is None else environ() if callable(environ) else environ)
    except (ConfigError, KeyboardInterrupt):
        raise
    # A program's own function may raise anything, and a reload must never end the process.
    except BaseException as error:  # noqa: BLE001
        raise defect(path, f"could not begin, because the environment {broke_down(error)}") from None


async def _ask_helper(request: ReadRequest, template: ReadingTemplate) -> tuple[object, bytes]:
    """Returns the result of a helper process, and its whole answer; raises the result if it is a `ConfigError`."""
    try:
        with trio.fail_after(READ_S):
            answer = await _answer_of_helper(request, template)
            return await _result_of(request.path, answer), answer
    except trio.TooSlowError:
        raise _too_slow(request.path) from None


async def _answer_of_helper(request: ReadRequest, template: ReadingTemplate) -> bytes:
    try:
        run = await template.run(pickle.dumps(request), request.directory)
    except OSError as error:
        raise defect(request.path, f"failed, because no helper process can be started: {error.strerror}") from None
    # A helper without output may be of a release that lacks the modules it begins with.
    if (_code_of(run.data) or {await trio.to_thread.run_sync(code_on_disk)}) != {code_of_this_process()}:
        raise _upgraded(request.path, "voicepipe")
    if run.status:
        ended = f"by signal {-run.status}" if run.status < 0 else f"with status {run.status}"
        raise await _broke_down(request.path, f"failed, because the helper process ended {ended}")
    return run.data


def _code_of(answer: bytes) -> set[str]:
    """Returns the fingerprints in the first line of an answer: of the helper's code, and of that on the disk."""
    return {*answer.partition(b"\n")[0].decode(errors="replace").split()}


async def _result_of(path: Path, answer: bytes) -> object:
    """Returns the result in a helper's answer, whose first line says that it is of this code."""
    try:
        # In a thread, because a large answer takes 100 ms.
        adapters, result = await trio.to_thread.run_sync(_unpickled, answer.partition(b"\n")[2])
    except EOFError:
        raise await _broke_down(path, "failed, because the helper process ended without an answer") from None
    except Exception as error:  # noqa: BLE001 - whatever is in it, it rejects the file and ends nothing
        failed = f"failed: the helper process's answer {broke_down(error)}"
        raise await _broke_down(path, failed) from None
    if adapters != adapters_of_this_process(installed()):
        raise _upgraded(path, "a package of adapters")
    if isinstance(result, ConfigError):
        raise result
    return result


async def _broke_down(path: Path, message: str) -> ConfigError:
    """Returns the error of a helper that failed: libraries have changed since this process loaded them, or a defect."""
    changed = await trio.to_thread.run_sync(libraries_changed)
    return _upgraded(path, ", ".join(changed)) if changed else defect(path, message)


def _unpickled(answer: bytes) -> tuple[str, object]:
    file = BytesIO(answer)
    preface: Preface = pickle.load(file)  # noqa: S301 - our own child wrote it
    adapters, hashes = preface
    learn(hashes)
    try:
        return adapters, pickle.load(file)  # noqa: S301
    except Exception:
        if adapters != adapters_of_this_process(installed()):
            return adapters, None
        raise


def _note_code(registry: Registry) -> None:
    code_of_this_process()
    libraries_of_this_process()
    if registry is installed():
        adapters_of_this_process(registry)


def _upgraded(path: Path, what: str) -> ConfigError:
    message = f"{what} was upgraded since the start, so files can't be read by the code that runs: restart"
    hint = "restart the engine, or the program; until then it serves on as it is"
    return ConfigError([Problem(Location.of_whole(path), "", message, hint)])
