"""The link between a supervisor and its workers: what is sent arrives whole, in order, with what comes along."""

from __future__ import annotations

import os
import socket

import pytest
import trio

from reference_engine.link.link import Link, LinkClosedError, open_links
from reference_engine.link.messages import AskAlive, ChangePrepared, ConnectionClosed, HandedConnection, PrepareChange


@pytest.fixture
def links() -> tuple[Link, Link]:
    ours, theirs = open_links()
    return ours, Link(theirs)


async def test_messages_arrive_whole_and_in_order(links: tuple[Link, Link]) -> None:
    ours, theirs = links
    problem = {"path": "ä.yaml", "line": 3, "message": 'say "no"'}
    refused = ChangePrepared(2, ready=False, problems=[problem])
    sent = [
        AskAlive(1),
        PrepareChange(2, "reload", "main", "signal"),
        refused,
        ConnectionClosed(9),
    ]
    with ours, theirs:
        for message in sent:
            await ours.send(message)
        assert [(await theirs.receive()).message for _ in sent] == sent


async def test_a_blob_larger_than_the_sockets_buffer(links: tuple[Link, Link]) -> None:
    ours, theirs = links
    blob = os.urandom(5_000_000)
    with ours, theirs:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: ours.send(PrepareChange(1, "start", "main", "start"), blob=blob))
            received = await theirs.receive()
            nursery.start_soon(lambda: ours.send(AskAlive(1)))
            assert received.blob == blob
            assert (await theirs.receive()).message == AskAlive(1)


async def test_each_descriptor_comes_with_its_message(links: tuple[Link, Link]) -> None:
    ours, theirs = links
    with ours, theirs:
        for number in range(100):
            near, far = socket.socketpair()
            near.sendall(str(number).encode())
            near.close()
            await ours.send(
                HandedConnection(number, "main", "127.0.0.1:1"), descriptor=far.fileno(), blob=b"x" * number
            )
            far.close()
            await ours.send(AskAlive(number))
        for number in range(100):
            received = await theirs.receive()
            assert received.message == HandedConnection(number, "main", "127.0.0.1:1")
            assert received.descriptor is not None
            assert not os.get_inheritable(received.descriptor)
            with socket.socket(fileno=received.descriptor) as connection:
                assert connection.recv(10) == str(number).encode()
            assert await theirs.receive() == type(received)(AskAlive(number))


async def test_descriptors_that_nobody_received_are_closed(links: tuple[Link, Link]) -> None:
    ours, theirs = links
    near, far = socket.socketpair()
    with near, ours:
        with theirs:
            await ours.send(AskAlive(1))
            await ours.send(HandedConnection(1, "main", ""), descriptor=far.fileno())
            far.close()
            assert (await theirs.receive()).message == AskAlive(1)
        assert near.recv(1) == b""  # the kernel has closed the other end


async def test_the_end_of_the_other_side(links: tuple[Link, Link]) -> None:
    ours, theirs = links
    theirs.close()
    with ours:
        with pytest.raises(LinkClosedError):
            await ours.receive()
        with pytest.raises(LinkClosedError):
            await ours.send(AskAlive(1))
