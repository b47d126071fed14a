"""HTTP for adapters, beside their client: responses that are left early, refusals, exceptions.

    with http_failures(httpx, address=base_url, connect_timeout_s=5, timeout_s=10):
        async with client.stream("POST", path, json=body) as answer:
            if not answer.is_success:
                raise refused(answer.status_code, answer.headers, await answer.aread(), "${ACME_API_KEY}")
            async with unwinding(answer.aiter_bytes()) as pieces:
                async for piece in pieces: ...

Every failure is a `ComponentError`: the call goes on with its next alternative.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from email.utils import parsedate_to_datetime
from math import isfinite
from time import time
from typing import TYPE_CHECKING, Any, TypeVar

import trio

from voicepipe.components.tls import tls_error
from voicepipe.errors import ComponentError
from voicepipe.wire.refusals import fault_of, is_too_long

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from voicepipe.components.values import CaFile

__all__ = ["http_failures", "refused", "retry_after_s", "shortened", "unreachable", "unwind", "unwinding"]

T = TypeVar("T")

MOST_QUOTED = 200
"""The most characters of a response that an error quotes."""

PASSING = frozenset({408, 425, 429})
"""HTTP statuses below 500 after which a repeated request may succeed."""

HINTS: Mapping[int, str] = {
    401: "is {key} set for this account?",
    403: "may the account of {key} do this?",
    404: "are base_url and model right?",
    429: "the account of {key} asks too often",
}
"""Hints for an operator by HTTP status; `{key}` stands for the name of the API key."""


async def unwind(answer: AsyncIterator[object]) -> None:
    """Ends an asynchronous generator that is left before its end; does nothing for one that has ended.

    Clients nest their generators, and closing the outermost leaves the others to the garbage collector, which warns,
    and closes their connection whenever it runs. Only an exception that is raised in the innermost ends them all: here
    it is a cancellation.
    """
    with trio.CancelScope() as unwinding_scope:
        unwinding_scope.cancel()
        async for _ in answer:
            pass


@asynccontextmanager
async def unwinding(answer: AsyncIterator[T]) -> AsyncIterator[AsyncIterator[T]]:
    """Like `contextlib.aclosing`, for nested generators, as those of httpx's responses are.

    Args:
        answer: `response.aiter_bytes()`, or a generator of one's own that reads it.

    """
    try:
        yield answer
    finally:
        await unwind(answer)


def refused(
    status: int,
    headers: Mapping[str, str],
    body: bytes | str,
    key: str,
    hints: Mapping[int, str] = HINTS,
) -> ComponentError:
    """The error of an HTTP response without success.

    Args:
        status: the HTTP status.
        headers: of the answer, in any case: `Retry-After` is honoured.
        body: of the answer.
        key: how to name the API key, `${ACME_API_KEY}`: never its value.
        hints: what an operator can do, by status; `{key}` in it becomes `key`.

    """
    said = body.decode(errors="replace") if isinstance(body, bytes) else body
    return ComponentError(
        f"HTTP {status}",
        retryable=status >= 500 or status in PASSING,
        answered=shortened(said),
        hint=hints.get(status, "").format(key=key),
        retry_after_s=retry_after_s(headers),
        fault=fault_of(status, said),
        too_long=is_too_long(status, said),
    )


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """The pause that the server asks for before the next request, in s; None: it asks for none.

    `Retry-After` is seconds or a date (RFC 9110, section 10.2.3), and a date in the past means 0.
    OpenAI sends `retry-after-ms`, which is more exact.
    """
    said = {name.lower(): value for name, value in headers.items()}
    in_ms = _number(said.get("retry-after-ms"))
    if in_ms is not None:
        return max(0.0, in_ms / 1000)
    value = said.get("retry-after")
    seconds = _number(value)
    if seconds is None and value:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time()
        except ValueError:
            return None
    return None if seconds is None else max(0.0, seconds)


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if isfinite(number) else None


def shortened(said: bytes | str) -> str:
    """The beginning of a response on one line, at most `MOST_QUOTED` characters, for an error to quote."""
    text = " ".join((said.decode(errors="replace") if isinstance(said, bytes) else said).split())
    return text if len(text) <= MOST_QUOTED else text[: MOST_QUOTED - 1] + "…"


@contextmanager
def http_failures(
    httpx: Any, *, address: str, connect_timeout_s: float, timeout_s: float, ca_file: CaFile | None = None
) -> Iterator[None]:
    """Raises httpx's exceptions as `ComponentError`.

    Args:
        httpx: the module, httpx or httpx2, which the adapter imported when it opened.
        address: where the service is, for the message.
        connect_timeout_s: how long the client lets a connection take, in s, for the message.
        timeout_s: how long it waits for the next piece of an answer, in s, for the message.
        ca_file: what the client trusts, for the hint; None: what this machine trusts.

    """
    try:
        yield
    except httpx.ConnectTimeout as error:
        raise ComponentError(f"{address} did not take the connection within {connect_timeout_s:g} s") from error
    except httpx.TimeoutException as error:
        raise ComponentError(f"nothing came for {timeout_s:g} s") from error
    except httpx.ConnectError as error:
        raise unreachable(address, error, ca_file) from error
    except httpx.HTTPError as error:
        raise ComponentError("the connection broke", answered=shortened(str(error))) from error


def unreachable(address: str, error: BaseException, ca_file: CaFile | None = None) -> ComponentError:
    """The error of a connection that could not be opened.

    Args:
        address: where to.
        error: what the client raised; a certificate that was refused is named as such.
        ca_file: what the client trusts, for the hint; None: what this machine trusts.

    """
    if failure := tls_error(error, address, ca_file):
        return failure
    while error.__cause__ is not None:  # clients wrap the system's exception
        error = error.__cause__
    return ComponentError(f"{address} can't be reached", answered=shortened(str(error)))
