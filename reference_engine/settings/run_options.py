"""The options of `reference-engine run`, and the settings that they and the files make."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from reference_engine.settings.environment import read_environ
from reference_engine.settings.loading import load_engine_settings, load_settings
from voicepipe import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reference_engine.settings.settings import EngineSettings


@frozen
class RunOptions:
    """The command line of `reference-engine run`; it takes precedence over the file."""

    file: Path
    """An engine's YAML file, or a pipeline set's own."""
    env_file: Path | None = None
    """Variables for `${NAME}`, laid over the process's environment."""
    audiosocket: tuple[str, int] | None = None
    """Host and port of the one listener."""
    control: Path | None = None
    """The control's Unix socket."""
    drain_s: float | None = None
    """How long calls that are up may go on when the engine is stopped, in s."""
    watch: bool = False
    """Whether files are watched, whatever the file says."""

    def load(self) -> tuple[EngineSettings, Mapping[str, str]]:
        """The settings, and the environment that they and the sets are to be read with. Reads files, so it blocks.

        Raises:
            ConfigError: with every problem of the file, or of `env_file`.

        """
        environ = read_environ(self.env_file)
        return self.laid_over(load_settings(self.file, environ=environ)), environ

    def load_again(self) -> EngineSettings:
        """What the engine's file comes to now, when one is run with. Reads files, so it blocks.

        Raises:
            ConfigError: with every problem of the file, or of `env_file`.

        """
        return self.laid_over(load_engine_settings(self.file, environ=read_environ(self.env_file)))

    def laid_over(self, settings: EngineSettings) -> EngineSettings:
        """The settings with those of the command line in their places; raises `ConfigError` if there is no place."""
        if self.audiosocket is not None:
            if settings.document is not None and len(settings.listeners) > 1:
                message = f"--audiosocket can't say which of these {len(settings.listeners)} it is for"
                hint = "leave it out, and give the addresses here"
                raise ConfigError([settings.document.problem(("listeners",), message, hint)], settings.files)
            host, port = self.audiosocket
            settings = evolve(settings, listeners=(evolve(settings.listeners[0], host=host, port=port),))
        if self.control is not None:
            settings = evolve(settings, control=self.control)
        if self.watch:
            settings = evolve(settings, watch=True)
        return settings if self.drain_s is None else evolve(settings, drain_s=self.drain_s)
