"""The command `fleet`: what the engines of a fleet serve, its versions, and a rollback of all of them."""

from __future__ import annotations

import json
from argparse import RawDescriptionHelpFormatter
from typing import TYPE_CHECKING, Any

from reference_engine.commands.fleet_place import add_fleet_options, ask_fleet, say
from reference_engine.commands.publish import add_publish_options, publish_bundle
from reference_engine.errors import EngineError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _SubParsersAction

    from reference_engine.fleet.etcd.client import EtcdClient
    from reference_engine.fleet.keys import FleetKeys

EXAMPLES = """\
examples:
  reference-engine fleet status --fleet engine.yaml
  reference-engine fleet versions --fleet http://127.0.0.1:2379/prod --set acme
  reference-engine fleet rollback --fleet engine.yaml              # to the version before
  reference-engine fleet rollback --fleet engine.yaml --to 41

exit status: 0 done, and for `status` all engines serve what is decided; 1 not so, or etcd does not answer
"""


def add_to(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Adds the subcommand `fleet`."""
    command = commands.add_parser(
        "fleet",
        help="show what a fleet serves, or roll it back",
        description="Shows what the engines of a fleet serve, and rolls all of them back.",
        epilog=EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parts = command.add_subparsers(title="commands", metavar="COMMAND", required=True)
    status = parts.add_parser("status", help="show engines, their calls and versions, and who is behind and why")
    versions = parts.add_parser("versions", help="show the versions of a set that can be rolled back to")
    for part in (status, versions):
        add_fleet_options(part)
        part.add_argument("--format", choices=["text", "json"], default="text", help="default: text")
    status.set_defaults(run=run_status)
    versions.set_defaults(run=run_versions)
    rollback = parts.add_parser("rollback", help="have all engines serve an earlier version, as a new one")
    add_fleet_options(rollback)
    add_publish_options(rollback)
    rollback.add_argument("--to", type=int, metavar="N", help="which version (default: the one before)")
    rollback.set_defaults(run=run_rollback)


def run_status(arguments: Namespace) -> int:
    """Prints what all engines serve; returns 0 if that is what is decided."""
    from reference_engine.fleet.fleet_status import describe_fleet  # noqa: PLC0415 - only what the command needs

    status = ask_fleet(arguments, _status)
    say(json.dumps(status, indent=2, ensure_ascii=False) if arguments.format == "json" else describe_fleet(status))
    return 1 if any(engine["behind"] for engine in status["engines"]) else 0


async def _status(etcd: EtcdClient, keys: FleetKeys) -> dict[str, Any]:
    from reference_engine.fleet.fleet_status import fleet_status  # noqa: PLC0415 - only what the command needs
    from reference_engine.fleet.view import KeysView  # noqa: PLC0415 - only what the command needs

    view = KeysView()
    view.read(await etcd.range(keys.state, prefix=True))
    return fleet_status(keys, view)


def run_versions(arguments: Namespace) -> int:
    """Prints the versions of a set."""
    from attrs import asdict  # noqa: PLC0415 - only what the command needs

    from reference_engine.fleet.fleet_status import describe_versions  # noqa: PLC0415 - only what the command needs

    async def ask(etcd: EtcdClient, keys: FleetKeys) -> Any:
        from reference_engine.fleet.publishing import read_versions  # noqa: PLC0415 - only what the command needs

        return await read_versions(etcd, keys, arguments.set)

    versions = ask_fleet(arguments, ask)
    as_json = json.dumps([asdict(version) for version in versions], indent=2, ensure_ascii=False)
    say(as_json if arguments.format == "json" else describe_versions(versions))
    return 0


def run_rollback(arguments: Namespace) -> int:
    """Publishes an earlier version again; returns the exit status."""
    from reference_engine.fleet.publishing import FleetError, read_earlier  # noqa: PLC0415 - only what the command needs

    async def ask(etcd: EtcdClient, keys: FleetKeys) -> Any:
        return await read_earlier(etcd, keys, arguments.set, arguments.to)

    try:
        earlier, bundle = ask_fleet(arguments, ask)
    except FleetError as error:
        raise EngineError(str(error)) from None
    say(f"rolling back to version {earlier.version} of {earlier.at}, by {earlier.by}")
    return publish_bundle(arguments, bundle, earlier.digest, rolled_back_to=earlier.version)
