"""The boundary of a component: whatever a method of an adapter raises, its caller sees one bare `ComponentError`."""

from __future__ import annotations

import gc
import weakref
from contextlib import suppress

import pytest
import trio
import trio.testing
from adapter_habits import WHO, check, convert_cancelled, group, raised

from voicepipe.components.boundary import ComponentRef, as_component_error, await_guarded, call_guarded
from voicepipe.errors import ComponentError


@raised
async def test_whatever_a_method_raises_is_a_component_error(make, message):
    error = make()

    async def fail():
        await trio.lowlevel.checkpoint()
        raise error

    with pytest.raises(ComponentError) as caught:
        await await_guarded(WHO, fail)
    check(caught.value, message)
    assert error in {caught.value, caught.value.__cause__} or isinstance(error, BaseExceptionGroup)


@raised
def test_whatever_a_pure_method_raises_is_a_component_error(make, message):
    error = make()

    def fail():
        raise error

    with pytest.raises(ComponentError) as caught:
        call_guarded(WHO, fail)
    check(caught.value, message)


async def test_what_is_no_coroutine_is_a_component_error():
    with pytest.raises(ComponentError, match="TypeError"):
        await await_guarded(WHO, lambda: 3)


async def test_the_cause_that_an_adapter_gave_stays():
    refused = ConnectionRefusedError("port 80")

    async def fail():
        await trio.lowlevel.checkpoint()
        raise ComponentError("can't connect") from refused

    with pytest.raises(ComponentError) as caught:
        await await_guarded(WHO, fail)
    assert caught.value.__cause__ is refused


def test_the_cause_of_a_vendors_exception_is_that_exception():
    error = group(OSError("reset"))
    assert as_component_error(error, WHO).__cause__ is error


def test_an_error_that_names_its_component_keeps_the_name():
    error = ComponentError("refused", component="spare", role="stt")
    assert as_component_error(error, WHO) is error
    assert (error.component, error.role) == ("spare", "stt")


@pytest.mark.parametrize("make", [lambda it: it, lambda it: group(ValueError("x"), group(it))])
async def test_a_keyboard_interrupt_is_not_eaten(make):
    interrupt = KeyboardInterrupt()

    async def fail():
        await trio.lowlevel.checkpoint()
        raise make(interrupt)

    with pytest.raises(KeyboardInterrupt) as caught:
        await await_guarded(WHO, fail)
    assert caught.value is interrupt


async def test_a_keyboard_interrupt_wins_over_a_cancellation():
    async def fail():
        try:
            await trio.sleep_forever()
        except trio.Cancelled as cancelled:
            raise group(cancelled, KeyboardInterrupt()) from None

    with trio.CancelScope() as scope:
        scope.cancel()
        with pytest.raises(KeyboardInterrupt):
            await await_guarded(WHO, fail)


async def convert_in_a_task():
    async with trio.open_nursery() as nursery:
        nursery.start_soon(convert_cancelled)
        await trio.sleep_forever()


@pytest.mark.parametrize("wait", [trio.sleep_forever, convert_in_a_task])
async def test_a_call_that_is_cancelled_from_outside_is_cancelled(wait):
    with trio.CancelScope() as scope:
        scope.cancel()
        await await_guarded(WHO, wait)
    assert scope.cancelled_caught


# --- What an error leads to --------------------------------------------------------------------------------------


class Call:
    """Stands for the objects of a call that a frame of an adapter refers to."""


@raised
@pytest.mark.parametrize("awaited", [True, False])
async def test_an_error_that_was_dealt_with_keeps_no_frame(make, message, awaited):
    """Nothing of the call waits for the garbage collector: no error that was raised here refers to itself."""
    calls = []

    def fail():
        call = Call()
        calls.append(weakref.ref(call))
        raise make()

    async def fail_later():
        await trio.lowlevel.checkpoint()
        fail()

    async def use():
        with suppress(ComponentError):
            await await_guarded(WHO, fail_later) if awaited else call_guarded(WHO, fail)

    gc.disable()
    try:
        await use()
        assert [call() for call in calls] == [None]
    finally:
        gc.enable()


@pytest.mark.parametrize("within", ["context", "cause", "group"])
def test_an_error_whose_causes_quote_a_secret_leads_to_none_of_them(within):
    """Neither by its cause nor by its context, which Python sets when an error is raised while another is handled."""
    secret = "canary-of-a-key"
    ref = ComponentRef("llm", "model", lambda text: text.replace(secret, "***"))

    def fail():
        refused = ComponentError(f"refused {secret}")
        if within == "group":
            raise group(ValueError(secret), refused)
        try:
            int(secret)
        except ValueError as error:
            if within == "cause":
                raise refused from error
            raise refused  # noqa: B904 - an adapter that names no cause

    with pytest.raises(ComponentError) as caught:
        call_guarded(ref, fail)
    assert (str(caught.value), caught.value.__cause__, caught.value.__context__) == ("model: refused ***", None, None)
