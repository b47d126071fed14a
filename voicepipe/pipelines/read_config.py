"""Configurations that one process has read for several, so that all of them serve what one of them found."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import TYPE_CHECKING

import trio
from attrs import field, frozen

from voicepipe.components.registry import installed
from voicepipe.config.reading_helper import broke_down, defect
from voicepipe.config.settings import SetConfig
from voicepipe.pipelines.read_in_helper import config_of_answer, load, load_with_answer
from voicepipe.pipelines.reading_template import open_reading_template

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from voicepipe.components.registry import Registry
    from voicepipe.pipelines.read_in_helper import Environ

_FORMAT = 1


@frozen
class ReadConfig:
    """A pipeline set's configuration as it was read, which other processes can serve without reading any file."""

    config: SetConfig
    """The configuration."""
    answer: bytes = field(default=b"", repr=False, eq=False)
    """The answer of the process that read it: a line with fingerprints of its code, then pickles. Empty: other
    processes read the sources again."""

    def encode(self) -> bytes:
        """Returns bytes of which `decode_config` makes it again; they hold secrets, and are for this machine only.

        It takes about 1 ms per MB, without holding the interpreter's lock for longer than a copy does.
        """
        config = self.config
        sources = {str(path): content for path, content in config.sources.items()}
        return pickle.dumps((_FORMAT, str(config.files[0]), sources, self.answer))


async def read_config(
    path: str | Path,
    *,
    registry: Registry | None = None,
    environ: Environ = None,
    tools: Iterable[str] = (),
    contents: Mapping[Path, bytes] | None = None,
) -> ReadConfig:
    """Reads a pipeline set's file with all that it names, in a helper process, for `PipelineSet.serve` of many sets.

    Args:
        path: the YAML file.
        registry: the adapters that the file may name; None: all that are installed. With another one a thread reads.
        environ: the variables for `${NAME}`, or a function that returns them; None: the process's environment.
        tools: the names of the program's own tools, which a pipeline may list under `tools:`.
        contents: contents of files by absolute path, which replace those on the disk, such as `SetConfig.sources` of
            another machine.

    Raises:
        ConfigError: the file has problems; it has all of them, each with its place.

    """
    arguments = Path(path), registry or installed(), environ, tuple(tools)
    async with open_reading_template() as template:
        return ReadConfig(*await load_with_answer(*arguments, template=template, contents=contents))


async def decode_config(
    data: bytes, *, registry: Registry | None = None, environ: Environ = None, tools: Iterable[str] = ()
) -> ReadConfig:
    """Returns a configuration that another process of this machine has read and encoded.

    If that process runs the same code, nothing is read or parsed. Otherwise, for instance because a package was
    upgraded between the starts of both, the sources that came along are read with the code of this process.

    Args:
        data: what `ReadConfig.encode` returned. It is unpickled, so it must come from a program that is trusted.
        registry: the adapters that the file may name; None: all that are installed.
        environ: the variables for `${NAME}`, if the sources have to be read.
        tools: the names of the program's own tools, if the sources have to be read.

    Raises:
        ConfigError: the data is damaged, or its sources are not valid for the code of this process.

    """
    try:
        version, name, sources, answer = await trio.to_thread.run_sync(pickle.loads, data)
    except Exception as error:  # noqa: BLE001 - what came rejects the change, and ends nothing
        raise defect(Path(), f"failed: what another process has read {broke_down(error)}") from None
    path = Path(name)
    if version == _FORMAT and answer and (config := await config_of_answer(path, answer)) is not None:
        return ReadConfig(config, answer)
    contents = {Path(source): content for source, content in sources.items()}
    arguments = path, registry or installed(), environ, tuple(tools)
    async with open_reading_template() as template:
        return ReadConfig(await load(*arguments, template=template, contents=contents))
