"""A nursery that nobody outside can see."""

from __future__ import annotations

import pytest
import trio

from voicepipe.nurseries import open_hidden_nursery


async def fail(error):
    await trio.lowlevel.checkpoint()
    raise error


@pytest.mark.parametrize("busy", [False, True])
@pytest.mark.parametrize("make", [ValueError, KeyboardInterrupt, SystemExit, lambda: ExceptionGroup("g", [OSError()])])
async def test_what_the_body_raises_comes_out_as_it_went_in(make, busy):
    mine, cause, context, caught = make(), OSError("why"), OSError("meanwhile"), None
    mine.__context__ = context
    try:
        async with open_hidden_nursery() as nursery:
            if busy:
                nursery.start_soon(trio.sleep_forever)
            raise mine from cause  # noqa: TRY301 - what is tested
    except BaseException as error:  # noqa: BLE001 - whatever comes out
        caught = error
    assert caught is mine
    assert mine.__cause__ is cause
    assert mine.__context__ is context


async def test_a_body_that_fails_while_everything_is_cancelled_comes_out_bare():
    mine = ValueError("mine")

    async def body(scope):
        scope.cancel()
        try:
            await trio.sleep_forever()
        finally:
            raise mine

    with pytest.raises(ValueError, match="mine") as caught, trio.CancelScope() as scope:  # noqa: PT012 - the block raises
        async with open_hidden_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            await body(scope)
    assert caught.value is mine


async def test_a_cancellation_goes_through_to_its_scope():
    with trio.CancelScope() as scope:
        async with open_hidden_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught


async def test_a_task_that_fails_comes_out_in_a_group():
    theirs = ValueError("theirs")
    with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012 - the block raises
        async with open_hidden_nursery() as nursery:
            nursery.start_soon(fail, theirs)
            await trio.sleep_forever()
    assert caught.value.exceptions == (theirs,)


async def test_a_body_and_a_task_that_both_fail_come_out_in_a_group():
    mine, theirs = ValueError("mine"), ValueError("theirs")
    with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012 - the block raises
        async with open_hidden_nursery() as nursery:
            nursery.start_soon(fail, theirs)
            try:
                await trio.sleep_forever()
            finally:
                raise mine
    assert set(caught.value.exceptions) == {mine, theirs}


async def test_cancelling_it_ends_it_without_a_word():
    async with open_hidden_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        nursery.cancel_scope.cancel()
        await trio.sleep_forever()
    assert nursery.cancel_scope.cancelled_caught


async def test_leaving_it_waits_for_its_tasks():
    done = []

    async def work():
        await trio.lowlevel.checkpoint()
        done.append(True)

    async with open_hidden_nursery() as nursery:
        nursery.start_soon(work)
    assert done


async def test_a_body_full_of_tasks_that_it_cancels_fails_with_its_own():
    """Cancellations that are the nursery's own don't leak out with the body's exception."""
    mine = ValueError("mine")

    async def fail_when_cancelled():
        try:
            await trio.sleep_forever()
        finally:
            raise mine

    with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012 - the block raises
        async with open_hidden_nursery() as outer, trio.open_nursery() as inner:
            inner.start_soon(fail_when_cancelled)
            inner.start_soon(trio.sleep_forever)
            outer.cancel_scope.cancel()
    assert caught.value.exceptions == (mine,)
