"""Common to the commands that ask a running engine: the option `--control`, and the requests."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentTypeError
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reference_engine.errors import EngineError
from reference_engine.settings.settings import default_control_path

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def add_control_option(command: ArgumentParser) -> None:
    """Adds `--control`, the socket of the running engine."""
    command.add_argument(
        "--control",
        type=Path,
        default=default_control_path(),
        metavar="PATH",
        help="the control socket of the running engine (default: %(default)s)",
    )


def add_variables(command: ArgumentParser, number: str, help_: str) -> None:
    """Adds variables of a call as arguments `NAME=VALUE`; `number` of them, as argparse has it."""
    command.add_argument("variables", nargs=number, type=_variable, metavar="NAME=VALUE", help=help_)


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def request(arguments: Namespace, method: str, path: str, *, expect: str, **options: Any) -> dict[str, Any]:
    """Sends a request to the engine and returns the body of its answer, which has the key `expect`.

    Args:
        arguments: with `control`.
        method: `GET` or `POST`.
        path: the path of the request.
        expect: the key.
        options: further arguments of `httpx.Client.request`: `params`, `json`.

    Raises:
        EngineError: no engine answers, or it refuses the request.

    """
    status, body = _ask(arguments, method, path, **options)
    return _check_body(expect, status, body)


def request_change(arguments: Namespace, path: str, **options: Any) -> int:
    """Requests a reload or a rollback and prints its outcome; returns the exit status.

    Raises:
        EngineError: no engine answers, or it refuses the request.

    """
    from reference_engine.reports.printing import describe_reload  # noqa: PLC0415 - only what the command needs

    status, body = _ask(arguments, "POST", path, **options)
    body = _check_body("sets" if "sets" in body else "outcome", status, body)
    sys.stdout.write(describe_reload(body, colour=stdout_has_colour()))
    return 0 if status == HTTPStatus.OK else 1


def stdout_has_colour() -> bool:
    """Returns whether the output may be coloured: on a terminal, unless NO_COLOR is set."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def _ask(arguments: Namespace, method: str, path: str, **options: Any) -> tuple[int, dict[str, Any]]:
    from reference_engine.control.client import ask  # noqa: PLC0415 - httpx takes 0.2 s to import

    return ask(arguments.control, method, path, **options)


def _check_body(key: str, status: int, body: dict[str, Any]) -> dict[str, Any]:
    if key not in body:
        raise EngineError(f"the engine refused the request (status {status}): {body.get('error', body)}")
    return body
