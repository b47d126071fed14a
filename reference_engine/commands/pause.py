"""The commands `pause` and `resume`: whether a running engine takes new calls."""

from __future__ import annotations

import sys
import time
from argparse import ArgumentTypeError, RawDescriptionHelpFormatter
from math import inf
from typing import TYPE_CHECKING

from reference_engine.commands.asking import add_control_option, request

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _SubParsersAction

EX_TEMPFAIL = 75
"""The exit status when calls are still up, from BSD's sysexits.h: waiting again may help."""

POLL_S = 1.0
"""The interval at which `--wait` asks how many calls are up, in s."""

PAUSE = """\
Has a running engine take no new calls, for maintenance; calls that are up go on for as long as they last. Ports refuse
connections, so that a dialplan continues at once, /readyz answers 503, and `agent_check` tells a load balancer to send
calls elsewhere. The engine stays paused until `resume`, or until it is started again. With --wait the command returns
when no call is up; Ctrl-C ends the waiting only.
"""

RESUME = """\
Has an engine take calls again after `reference-engine pause`.
"""

EXAMPLES = """\
examples:
  reference-engine pause --wait && systemctl restart voicepipe     # new calls go to the other engines meanwhile
  reference-engine pause --wait 3600
  reference-engine resume

exit status: 0 done, also if it was so already; 1 the engine starts or stops, or no engine answers; 75 calls are still
up after --wait SECONDS
"""


def add_to(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Adds the subcommands `pause` and `resume`."""
    for name, what, description in (
        ("pause", "have a running engine take no new calls", PAUSE),
        ("resume", "have a paused engine take calls again", RESUME),
    ):
        command = commands.add_parser(
            name, help=what, description=description, epilog=EXAMPLES, formatter_class=RawDescriptionHelpFormatter
        )
        if name == "pause":
            command.add_argument(
                "--wait",
                nargs="?",
                type=_seconds,
                const=inf,
                metavar="SECONDS",
                help="return when no call is up, or after SECONDS at the latest (default: however long calls last)",
            )
        add_control_option(command)
        command.set_defaults(run=run, path=f"/-/{name}", wait=None)


def run(arguments: Namespace) -> int:
    """Pauses or resumes the engine, and prints what that means for calls."""
    body = request(arguments, "POST", arguments.path, expect="status")
    paused, calls = body["status"] == "paused", body["calls"]
    _say(f"{'paused: no new call is taken' if paused else 'ready: calls are taken'}; {_up(calls)}")
    until = time.monotonic() + (arguments.wait or 0)
    while arguments.wait is not None and calls:
        if time.monotonic() >= until:
            return EX_TEMPFAIL
        time.sleep(min(POLL_S, max(0, until - time.monotonic())))
        before, calls = calls, request(arguments, "POST", arguments.path, expect="status")["calls"]
        if calls != before:
            _say(_up(calls))
    return 0


def _up(calls: int) -> str:
    return f"{calls} {'call is' if calls == 1 else 'calls are'} up"


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()  # who waits wants to see it in a pipe too


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds < inf:
        raise ArgumentTypeError(f"{text!r} is not a number of seconds")
    return seconds
