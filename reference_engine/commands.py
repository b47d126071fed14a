"""The subcommands of `reference-engine`: their options, what they do, and their exit status."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from reference_engine.errors import EngineError
from reference_engine.settings.settings import default_control_path
from voicepipe import __version__, run_program

if TYPE_CHECKING:
    from collections.abc import Sequence

_RUN = """\
Answers telephone calls. Asterisk connects by AudioSocket, and each call gets the pipeline that FILE configures.
FILE is a pipeline set's YAML file, or an engine's, which has `pipeline_sets:` in it. An option given here takes
precedence over the same setting in FILE.

To change the configuration, edit FILE and run `reference-engine reload`, or send SIGHUP; with --watch the engine
reloads by itself. The next call gets the new version, calls in progress keep theirs, and an invalid file is rejected
and changes nothing.

SIGTERM and SIGINT (Ctrl-C) stop the engine gracefully: it takes no new calls, and calls in progress have
--drain-seconds to end. A second signal ends it at once. The log goes to stderr.
"""

_RUN_EXAMPLES = """\
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

_CHECK = """\
Reads FILE as a start or a reload would, and the files of all its sets if it is an engine's. Every problem is reported
at once, with file:line:column, the setting, what is wrong, the line itself, and a hint. Nothing is opened or connected
to, so it can run anywhere the file is: in an editor, before a commit, in CI.
"""

_CHECK_EXAMPLES = """\
examples:
  reference-engine check config/engine.yaml
  reference-engine check --env-file /etc/voicepipe/env config/engine.yaml
  reference-engine check --format json config/engine.yaml | jq '.errors[].path'

exit status: 0 all files are valid, 78 at least one is not, 2 wrong usage, 1 any other failure
"""

_RELOAD = """\
Has a running engine read its files again, waits until that is done, and prints the outcome: the components that were
opened, kept and closed, and the pipelines that are different for the next call; or every problem with its file, line
and column. Several pipeline sets are reloaded independently: a rejected one does not hold back the others.
"""

_RELOAD_EXAMPLES = """\
examples:
  reference-engine reload
  reference-engine reload && echo "the next call uses it"
  reference-engine reload --set acme --force
  voicepipe check config/ai-agent.yaml && reference-engine reload

exit status: 0 the files are served now, 1 one of them was rejected, or no engine answers
"""

_ROLLBACK = """\
Has a running engine serve an earlier version again, from what it kept of it, as a new version. The rollback holds until
the files change; `reference-engine reload --force` ends it before that.
"""

_ROLLBACK_EXAMPLES = """\
examples:
  reference-engine rollback
  reference-engine rollback --set acme --to 3
  reference-engine status     # lists the versions

exit status: 0 the earlier version serves again, 1 it was rejected, or no engine answers
"""

_STATUS = "Shows which versions a running engine serves, how many calls each has, and how the last reload went.\n"

_STATUS_EXAMPLES = """\
examples:
  reference-engine status
  curl --unix-socket $XDG_RUNTIME_DIR/voicepipe/control.sock http://engine/sets     # the same as JSON; also /calls

exit status: 0 an engine answered, 1 none did
"""


def run(argv: Sequence[str]) -> int:
    """Runs one subcommand and returns its exit status; argparse itself exits with 2 for wrong usage."""
    return run_program("reference-engine", lambda: _run_subcommand(argv))


def _run_subcommand(argv: Sequence[str]) -> int:
    arguments = parser().parse_args(argv)
    try:
        status: int = arguments.command(arguments)
    except EngineError as error:
        sys.stderr.write(f"reference-engine: {error}\n")
        return 1
    return status


def _run(arguments: Namespace) -> int:
    from reference_engine.settings.run_options import RunOptions  # noqa: PLC0415 - the other subcommands need much less
    from reference_engine.starting import start  # noqa: PLC0415

    options = RunOptions(
        file=arguments.file,
        env_file=arguments.env_file,
        audiosocket=arguments.audiosocket,
        control=arguments.control,
        drain_s=arguments.drain_seconds,
        watch=arguments.watch,
    )
    return start(options, arguments.log_format)


def _check(arguments: Namespace) -> int:
    from reference_engine.settings.checking import check_file, report, report_json  # noqa: PLC0415 - see above

    checked = check_file(arguments.file, arguments.env_file)
    sys.stdout.write(report_json(checked) if arguments.format == "json" else report(checked, colour=_colourful()))
    return os.EX_CONFIG if any(result.problems for result in checked) else 0


def _reload(arguments: Namespace) -> int:
    parameters = {"force": "true"} if arguments.force else {}
    if arguments.set is not None:
        parameters["set"] = arguments.set
    return _change(arguments, "/-/reload", params=parameters)


