"""The command `steer`: has a call that is up do something."""

from __future__ import annotations

import sys
from argparse import RawDescriptionHelpFormatter
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from reference_engine.commands.asking import add_control_option, request

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _SubParsersAction

DESCRIPTION = """\
Has a call that a running engine holds do something: say a text, know a fact, be transferred, end. The call is named by
the engine's ID of it, as in the log, or by its transport's, such as AudioSocket's UUID. Everything that is asked for is
in the call's record and in the log.
"""

EXAMPLES = """\
examples:
  reference-engine steer CALL say "We close in five minutes."           # waits until it was heard
  reference-engine steer CALL say --interrupt "Please stay on the line."
  reference-engine steer CALL tell "The order was found: it is on its way." --respond
  reference-engine steer CALL transfer 200                              # waits until somebody has taken it
  reference-engine steer CALL hang-up --goodbye "We close now. Goodbye."
  reference-engine steer "$(curl -s --unix-socket $XDG_RUNTIME_DIR/voicepipe/control.sock http://engine/calls |
      jq -r '.calls[0].call_id')" hang-up                               # the oldest call

exit status: 0 it was done, 1 the call is over, nobody took the transfer, or no engine answers
"""


def add_to(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Adds the subcommand `steer`."""
    command = commands.add_parser(
        "steer",
        help="have a call that is up say something, be transferred, or end",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    command.add_argument("call", metavar="CALL", help="the call's ID, the engine's or its transport's")
    actions = command.add_subparsers(title="what it is to do", metavar="ACTION", required=True, dest="action")
    say = actions.add_parser("say", help="have the agent say a text, when nobody speaks")
    say.add_argument("text", metavar="TEXT", help="the words")
    say.add_argument("--interrupt", action="store_true", help="say it at once, in place of the present reply")
    tell = actions.add_parser("tell", help="tell the model a fact, which the caller does not hear")
    tell.add_argument("fact", metavar="FACT", help="the fact, in words")
    tell.add_argument("--respond", action="store_true", help="have the agent reply to it as soon as nobody speaks")
    transfer = actions.add_parser("transfer", help="transfer the caller, after the present reply")
    transfer.add_argument("target", metavar="TARGET", help="the number or extension")
    hang_up = actions.add_parser("hang-up", help="end the call")
    hang_up.add_argument("--goodbye", default="", metavar="TEXT", help="the last words (default: it ends at once)")
    for action in (say, tell, transfer, hang_up):
        add_control_option(action)
    command.set_defaults(run=run)


_FIELDS = {"say": ("text", "interrupt"), "tell": ("fact", "respond"), "transfer": ("target",), "hang-up": ("goodbye",)}


def run(arguments: Namespace) -> int:
    """Sends the request and prints what came of it; returns 0 if it was done."""
    body: dict[str, Any] = {name: getattr(arguments, name) for name in _FIELDS[arguments.action]}
    path = f"/calls/{quote(arguments.call, safe='')}/{arguments.action}"
    answer = request(arguments, "POST", path, expect="call_id", json=body)
    sys.stdout.write(f"{answer['call_id']}: {_told(arguments.action, answer)}\n")
    return 0


def _told(action: str, answer: dict[str, Any]) -> str:
    if action == "say":
        if answer["whole"]:
            return "the caller heard it"
        return f"the caller heard only: {answer['heard']}" if answer["heard"] else "the caller heard nothing of it"
    return {
        "tell": "the model will know",
        "transfer": "transferred",
        "hang-up": "the call ends",
    }[action]
