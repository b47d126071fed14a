"""The command `publish`: has all engines of a fleet serve a pipeline set's file, or none of them."""

from __future__ import annotations

import getpass
import os
import socket
import sys
from argparse import ArgumentTypeError, RawDescriptionHelpFormatter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reference_engine.commands.fleet_place import add_fleet_options, ask_fleet, say
from reference_engine.errors import EngineError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _SubParsersAction
    from collections.abc import Iterator

    from reference_engine.fleet.etcd.client import EtcdClient
    from reference_engine.fleet.keys import FleetKeys
    from reference_engine.fleet.publishing import PublishOutcome
    from voicepipe import SetConfig

DESCRIPTION = """\
Publishes a pipeline set's file, with the prompts, scripts and sounds that it names, to a fleet of engines. Each engine
that is up prepares it. Once all of them are ready it is committed for all; if one can't serve it, it is withdrawn, and
all go on with what they serve. Models are not sent: each engine has them on its disk, and they must be the same.
"""

EXAMPLES = """\
examples:
  reference-engine publish ai-agent.yaml --fleet engine.yaml
  reference-engine publish ai-agent.yaml --fleet http://10.0.0.5:2379,http://10.0.0.6:2379/prod
  reference-engine publish ai-agent.yaml --fleet engine.yaml --engines 10%   # a canary; then without it for all
  reference-engine publish ai-agent.yaml --fleet engine.yaml --at-least 90%  # although some can't

exit status: 0 it was committed, or is what the fleet serves already; 1 it was withdrawn; 78 the file has problems
"""


def add_to(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Adds the subcommand `publish`."""
    command = commands.add_parser(
        "publish",
        help="have all engines of a fleet serve a file, or none",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    command.add_argument("file", type=Path, metavar="FILE", help="a pipeline set's YAML file")
    add_fleet_options(command)
    add_publish_options(command)
    command.add_argument(
        "--with-secrets", action="store_true", help="publish a file in which a secret stands, for all who can read etcd"
    )
    command.set_defaults(run=run)


def add_publish_options(command: ArgumentParser) -> None:
    """Adds the options on which engines must agree, and in which time."""
    command.add_argument(
        "--engines", metavar="NAME,...|N%", help="a canary: only these engines, or so many percent of them"
    )
    command.add_argument(
        "--at-least", type=percent, default=100, metavar="N%", help="how many engines must be ready (default: 100%%)"
    )
    command.add_argument(
        "--deadline", type=float, default=120.0, metavar="S", help="how long engines may prepare it (default: 120 s)"
    )
    command.add_argument(
        "--force", action="store_true", help="publish it although the fleet serves it, as after a secret has changed"
    )


def percent(text: str) -> int:
    """Returns the number of `90%`, for argparse."""
    number = text.removesuffix("%")
    if not number.isdecimal() or not 1 <= int(number) <= 100:
        raise ArgumentTypeError(f"{text!r} is not from 1% to 100%")
    return int(number)


def run(arguments: Namespace) -> int:
    """Publishes the file; returns the exit status."""
    from reference_engine.fleet.bundle import BundleError, packed  # noqa: PLC0415 - only what the command needs
    from reference_engine.settings.environment import read_environ  # noqa: PLC0415 - only what the command needs
    from voicepipe import absolute_path, load_config  # noqa: PLC0415 - only what the command needs

    config = load_config(arguments.file, environ=read_environ(arguments.env_file), allow_missing=True)
    for warning in config.warnings:
        sys.stderr.write(f"warning: {warning}\n")
    if not arguments.with_secrets and (where := literal_secret(config)):
        hint = "write ${NAME} in its place, which each engine fills in; or use --with-secrets"
        raise EngineError(f"{arguments.file} has a secret in {where}, which all who can read etcd would read: {hint}")
    try:
        bundle = packed(absolute_path(arguments.file), config.sources)
    except BundleError as error:
        raise EngineError(str(error)) from None
    return publish_bundle(arguments, bundle, config.digest)


def publish_bundle(arguments: Namespace, bundle: bytes, digest: str, *, rolled_back_to: int | None = None) -> int:
    """Publishes files as the options say; returns the exit status."""
    from reference_engine.fleet.publishing import FleetError, PublishRequest, publish  # noqa: PLC0415 - as above

    engines = arguments.engines
    share = percent(engines) if engines and engines.endswith("%") else None
    request = PublishRequest(
        set=arguments.set,
        bundle=bundle,
        digest=digest,
        by=_who(),
        rolled_back_to=rolled_back_to,
        engines=tuple(engines.split(",")) if engines and share is None else None,
        share=share,
        at_least=arguments.at_least,
        deadline_s=arguments.deadline,
        force=arguments.force,
    )

    async def ask(etcd: EtcdClient, keys: FleetKeys) -> PublishOutcome:
        return await publish(etcd, keys, request, tell=say)

    try:
        outcome = ask_fleet(arguments, ask)
    except FleetError as error:
        raise EngineError(str(error)) from None
    return show(outcome)


def show(outcome: PublishOutcome) -> int:
    """Prints what has become of a publish; returns the exit status."""
    number = outcome.version.version
    if outcome.outcome == "unchanged":
        say(f"unchanged: the fleet serves version {number}, which is this; --force publishes it all the same")
        return 0
    if outcome.outcome == "withdrawn":
        say(f"withdrawn: version {number} is served by none, and all serve what they have served")
        for engine, problems in sorted(outcome.reasons.items()):
            for problem in problems:
                say(f"  {engine or 'fleet'}: {problem}")
        return 1
    say(f"committed: version {number}, {outcome.seconds:.2f} s after it was proposed")
    if not outcome.ready:
        say("  no engine is up: those that join serve it")
    else:
        serving, ready = len(outcome.serving), len(outcome.ready)
        say(f"  served by {serving} of {ready}, {outcome.settled_s:.2f} s after it was proposed")
    if outcome.without:
        say(f"  without {', '.join(outcome.without)}: `reference-engine fleet status` says why")
    return 0


def literal_secret(config: SetConfig) -> str:
    """Returns the path of a secret that stands in the files, in place of a `${NAME}`; empty if there is none."""
    from voicepipe import effective_config  # noqa: PLC0415 - only what the command needs

    if any(b"***" in content for content in config.sources.values()):
        return ""  # then it can't be told from what is shown in place of secrets
    return next(_masked(effective_config(config), ""), "")


def _masked(data: Any, path: str) -> Iterator[str]:
    if isinstance(data, dict):
        for key, value in data.items():
            yield from _masked(value, f"{path}.{key}" if path else str(key))
    elif isinstance(data, list):
        for number, value in enumerate(data):
            yield from _masked(value, f"{path}[{number}]")
    elif isinstance(data, str) and "***" in data:
        yield path


def _who() -> str:
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a user without a name, as in containers
        user = str(os.geteuid())
    return f"{user}@{socket.gethostname()}"
