"""What `voicepipe.wire.http` makes of answers that are left, refused or broken off."""

from __future__ import annotations

from contextlib import asynccontextmanager
from email.utils import formatdate
from functools import partial
from time import time

import httpx
import httpx2
import pytest
import trio
from patience import LONG_S

from voicepipe.errors import ComponentError
from voicepipe.wire.http import MOST_QUOTED, http_failures, refused, retry_after_s, shortened, unwinding

KEY = "${ACME_API_KEY}"


class Source:
    """Generators that lie one in the other, as a client's do."""

    def __init__(self) -> None:
        self.closed = []

    async def innermost(self):
        try:
            for number in range(3):
                await trio.lowlevel.checkpoint()
                yield number
        finally:
            self.closed.append("innermost")

    async def outermost(self):
        try:
            async for number in self.innermost():
                yield number
        finally:
            self.closed.append("outermost")


async def test_all_generators_have_ended_when_an_answer_is_left_midway():
    source = Source()
    async with unwinding(source.outermost()) as numbers:
        async for _ in numbers:
            break
    assert source.closed == ["innermost", "outermost"]


async def test_an_answer_that_was_read_to_its_end_stays_as_it_is():
    source = Source()
    async with unwinding(source.outermost()) as numbers:
        assert [number async for number in numbers] == [0, 1, 2]
    assert source.closed == ["innermost", "outermost"]


async def test_leaving_by_an_exception_ends_them_too():
    source = Source()
    with pytest.raises(ValueError, match="mine"):  # noqa: PT012 - what is raised must be raised inside
        async with unwinding(source.outermost()) as numbers:
            await anext(numbers)
            raise ValueError("mine")
    assert source.closed == ["innermost", "outermost"]


async def test_leaving_by_a_cancellation_ends_them_too():
    source = Source()
    with trio.CancelScope() as scope:
        async with unwinding(source.outermost()) as numbers:
            await anext(numbers)
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert source.closed == ["innermost", "outermost"]


@pytest.mark.parametrize(
    ("status", "body", "retryable", "fault", "too_long", "hint"),
    [
        (400, "messages is malformed", False, "request", False, ""),
        (400, "maximum context length is 8192 tokens", False, "request", True, ""),
        (400, "unknown model parrot", False, "component", False, ""),
        (401, "no", False, "component", False, "is ${ACME_API_KEY} set for this account?"),
        (404, "no model parrot", False, "component", False, "are base_url and model right?"),
        (408, "", True, "component", False, ""),
        (413, "", False, "request", True, ""),
        (429, "slow down", True, "component", False, "the account of ${ACME_API_KEY} asks too often"),
        (503, "", True, "component", False, ""),
    ],
)
def test_what_a_refusal_means(status, body, retryable, fault, too_long, hint):
    for given in (body, body.encode()):
        error = refused(status, {}, given, KEY)
        assert str(error).startswith(f"HTTP {status}")
        assert (error.retryable, error.fault, error.too_long, error.hint) == (retryable, fault, too_long, hint)
        assert error.answered == body


def test_an_adapter_s_own_hints():
    assert refused(404, {}, b"", KEY, {404: "`acme list` shows them, with {key}"}).hint == (
        "`acme list` shows them, with ${ACME_API_KEY}"
    )


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "2"}, 2),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "-3"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": formatdate(0, usegmt=True)}, 0),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"Retry-After-Ms": "soon", "retry-after": "7"}, 7),
    ],
)
def test_how_long_to_wait(headers, seconds):
    assert retry_after_s(headers) == seconds


def test_how_long_to_wait_until_a_date():
    assert 3000 < retry_after_s({"retry-after": formatdate(time() + 3600, usegmt=True)}) <= 3600


def test_what_is_quoted_is_short_and_on_one_line():
    assert shortened(b"a\n\n  b\xff") == "a b\N{REPLACEMENT CHARACTER}"
    assert len(shortened("x" * 1000)) == MOST_QUOTED
    assert shortened("x" * 1000).endswith("…")


@asynccontextmanager
async def answering(answer, *, stay=True):
    """A server that answers anything with that, and stays or goes."""

    async def serve(stream):
        async with stream:
            await stream.receive_some()
            await stream.send_all(answer)
            if stay:
                await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        yield f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


async def failure_of(library, address, timeout_s=LONG_S):
    """What asking that address comes to."""
    async with library.AsyncClient(timeout=library.Timeout(timeout_s, connect=LONG_S), trust_env=False) as client:
        with (
            pytest.raises(ComponentError) as caught,
            http_failures(library, address=address, connect_timeout_s=5, timeout_s=timeout_s),
        ):
            await client.get(address)
    return caught.value


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
async def test_what_httpx_and_its_successor_raise(library):
    with trio.socket.socket() as nobody:
        await nobody.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        error = await failure_of(library, address)
        assert error.message == f"{address} can't be reached"
        assert error.retryable
    async with answering(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf") as address:
        assert (await failure_of(library, address, 0.1)).message == "nothing came for 0.1 s"
    async with answering(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", stay=False) as address:
        assert (await failure_of(library, address)).message == "the connection broke"
    async with answering(b"rubbish\r\n\r\n", stay=False) as address:
        assert (await failure_of(library, address)).message == "the connection broke"


def test_other_exceptions_are_left_alone():
    with pytest.raises(KeyError), http_failures(httpx, address="", connect_timeout_s=1, timeout_s=1):
        raise KeyError
