"""A guard around the context manager of an adapter, of whatever habits: which exception leaves it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing
from adapter_habits import (
    BODIES,
    WHO,
    FailsAtOnce,
    check,
    convert_cancelled,
    dying,
    fails_after,
    fails_before,
    fails_beside_entering,
    fails_beside_leaving,
    habits,
    raised,
)

from voicepipe.components.guards import GuardedContext
from voicepipe.errors import ComponentError


def guard(adapter) -> GuardedContext[Any, Any]:
    return GuardedContext(WHO, adapter, lambda inside: inside)


# --- Contexts of many habits -------------------------------------------------------------------------------------


@habits
async def test_what_it_gives_is_wrapped(adapter):
    async with GuardedContext(WHO, adapter, str.upper) as inside:
        assert inside == "INSIDE"


@habits
@pytest.mark.parametrize("make", BODIES.values(), ids=BODIES)
async def test_what_the_body_raises_comes_out_as_it_went_in(adapter, make):
    mine, cause, caught = make(), OSError("why"), None
    try:
        async with guard(adapter):
            raise mine from cause  # noqa: TRY301 - what is tested
    except BaseException as error:  # noqa: BLE001 - whatever comes out
        caught = error
    assert caught is mine
    assert mine.__cause__ is cause
    if isinstance(mine, ComponentError) and not mine.component:
        assert mine.role is None


@habits
async def test_a_cancellation_from_outside_goes_through_to_its_scope(adapter):
    with trio.CancelScope() as scope:
        async with guard(adapter):
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught


@habits
async def test_a_cancelled_body_full_of_tasks_is_cancelled(adapter):
    with trio.CancelScope() as scope:
        async with guard(adapter), trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            nursery.start_soon(trio.sleep_forever)
            scope.cancel()
    assert scope.cancelled_caught


@habits
async def test_a_body_that_fails_while_it_is_cancelled_fails_with_its_own(adapter):
    mine = ValueError("mine")

    async def fail():
        try:
            await trio.sleep_forever()
        finally:
            raise mine

    with pytest.raises(ValueError, match="mine") as caught, trio.CancelScope() as scope:  # noqa: PT012 - the block as a whole raises
        async with guard(adapter):
            scope.cancel()
            await fail()
    assert caught.value is mine
    assert not scope.cancelled_caught


@habits
async def test_a_scope_inside_the_body_is_the_bodys(adapter):
    async with guard(adapter):
        with trio.CancelScope() as scope:
            scope.cancel()
            await trio.sleep_forever()
        assert scope.cancelled_caught


# --- Every failure at every place --------------------------------------------------------------------------------


@raised
@pytest.mark.parametrize(
    "adapter", [fails_before, fails_after, fails_beside_entering, fails_beside_leaving, FailsAtOnce]
)
async def test_entering_and_leaving_fail_with_a_component_error(adapter, make, message):
    with pytest.raises(ComponentError) as caught:
        async with guard(partial(adapter, make())):
            pass
    # An async generator may not let StopAsyncIteration out, and says so.
    said = caught.value.message.removeprefix("RuntimeError: async generator raised ")
    check(ComponentError(said, component=caught.value.component, role=caught.value.role), message)


@pytest.mark.parametrize("adapter", [fails_before, fails_after, fails_beside_entering, fails_beside_leaving])
async def test_an_interrupt_comes_out_bare(adapter):
    interrupt = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt) as caught:
        async with guard(partial(adapter, interrupt)):
            pass
    assert caught.value is interrupt


async def test_an_interrupt_while_leaving_wins_over_what_the_body_raised():
    with pytest.raises(KeyboardInterrupt):
        async with guard(interrupted_leaving):
            raise ValueError("mine")


@asynccontextmanager
async def interrupted_leaving():
    async with trio.open_nursery():
        try:
            yield
        finally:
            raise KeyboardInterrupt


async def test_a_failure_beside_entering_that_is_cancelled_from_outside_is_a_cancellation():
    with trio.CancelScope() as scope:
        scope.cancel()
        async with guard(partial(fails_beside_entering, ValueError("interrupted"))):
            pass
    assert scope.cancelled_caught


async def test_an_exit_that_turns_its_cancellation_into_an_error_is_cancelled():
    @asynccontextmanager
    async def close_badly():
        yield
        await convert_cancelled()

    with trio.CancelScope() as scope:
        async with guard(close_badly):
            scope.cancel()
    assert scope.cancelled_caught


# --- A task of the adapter fails while the body runs -------------------------------------------------------------


@raised
async def test_a_task_of_the_adapter_that_fails_cuts_the_body_short(make, message):
    with pytest.raises(ComponentError) as caught:
        async with guard(partial(dying, make())):
            await trio.sleep_forever()
    check(caught.value, message)


@raised
async def test_a_body_full_of_tasks_is_cut_short_too(make, message):
    with pytest.raises(ComponentError) as caught:  # noqa: PT012 - the block as a whole raises
        async with guard(partial(dying, make())), trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            await trio.sleep_forever()
    check(caught.value, message)


async def test_both_the_body_and_the_adapter_fail():
    mine = ValueError("mine")
    with pytest.raises(ValueError, match="mine") as caught:  # noqa: PT012 - the block as a whole raises
        async with guard(partial(dying, OSError("theirs"))):
            try:
                await trio.sleep_forever()
            finally:
                raise mine
    assert caught.value is mine


async def test_no_cancellation_of_the_adapters_leaks_with_the_bodys_error():
    mine = ValueError("mine")

    async def fail():
        try:
            await trio.sleep_forever()
        finally:
            raise mine

    with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012 - the block as a whole raises
        async with guard(partial(dying, OSError("theirs"))), trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            nursery.start_soon(fail)
            await trio.sleep_forever()
    assert caught.value.exceptions == (mine,)


async def test_an_interrupt_of_a_task_comes_out_bare():
    with pytest.raises(KeyboardInterrupt):
        async with guard(partial(dying, KeyboardInterrupt())):
            await trio.sleep_forever()


async def test_an_adapter_that_ends_without_a_word_has_ended():
    @asynccontextmanager
    async def giving_up():
        async with trio.open_nursery() as nursery:
            nursery.cancel_scope.cancel()
            yield

    with pytest.raises(ComponentError) as caught:
        async with guard(giving_up):
            await trio.sleep_forever()
    check(caught.value, "ended by itself")


async def test_an_adapter_may_give_way_to_a_body_that_does_not_notice():
    @asynccontextmanager
    async def under_a_cancelled_scope():
        with trio.CancelScope() as scope:
            scope.cancel()
            yield "inside"

    async with guard(under_a_cancelled_scope) as inside:
        assert inside == "inside"