def _rollback(arguments: Namespace) -> int:
    from reference_engine.control.client import ask  # noqa: PLC0415 - see above

    name = arguments.set
    if name is None:
        status, body = ask(arguments.control, "GET", "/sets")
        names = [shown["set"] for shown in _body_with("sets", status, body)["sets"]]
        if len(names) != 1:
            raise EngineError(f"the engine has {len(names)} pipeline sets: choose one with --set: {', '.join(names)}")
        (name,) = names
    return _change(arguments, f"/sets/{quote(name, safe='')}/rollback", json={"to": arguments.to})


def _change(arguments: Namespace, path: str, **request: Any) -> int:
    """Requests a reload or a rollback and prints its outcome; returns the exit status."""
    from reference_engine.control.client import ask  # noqa: PLC0415
    from reference_engine.control.printing import describe_reload  # noqa: PLC0415

    status, body = ask(arguments.control, "POST", path, **request)
    body = _body_with("sets" if "sets" in body else "outcome", status, body)
    sys.stdout.write(describe_reload(body, colour=_colourful()))
    return 0 if status == HTTPStatus.OK else 1


def _status(arguments: Namespace) -> int:
    from reference_engine.control.client import ask  # noqa: PLC0415
    from reference_engine.control.printing import describe_sets  # noqa: PLC0415

    status, body = ask(arguments.control, "GET", "/sets")
    sys.stdout.write(describe_sets(_body_with("sets", status, body)))
    return 0


def _body_with(key: str, status: int, body: dict[str, Any]) -> dict[str, Any]:
    """The body of an answer that has this key; any other says why the request was refused."""
    if key not in body:
        raise EngineError(f"the engine answered {status}: {body.get('error', body)}")
    return body


def parser() -> ArgumentParser:
    """The parser of the command line, with a subparser for each command."""
    program = ArgumentParser(
        prog="reference-engine",
        description="A thin telephone server on voicepipe.",
        epilog="Each command has its own help, with examples: reference-engine run --help",
    )
    program.add_argument("--version", action="version", version=f"reference-engine {__version__}")
    commands = program.add_subparsers(title="commands", metavar="COMMAND", required=True)

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
        help="a pipeline set's YAML file, or an engine's (default: %(default)s)",
    )
    run.add_argument(
        "--audiosocket",
        type=_address,
        metavar="HOST:PORT",
        help="where Asterisk connects (default: what FILE says, or 127.0.0.1:9092); port 0 takes a free one",
    )
    run.add_argument(
        "--log-format",
        choices=["json", "console"],
        help="default: console if stderr is a terminal, else json, one object a line",
    )
    run.add_argument(
        "--drain-seconds",
        type=_seconds,
        metavar="N",
        help="how long calls may go on after a stop signal; the agent says goodbye in the last 5 s "
        "(default: what FILE says, or 20)",
    )
    run.add_argument(
        "--control",
        type=Path,
        metavar="PATH",
        help=f"the control socket to make (default: what FILE says, or {default_control_path()})",
    )
    run.add_argument(
        "--env-file",
        type=Path,
        metavar="PATH",
        help="NAME=value lines for ${NAME}; they override the environment and are read again at each reload",
    )
    run.add_argument(
        "--watch",
        action="store_true",
        help="reload when a file changes; overrides `watch` in FILE (default: what FILE says, or off)",
    )
    run.set_defaults(command=_run)
    check = add("check", "check a file without running anything", _CHECK, _CHECK_EXAMPLES)
    check.add_argument("file", type=Path, metavar="FILE", help="an engine's YAML file, or a pipeline set's")
    check.add_argument(
        "--env-file", type=Path, metavar="PATH", help="NAME=value lines for ${NAME}; they override the environment"
    )
    check.add_argument(
        "--format", choices=["text", "json"], default="text", help="default: text, in colour on a terminal"
    )
    check.set_defaults(command=_check)
    reload = add("reload", "have the files read again, for the next call", _RELOAD, _RELOAD_EXAMPLES)
    reload.add_argument("--set", metavar="NAME", help="only this pipeline set (default: all, and the engine's file)")
    reload.add_argument(
        "--force",
        action="store_true",
        help="end a rollback although the files have not changed; accept that a component that works now does not open",
    )
    reload.set_defaults(command=_reload)
    rollback = add("rollback", "go back to an earlier version", _ROLLBACK, _ROLLBACK_EXAMPLES)
    rollback.add_argument("--set", metavar="NAME", help="which pipeline set (default: the only one)")
    rollback.add_argument("--to", type=int, metavar="N", help="which version (default: the one before the serving one)")
    rollback.set_defaults(command=_rollback)
    status = add("status", "versions, calls and the last reload", _STATUS, _STATUS_EXAMPLES)
    status.set_defaults(command=_status)
    for command in (reload, rollback, status):
        command.add_argument(
            "--control",
            type=Path,
            default=default_control_path(),
            metavar="PATH",
            help="the engine's control socket (default: %(default)s)",
        )
    return program


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
