"""The command `run`: answers calls until it is stopped."""

from __future__ import annotations

from argparse import ArgumentTypeError, RawDescriptionHelpFormatter
from pathlib import Path
from typing import TYPE_CHECKING

from reference_engine.settings.settings import MOST_WORKERS, default_control_path

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _SubParsersAction

DESCRIPTION = """\
Answers telephone calls. Asterisk connects by AudioSocket, and each call gets the pipeline that FILE configures.
FILE is a pipeline set's YAML file, or an engine's, which has `pipeline_sets:` in it. An option given here takes
precedence over the same setting in FILE.

To change the configuration, edit FILE and run `reference-engine reload`, or send SIGHUP; with --watch the engine
reloads by itself. The next call gets the new version, calls in progress keep theirs, and an invalid file is rejected
and changes nothing.

SIGTERM and SIGINT (Ctrl-C) stop the engine gracefully: it takes no new calls, and calls in progress have
--drain-seconds to end. A second signal ends it at once. The log goes to stderr.
"""

EXAMPLES = """\
examples:
  reference-engine run
  reference-engine run tenants/acme.yaml --audiosocket 0.0.0.0:9092
  reference-engine run config/engine.yaml --env-file /etc/voicepipe/env
  reference-engine run --watch --log-format json 2>> engine.log
  reference-engine run --audiosocket 127.0.0.1:0 --control ./control.sock     # a second engine beside the first

in Asterisk's dialplan:
  exten => 100,1,Answer()
   same => n,AudioSocket(${UUID()},127.0.0.1:9092)
   same => n,Hangup()

exit status: 0 stopped by a signal, 78 FILE is invalid, 75 FILE is valid but no pipeline can be opened, 2 wrong
usage, 1 any other failure
"""


def add_to(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Adds the subcommand `run`."""
    command = commands.add_parser(
        "run",
        help="answer calls",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "file",
        nargs="?",
        type=Path,
        default=Path("config/ai-agent.yaml"),
        metavar="FILE",
        help="a pipeline set's YAML file, or an engine's (default: %(default)s)",
    )
    command.add_argument(
        "--audiosocket",
        type=_address,
        metavar="HOST:PORT",
        help="the address that Asterisk connects to (default: that of FILE, or 127.0.0.1:9092); port 0: a free one",
    )
    command.add_argument(
        "--log-format",
        choices=["json", "console"],
        help="default: console if stderr is a terminal, else json, one object per line",
    )
    command.add_argument(
        "--drain-seconds",
        type=_seconds,
        metavar="N",
        help="how long calls may go on after a stop signal; the agent says goodbye in the last 5 s "
        "(default: `drain_s` of FILE, or 20)",
    )
    command.add_argument(
        "--control",
        type=Path,
        metavar="PATH",
        help=f"the control socket to create (default: `control` of FILE, or {default_control_path()})",
    )
    command.add_argument(
        "--env-file",
        type=Path,
        metavar="PATH",
        help="NAME=value lines for ${NAME}; they override the environment and are read again at each reload",
    )
    command.add_argument(
        "--watch",
        action="store_true",
        help="reload when a file changes (default: `watch` of FILE, or off)",
    )
    command.add_argument(
        "--workers",
        type=_workers,
        metavar="N",
        help="how many processes serve calls, or `auto`: one for each core (default: `workers` of FILE, or 1)",
    )
    command.set_defaults(run=run)


def run(arguments: Namespace) -> int:
    """Runs an engine and returns its exit status."""
    from reference_engine.settings.run_options import RunOptions  # noqa: PLC0415 - the other subcommands need much less
    from reference_engine.starting import start  # noqa: PLC0415

    options = RunOptions(
        file=arguments.file,
        env_file=arguments.env_file,
        audiosocket=arguments.audiosocket,
        control=arguments.control,
        drain_s=arguments.drain_seconds,
        watch=arguments.watch,
        workers=arguments.workers,
    )
    return start(options, arguments.log_format)


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (colon and host and port.isdecimal() and int(port) < 2**16):
        raise ArgumentTypeError(f"{text!r} is not HOST:PORT, such as 127.0.0.1:9092 or [::1]:9092")
    return host, int(port)


def _workers(text: str) -> int | str:
    if text == "auto":
        return text
    if not (text.isdecimal() and 1 <= int(text) <= MOST_WORKERS):
        raise ArgumentTypeError(f"{text!r} is not a number of workers from 1 to {MOST_WORKERS}, or auto")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 24 * 60 * 60:
        raise ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to a day")
    return seconds
