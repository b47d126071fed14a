"""Common to the commands that ask a fleet: the options that name it, and the connection to its etcd."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from reference_engine.errors import EngineError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Awaitable, Callable

    from reference_engine.fleet.etcd.client import EtcdClient
    from reference_engine.fleet.keys import FleetKeys
    from reference_engine.settings.fleet_settings import FleetSettings

T = TypeVar("T")

FILE_HELP = "an engine's file with `fleet:`, or ADDRESS/NAME such as http://127.0.0.1:2379/prod, several with commas"


def add_fleet_options(command: ArgumentParser) -> None:
    """Adds `--fleet`, `--env-file` and `--set`."""
    command.add_argument("--fleet", required=True, metavar="FLEET", help=FILE_HELP)
    command.add_argument(
        "--env-file", type=Path, metavar="PATH", help="NAME=value lines for ${NAME}; they override the environment"
    )
    command.add_argument("--set", default="main", metavar="NAME", help="which pipeline set (default: %(default)s)")


def fleet_settings(arguments: Namespace) -> FleetSettings:
    """Returns the fleet that `--fleet` names.

    Raises:
        ConfigError: the engine's file has problems.
        EngineError: it has no fleet, or the text is no address.

    """
    from reference_engine.settings.environment import read_environ  # noqa: PLC0415 - only what the command needs
    from reference_engine.settings.fleet_settings import FleetSettings  # noqa: PLC0415 - only what the command needs
    from reference_engine.settings.loading import load_engine_settings  # noqa: PLC0415 - only what the command needs

    given = str(arguments.fleet)
    if "://" not in given:
        settings = load_engine_settings(Path(given), environ=read_environ(arguments.env_file)).fleet
        if settings is None:
            raise EngineError(f"{given} has no `fleet`: add `fleet: {{etcd: [http://127.0.0.1:2379], name: prod}}`")
        return settings
    addresses, _, name = given.rpartition("/")
    try:
        return FleetSettings(etcd=tuple(addresses.split(",")), name=name)
    except ValueError as error:
        raise EngineError(f"--fleet {given} is not ADDRESS/NAME, such as http://127.0.0.1:2379/prod: {error}") from None


def ask_fleet(arguments: Namespace, ask: Callable[[EtcdClient, FleetKeys], Awaitable[T]]) -> T:
    """Returns what a function has asked the fleet's etcd.

    Raises:
        EngineError: etcd can't be reached, or refuses.

    """
    import trio  # noqa: PLC0415 - only what the command needs

    from reference_engine.fleet.etcd.client import open_etcd  # noqa: PLC0415 - only what the command needs
    from reference_engine.fleet.keys import FleetKeys  # noqa: PLC0415 - only what the command needs

    settings = fleet_settings(arguments)

    async def run() -> T:
        async with open_etcd(settings) as etcd:
            return await ask(etcd, FleetKeys(settings.name))

    return trio.run(run)


def say(text: str) -> None:
    """Prints a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
