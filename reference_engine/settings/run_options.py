"""The options of `reference-engine run`, and the settings that result from them and the file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from attrs import asdict, evolve, frozen

from reference_engine.settings.environment import read_environ
from reference_engine.settings.loading import load_engine_settings, load_settings
from voicepipe import AudioSocketSettings, ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reference_engine.settings.settings import EngineSettings


@frozen
class RunOptions:
    """The command line of `reference-engine run`; it takes precedence over the file."""

    file: Path
    """An engine's YAML file, or a pipeline set's."""
    env_file: Path | None = None
    """The file of variables for `${NAME}`, which override the environment; None: only the environment."""
    audiosocket: tuple[str, int] | None = None
    """The host and port of the only listener; None: those of the file."""
    control: Path | None = None
    """The control's Unix socket; None: that of the file."""
    drain_s: float | None = None
    """The time that calls may go on after a stop signal, in s; None: that of the file."""
    watch: bool = False
    """True: watches files, even if the file says `watch: false`."""
    workers: int | Literal["auto"] | None = None
    """The number of processes that serve calls; None: that of the file."""

    def as_data(self) -> dict[str, Any]:
        """Returns the options as plain data, for a process that is to run with them."""
        data = asdict(self)
        return {name: str(value) if isinstance(value, Path) else value for name, value in data.items()}

    @classmethod
    def of_data(cls, data: Mapping[str, Any]) -> Self:
        """Returns the options that `as_data` made data of."""
        paths = {name: Path(data[name]) if data[name] else None for name in ("env_file", "control")}
        where = data["audiosocket"]
        return cls(**{**data, **paths, "file": Path(data["file"]), "audiosocket": tuple(where) if where else None})

    def load(self) -> tuple[EngineSettings, Mapping[str, str]]:
        """Returns the settings, and the variables that they were read with. Blocks.

        Raises:
            ConfigError: with all problems of the file, or of `env_file`.

        """
        environ = read_environ(self.env_file)
        return self.override(load_settings(self.file, environ=environ)), environ

    def load_again(self) -> EngineSettings:
        """Returns the settings of the engine's file as it is now, for a reload. Blocks.

        Raises:
            ConfigError: with all problems of the file, or of `env_file`.

        """
        return self.override(load_engine_settings(self.file, environ=read_environ(self.env_file)))

    def override(self, settings: EngineSettings) -> EngineSettings:
        """Returns the settings overridden by the command line; raises `ConfigError` if that is ambiguous."""
        if self.audiosocket is not None:
            if settings.document is not None and len(settings.listeners) > 1:
                message = f"--audiosocket overrides the address of one listener, and here are {len(settings.listeners)}"
                hint = "leave out --audiosocket, and give each listener its `host` and `port` here"
                raise ConfigError([settings.document.problem(("listeners",), message, hint)], settings.files)
            (listener,) = settings.listeners
            if settings.document is not None and not isinstance(listener.options, AudioSocketSettings):
                message = f"--audiosocket overrides an address of AudioSocket, and this listener is of {listener.type}"
                hint = "leave out --audiosocket, and give the listener its address here"
                raise ConfigError([settings.document.problem(("listeners", 0), message, hint)], settings.files)
            host, port = self.audiosocket
            options = evolve(listener.options, host=host, port=port)
            settings = evolve(settings, listeners=(evolve(listener, options=options),))
        if self.control is not None:
            settings = evolve(settings, control=self.control)
        if self.watch:
            settings = evolve(settings, watch=True)
        if self.workers is not None:
            if settings.fleet is not None and settings.document is not None and self.workers != 1:
                message, hint = "an engine with several workers can't belong to a fleet yet", "leave out --workers"
                raise ConfigError([settings.document.problem(("fleet",), message, hint, key=True)], settings.files)
            settings = evolve(settings, workers=self.workers)
        return settings if self.drain_s is None else evolve(settings, drain_s=self.drain_s)
