"""The `reference-engine` command.

What a subcommand needs is imported when it runs: `run` must not die of a SIGHUP while Python is still importing.
"""

from __future__ import annotations

import os
import signal
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from reference_engine.control.socket import default_control_path
from reference_engine.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Sequence

_RUN = """\
Answers telephone calls: Asterisk connects by AudioSocket, and each call is held by the pipeline that FILE names.
Edit FILE and run `reference-engine reload` (or send SIGHUP): the next call uses it, calls that are up keep what they
have, and a file that can't be served changes nothing.

SIGTERM and SIGINT (Ctrl-C) stop it politely: no new calls, those that are up may end within --drain-seconds. A second
one ends it at once. The log goes to stderr.
"""

_RUN_EXAMPLES = """\
examples:
  reference-engine run
  reference-engine run tenants/acme.yaml --audiosocket 0.0.0.0:9092
  reference-engine run --log-format json 2>> engine.log
  reference-engine run --audiosocket 127.0.0.1:0 --control ./control.sock     # beside another one

in Asterisk's dialplan:
  exten => 100,1,Answer()
   same => n,AudioSocket(${UUID()},127.0.0.1:9092)
   same => n,Hangup()

exit status: 0 stopped as asked, 78 FILE can't be served, 2 wrong usage, 1 anything else
"""

_RELOAD = """\
Asks a running engine to read its files again, waits until that is done, and tells what came of it: what was opened,
kept and closed, and which pipelines are different for the next call; or every problem with its file, line and column.
"""

_RELOAD_EXAMPLES = """\
examples:
  reference-engine reload
  reference-engine reload && echo "the next call uses it"
  voicepipe check config/ai-agent.yaml && reference-engine reload

exit status: 0 the files are served now, 1 they can't be, or no engine answers
"""

_STATUS = "Asks a running engine which versions serve, how many calls each has, and how the last reload went.\n"

_STATUS_EXAMPLES = """\
examples:
  reference-engine status
  curl --unix-socket $XDG_RUNTIME_DIR/voicepipe/control.sock http://engine/sets     # the same as JSON; also /calls

exit status: 0 an engine answered, 1 none did
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one subcommand and returns its exit status; argparse itself exits with 2 for wrong usage."""
    arguments = _parser().parse_args(argv)
    try:
        status: int = arguments.command(arguments)
        sys.stdout.flush()
    except EngineError as error:
        sys.stderr.write(f"reference-engine: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # Who read our output has gone. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    return status


def _run(arguments: Namespace) -> int:
    # Until the file is read for the first time there is nothing to reload.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    from reference_engine.engine import EngineSettings  # noqa: PLC0415 - see the module
    from reference_engine.starting import start  # noqa: PLC0415

    settings = EngineSettings(
        file=arguments.file,
        audiosocket=arguments.audiosocket,
        control=arguments.control,
        drain_s=arguments.drain_seconds,
    )
    return start(settings, arguments.log_format)


def _reload(arguments: Namespace) -> int:
    from reference_engine.control.client import ask  # noqa: PLC0415
    from reference_engine.control.words import describe_reload  # noqa: PLC0415

    status, body = ask(arguments.control, "POST", "/-/reload")
    if "outcome" not in body:
        raise EngineError(f"the engine answered {status}: {body.get('error', body)}")
    sys.stdout.write(describe_reload(body, colour=_colourful()))
    return 1 if body["outcome"] == "rejected" else 0


def _status(arguments: Namespace) -> int:
    from reference_engine.control.client import ask  # noqa: PLC0415
    from reference_engine.control.words import describe_sets  # noqa: PLC0415

    status, body = ask(arguments.control, "GET", "/sets")
    if "sets" not in body:
        raise EngineError(f"the engine answered {status}: {body.get('error', body)}")
    sys.stdout.write(describe_sets(body["sets"]))
    return 0


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="reference-engine",
        description="A thin telephone server on voicepipe.",
        epilog="Each command has its own help, with examples: reference-engine run --help",
    )
    parser.add_argument("--version", action="version", version=f"reference-engine {version('voicepipe')}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(name: str, title: str, description: str, examples: str) -> ArgumentParser:
        return commands.add_parser(
            name, help=title, description=description, epilog=examples, formatter_class=RawDescriptionHelpFormatter
        )

    run = add("run", "answer calls", _RUN, _RUN_EXAMPLES)
    run.add_argument(
        "file",
        nargs="?",
        type=Path,
        default=Path("config/ai-agent.yaml"),
        metavar="FILE",
        help="the pipelines' YAML file (default: %(default)s)",
    )
    run.add_argument(
        "--audiosocket",
        type=_address,
        default=("127.0.0.1", 9092),
        metavar="HOST:PORT",
        help="where Asterisk connects (default: 127.0.0.1:9092); port 0 takes a free one",
    )
    run.add_argument(
        "--log-format",
        choices=["json", "console"],
        help="default: console if stderr is a terminal, else json, one object a line",
    )
    run.add_argument(
        "--drain-seconds",
        type=_seconds,
        default=30.0,
        metavar="N",
        help="how long calls may go on when it is stopped; for the last 5 s they are told goodbye (default: 30)",
    )
    run.set_defaults(command=_run)
    reload = add("reload", "have the files read again, for the next call", _RELOAD, _RELOAD_EXAMPLES)
    reload.set_defaults(command=_reload)
    status = add("status", "versions, calls and the last reload", _STATUS, _STATUS_EXAMPLES)
    status.set_defaults(command=_status)
    for command in (run, reload, status):
        command.add_argument(
            "--control",
            type=Path,
            default=default_control_path(),
            metavar="PATH",
            help="the engine's control socket (default: %(default)s)",
        )
    return parser


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (colon and host and port.isdecimal() and int(port) < 2**16):
        raise ArgumentTypeError(f"{text!r} is not HOST:PORT, such as 127.0.0.1:9092 or [::1]:9092")
    return host, int(port)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 24 * 60 * 60:
        raise ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to a day")
    return seconds


def _colourful() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")
