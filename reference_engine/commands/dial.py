"""The command `dial`: has an engine call somebody."""

from __future__ import annotations

import sys
from argparse import RawDescriptionHelpFormatter
from typing import TYPE_CHECKING, Any

from reference_engine.commands.asking import add_control_option, add_variables, request

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _SubParsersAction

DESCRIPTION = """\
Has a running engine call somebody, by a listener whose transport can make calls, such as asterisk_ari. Waits until they
have answered, or until it is certain that they do not, and prints the ID of the call. The agent then talks to them, and
`reference-engine steer` steers the call.
"""

EXAMPLES = """\
examples:
  reference-engine dial PJSIP/alice --listener phones
  reference-engine dial 0301234567 --listener phones --caller 0307654321 --pipeline reminders order=1234
  reference-engine dial PJSIP/alice --listener phones --ring 45 --speaks-first caller

exit status: 0 they answered, 1 the line is busy, nobody answered, it can't be called, or no engine answers
"""


def add_to(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Adds the subcommand `dial`."""
    command = commands.add_parser(
        "dial",
        help="have the agent call somebody",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    command.add_argument("target", metavar="TARGET", help="whom to call: a dial string, as the transport takes it")
    add_variables(command, "*", "variables of the call, for prompts, texts and tools")
    command.add_argument("--listener", required=True, metavar="NAME", help="the listener of engine.yaml that calls")
    command.add_argument("--caller", default="", metavar="NUMBER", help="the number that they are shown")
    command.add_argument("--pipeline", default="", metavar="NAME", help="the pipeline (default: the routes decide)")
    command.add_argument(
        "--ring", type=float, default=30.0, metavar="SECONDS", help="how long it may ring (default: %(default)g)"
    )
    command.add_argument(
        "--speaks-first", choices=("agent", "caller"), help="who speaks first (default: as the pipeline says)"
    )
    add_control_option(command)
    command.set_defaults(run=run)


def run(arguments: Namespace) -> int:
    """Sends the request and prints the call's ID; returns 0 if somebody answered."""
    body: dict[str, Any] = {
        "listener": arguments.listener,
        "target": arguments.target,
        "caller": arguments.caller,
        "variables": dict(arguments.variables),
        "pipeline": arguments.pipeline,
        "ring_s": arguments.ring,
        "speaks_first": arguments.speaks_first,
    }
    answer = request(arguments, "POST", "/calls", expect="call_id", json=body)
    sys.stdout.write(f"{answer['call_id'] or answer['transport_id']}\n")
    return 0
