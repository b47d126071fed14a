"""Deadlines for the other side of a connection, whatever it is: a server, a helper process.

    with answer_due(10):
        message = await connection.receive()

A deadline that has passed is a `ComponentError`, so that a call fails over instead of waiting.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio

from voicepipe.errors import ComponentError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["answer_due", "connecting", "taking"]


@contextmanager
def answer_due(timeout_s: float) -> Iterator[None]:
    """Bounds the time in which the other side must answer.

    Raises:
        ComponentError: the body took longer than `timeout_s`, and was cancelled.

    """
    try:
        with trio.fail_after(timeout_s):
            yield
    except trio.TooSlowError as error:
        raise ComponentError(f"nothing came for {timeout_s:g} s") from error


@contextmanager
def taking(timeout_s: float) -> Iterator[None]:
    """Bounds the time in which the other side must take what it is sent.

    Raises:
        ComponentError: the body took longer than `timeout_s`, and was cancelled.

    """
    try:
        with trio.fail_after(timeout_s):
            yield
    except trio.TooSlowError as error:
        raise ComponentError(f"took nothing for {timeout_s:g} s") from error


@contextmanager
def connecting(address: str, timeout_s: float) -> Iterator[None]:
    """Bounds the time in which the other side must take a connection.

    Args:
        address: where to, for the message.
        timeout_s: how long connecting may take, in s.

    Raises:
        ComponentError: the body took longer than `timeout_s`, and was cancelled.

    """
    try:
        with trio.fail_after(timeout_s):
            yield
    except trio.TooSlowError as error:
        raise ComponentError(f"{address} did not take the connection within {timeout_s:g} s") from error
