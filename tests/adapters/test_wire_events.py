"""`voicepipe.wire.event_queue` and `voicepipe.wire.deadlines`: how a stream ends, and how long anything may take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from voicepipe.errors import ComponentError
from voicepipe.wire.deadlines import answer_due, connecting, taking
from voicepipe.wire.event_queue import EventQueue

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager


async def test_events_that_wait_are_received_before_the_end() -> None:
    events = EventQueue[str](2)
    await events.put("one")
    events.put_nowait("two")
    events.end()
    assert [await events.receive() for _ in range(4)] == ["one", "two", None, None]


async def test_an_error_comes_behind_the_events_each_time_as_a_copy() -> None:
    events, error = EventQueue[str](2), ComponentError("the connection broke", retryable=False, hint="mend it")
    await events.put("one")
    events.check()
    events.end(error)
    events.end()  # as a `finally` does: the error stays
    assert await events.receive() == "one"
    raised = []
    for _ in range(2):
        with pytest.raises(ComponentError, match="the connection broke") as caught:
            await events.receive()
        raised.append(caught.value)
    assert raised[0] is not raised[1]
    assert all(found is not error and (found.retryable, found.hint) == (False, "mend it") for found in raised)
    with pytest.raises(ComponentError, match="the connection broke"):
        events.check()


async def test_put_waits_while_the_queue_is_full(autojump_clock: object) -> None:
    events = EventQueue[int](1)
    await events.put(1)
    with pytest.raises(trio.WouldBlock):
        events.put_nowait(2)
    with trio.move_on_after(1) as waiting:
        await events.put(2)
    assert waiting.cancelled_caught
    with trio.move_on_after(0) as cancelled:
        await events.receive()
    assert cancelled.cancelled_caught
    assert await events.receive() == 1


async def test_a_closed_queue_takes_no_more() -> None:
    events = EventQueue[int](1)
    events.end()
    with pytest.raises(trio.ClosedResourceError):
        await events.put(1)
    events.close()
    with pytest.raises(trio.ClosedResourceError):
        await events.receive()


@pytest.mark.parametrize(
    ("deadline", "message"),
    [
        (lambda: answer_due(2.5), "nothing came for 2.5 s"),
        (lambda: taking(2.5), "took nothing for 2.5 s"),
        (lambda: connecting("acme.test:443", 2.5), "acme.test:443 did not take the connection within 2.5 s"),
    ],
)
async def test_a_deadline_that_passes_is_the_components_error(
    autojump_clock: object, deadline: Callable[[], AbstractContextManager[None]], message: str
) -> None:
    began = trio.current_time()
    with pytest.raises(ComponentError) as caught, deadline():
        await trio.sleep(10)
    assert (caught.value.message, caught.value.retryable) == (message, True)
    assert trio.current_time() - began == 2.5
    with deadline():
        await trio.sleep(2)
    with trio.move_on_after(1) as scope, deadline():
        await trio.sleep(10)
    assert scope.cancelled_caught  # another's cancellation passes as what it is
