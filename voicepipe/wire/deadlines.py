"""Deadlines for the other side of a connection: a server, or a helper process.

    with answer_due(10):
        message = await connection.receive()

A deadline that passes raises a `ComponentError`, so that the call fails over instead of waiting.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

import trio

from voicepipe.errors import ComponentError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["answer_due", "connecting", "taking"]


def answer_due(timeout_s: float) -> AbstractContextManager[None]:
    """Bounds the time in which the other side must answer.

    Raises:
        ComponentError: the body took longer than `timeout_s`, and was cancelled.

    """
    return _bounded(timeout_s, f"nothing came for {timeout_s:g} s")


def taking(timeout_s: float) -> AbstractContextManager[None]:
    """Bounds the time in which the other side must accept what is sent.

    Raises:
        ComponentError: the body took longer than `timeout_s`, and was cancelled.

    """
    return _bounded(timeout_s, f"took nothing for {timeout_s:g} s")


def connecting(address: str, timeout_s: float) -> AbstractContextManager[None]:
    """Bounds the time in which the other side must accept a connection.

    Args:
        address: the address, for the message.
        timeout_s: the time limit in s.

    Raises:
        ComponentError: the body took longer than `timeout_s`, and was cancelled.

    """
    return _bounded(timeout_s, f"{address} did not take the connection within {timeout_s:g} s")


@contextmanager
def _bounded(timeout_s: float, message: str) -> Iterator[None]:
    """Cancels the body after `timeout_s` and raises a `ComponentError` with that message."""
    try:
        with trio.fail_after(timeout_s):
            yield
    except trio.TooSlowError as error:
        raise ComponentError(message) from error
