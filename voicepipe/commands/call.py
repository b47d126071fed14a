"""`voicepipe call`: places one call to a running engine, says the given lines, and lists who spoke when."""

from __future__ import annotations

import re
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from pathlib import Path
from typing import TYPE_CHECKING

from voicepipe.commands.interrupts import run_interruptible
from voicepipe.errors import ComponentError

if TYPE_CHECKING:
    from argparse import _SubParsersAction

_DESCRIPTION = """\
Places one call as Asterisk does: over AudioSocket, or, if a URL is given, over chan_websocket. A synthetic voice speaks
each line when the agent has finished speaking. The output lists who spoke when, how long and how loud; the engine's log
has the agent's words. Requires espeak-ng: pip install 'voicepipe-telephony[espeak]'.
"""

_EXAMPLES = """\
examples:
  voicepipe call                                            # 127.0.0.1:9092: listens to the greeting
  voicepipe call --say "I want an appointment on Monday" --say "yes please"
  voicepipe call 10.0.0.5:9092 --say hello --voice en-us+f3 --wav call.wav
  voicepipe call ws://asterisk:PASSWORD@127.0.0.1:9094/media --variable VP_CALLER=15551230001 --say hello

exit status: 0 the agent spoke and every line was said, 1 the call failed (no answer, the agent was silent or hung up
too early, or the timeout ended the call), 2 wrong usage
"""


def add_to(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Describes the subcommand."""
    parser = commands.add_parser(
        "call",
        help="place a test call to a running engine",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "address",
        nargs="?",
        type=address,
        default=("127.0.0.1", 9092),
        metavar="HOST:PORT",
        help="where the engine listens for AudioSocket (default: 127.0.0.1:9092), or ws://HOST:PORT/PATH",
    )
    parser.add_argument(
        "--variable",
        action="append",
        default=[],
        type=variable,
        metavar="NAME=VALUE",
        help="a channel variable of the caller, with a ws:// URL; may be repeated",
    )
    parser.add_argument(
        "--say", action="append", default=[], metavar="TEXT", help="what the caller says; may be repeated"
    )
    parser.add_argument("--voice", default="en-gb", help="the caller's espeak-ng voice (default: %(default)s)")
    parser.add_argument(
        "--wav", type=Path, metavar="FILE", help="record the call to a WAV file: caller left, agent right"
    )
    parser.add_argument(
        "--timeout", type=float, default=60.0, metavar="S", help="hang up after so many seconds (default: 60)"
    )
    parser.set_defaults(run=run)


def run(arguments: Namespace) -> int:
    """Places the call; returns the exit status."""
    from voicepipe.commands.caller import call  # noqa: PLC0415 - a second's import, for those who call

    url = arguments.address if isinstance(arguments.address, str) else ""
    if arguments.variable and not url:
        sys.stderr.write("--variable needs a ws:// URL: AudioSocket has no variables\n")
        return 2
    try:
        wrong = run_interruptible(call, arguments)
    except ComponentError as error:
        shown = re.sub(r"//[^/@]*@", "//", url)
        wrong = [f"the call to {shown} could not be placed: {error}" if url else f"the caller can't speak: {error}"]
    except OSError as error:
        host, port = arguments.address
        hint = f"start an engine there: reference-engine run FILE --audiosocket {host}:{port}"
        wrong = [f"the call could not be placed: {error}\n  hint: {hint}"]
    for problem in wrong:
        sys.stderr.write(f"{problem}\n")
    return 1 if wrong else 0


def variable(text: str) -> tuple[str, str]:
    """Parses `NAME=VALUE`."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ArgumentTypeError(f"{text!r} is not NAME=VALUE, such as VP_CALLER=15551230001")
    return name, value


def address(text: str) -> tuple[str, int] | str:
    """Parses `HOST:PORT`; a URL of a WebSocket stays as it is."""
    if text.startswith(("ws://", "wss://")):
        return text
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isdecimal() and int(port) < 2**16):
        raise ArgumentTypeError(f"{text!r} is not HOST:PORT, such as 127.0.0.1:9092, nor a ws:// URL")
    return host.removeprefix("[").removesuffix("]"), int(port)
