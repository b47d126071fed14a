"""The edge of a component: whatever an adapter raises, wherever, its callers see one bare `ComponentError`."""

from __future__ import annotations

import gc
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing
from patience import LONG_S
from recording import make_component

from voicepipe.audio import AudioFormat
from voicepipe.components.boundary import (
    GUARDED,
    ComponentRef,
    GuardedContext,
    as_component_error,
    await_guarded,
    call_guarded,
)
from voicepipe.components.requests import CallInfo, CallStarted, Listen, ReplyRequest
from voicepipe.errors import ComponentError
from voicepipe.nurseries import open_hidden_nursery

AUDIO = AudioFormat(8000)
REQUEST = ReplyRequest(trigger=CallStarted(CallInfo("1")), messages=(), prompt="", tools=(), state=None)
WHO = ComponentRef("tts", "house_voice")


class Abandoned(BaseException):
    """A vendor's own cancellation, such as asyncio's."""


def group(*errors):
    return BaseExceptionGroup("several", errors)


RAISED = {
    "ours": (lambda: ComponentError("refused", answered="401"), "refused"),
    "theirs": (lambda: ValueError("bad model"), "ValueError: bad model"),
    "silent": (TimeoutError, "TimeoutError"),
    "exit": (lambda: SystemExit(3), "SystemExit: 3"),
    "base": (lambda: Abandoned("gone"), "Abandoned: gone"),
    "stop": (StopAsyncIteration, "StopAsyncIteration"),
    "group": (lambda: group(OSError("reset")), "OSError: reset"),
    "nested": (lambda: group(group(KeyError("x")), ValueError("y")), "KeyError: 'x'"),
    "ours in a group": (lambda: group(ValueError("y"), group(ComponentError("refused"))), "refused"),
    "exit in a group": (lambda: group(SystemExit(3)), "SystemExit: 3"),
}

raised = pytest.mark.parametrize(("make", "message"), RAISED.values(), ids=RAISED)


def check(error: BaseException, message: str, who: ComponentRef = WHO) -> None:
    assert type(error) is ComponentError
    assert (error.message, error.component, error.role) == (message, who.name, who.role)


# --- One call ----------------------------------------------------------------------------------------------------


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


async def convert_cancelled():
    try:
        await trio.sleep_forever()
    except BaseException as error:
        raise ComponentError("interrupted") from error


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


# --- Contexts of many habits -------------------------------------------------------------------------------------


@asynccontextmanager
async def plain():
    await trio.lowlevel.checkpoint()
    yield "inside"
    await trio.lowlevel.checkpoint()


@asynccontextmanager
async def with_finally():
    try:
        yield "inside"
    finally:
        await trio.lowlevel.checkpoint()


@asynccontextmanager
async def with_nursery():
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        yield "inside"
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def with_hidden_nursery():
    async with open_hidden_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        yield "inside"
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def with_scope():
    with trio.CancelScope():
        yield "inside"


@asynccontextmanager
async def swallowing():
    with suppress(BaseException):
        yield "inside"


@asynccontextmanager
async def failing_after_errors():
    try:
        yield "inside"
    except BaseException as error:
        raise OSError("cleanup failed too") from error


@asynccontextmanager
async def failing_in_a_nursery_after_errors():
    async with trio.open_nursery():
        try:
            yield "inside"
        except BaseException as error:
            raise OSError("cleanup failed too") from error


class ByHand:
    async def __aenter__(self):
        return "inside"

    async def __aexit__(self, *_):
        await trio.lowlevel.checkpoint()


HABITS = [
    plain,
    with_finally,
    with_nursery,
    with_hidden_nursery,
    with_scope,
    swallowing,
    failing_after_errors,
    failing_in_a_nursery_after_errors,
    ByHand,
]
habits = pytest.mark.parametrize("adapter", HABITS)


def edge(adapter) -> GuardedContext[Any, Any]:
    return GuardedContext(WHO, adapter, lambda inside: inside)


@habits
async def test_what_it_gives_is_wrapped(adapter):
    async with GuardedContext(WHO, adapter, str.upper) as inside:
        assert inside == "INSIDE"


BODIES = {
    "error": lambda: ValueError("mine"),
    "component error": lambda: ComponentError("another's", component="ears", role="stt"),
    "nameless component error": lambda: ComponentError("another's"),
    "interrupt": KeyboardInterrupt,
    "exit": lambda: SystemExit(1),
    "stop": StopIteration,
    "async stop": StopAsyncIteration,
    "group": lambda: ExceptionGroup("mine", [ValueError("x"), ExceptionGroup("in", [KeyError("y")])]),
}


@habits
@pytest.mark.parametrize("make", BODIES.values(), ids=BODIES)
async def test_what_the_body_raises_comes_out_as_it_went_in(adapter, make):
    mine, cause, caught = make(), OSError("why"), None
    try:
        async with edge(adapter):
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
        async with edge(adapter):
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught


@habits
async def test_a_cancelled_body_full_of_tasks_is_cancelled(adapter):
    with trio.CancelScope() as scope:
        async with edge(adapter), trio.open_nursery() as nursery:
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
        async with edge(adapter):
            scope.cancel()
            await fail()
    assert caught.value is mine
    assert not scope.cancelled_caught


@habits
async def test_a_scope_inside_the_body_is_the_bodys(adapter):
    async with edge(adapter):
        with trio.CancelScope() as scope:
            scope.cancel()
            await trio.sleep_forever()
        assert scope.cancelled_caught


# --- Every failure at every place --------------------------------------------------------------------------------


@asynccontextmanager
async def fails_before(error):
    await trio.lowlevel.checkpoint()
    raise error
    yield


@asynccontextmanager
async def fails_after(error):
    yield
    await trio.lowlevel.checkpoint()
    raise error


@asynccontextmanager
async def fails_beside_entering(error):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(at_once, error))
        await trio.sleep_forever()
        yield


@asynccontextmanager
async def fails_beside_leaving(error):
    async with trio.open_nursery() as nursery:
        yield
        nursery.start_soon(partial(at_once, error))


class FailsAtOnce:
    def __init__(self, error):
        raise error


async def at_once(error):
    await trio.lowlevel.checkpoint()
    raise error


@raised
@pytest.mark.parametrize(
    "adapter", [fails_before, fails_after, fails_beside_entering, fails_beside_leaving, FailsAtOnce]
)
async def test_entering_and_leaving_fail_with_a_component_error(adapter, make, message):
    with pytest.raises(ComponentError) as caught:
        async with edge(partial(adapter, make())):
            pass
    # An async generator may not let StopAsyncIteration out, and says so.
    said = caught.value.message.removeprefix("RuntimeError: async generator raised ")
    check(ComponentError(said, component=caught.value.component, role=caught.value.role), message)


@pytest.mark.parametrize("adapter", [fails_before, fails_after, fails_beside_entering, fails_beside_leaving])
async def test_an_interrupt_comes_out_bare(adapter):
    interrupt = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt) as caught:
        async with edge(partial(adapter, interrupt)):
            pass
    assert caught.value is interrupt


async def test_an_interrupt_while_leaving_wins_over_what_the_body_raised():
    with pytest.raises(KeyboardInterrupt):
        async with edge(interrupted_leaving):
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
        async with edge(partial(fails_beside_entering, ValueError("interrupted"))):
            pass
    assert scope.cancelled_caught


async def test_an_exit_that_turns_its_cancellation_into_an_error_is_cancelled():
    @asynccontextmanager
    async def close_badly():
        yield
        await convert_cancelled()

    with trio.CancelScope() as scope:
        async with edge(close_badly):
            scope.cancel()
    assert scope.cancelled_caught


# --- A task of the adapter fails while the body runs -------------------------------------------------------------


@asynccontextmanager
async def dying(error):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(at_once, error))
        yield


@raised
async def test_a_task_of_the_adapter_that_fails_cuts_the_body_short(make, message):
    with pytest.raises(ComponentError) as caught:
        async with edge(partial(dying, make())):
            await trio.sleep_forever()
    check(caught.value, message)


@raised
async def test_a_body_full_of_tasks_is_cut_short_too(make, message):
    with pytest.raises(ComponentError) as caught:  # noqa: PT012 - the block as a whole raises
        async with edge(partial(dying, make())), trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            await trio.sleep_forever()
    check(caught.value, message)


async def test_both_the_body_and_the_adapter_fail():
    mine = ValueError("mine")
    with pytest.raises(ValueError, match="mine") as caught:  # noqa: PT012 - the block as a whole raises
        async with edge(partial(dying, OSError("theirs"))):
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
        async with edge(partial(dying, OSError("theirs"))), trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            nursery.start_soon(fail)
            await trio.sleep_forever()
    assert caught.value.exceptions == (mine,)


async def test_an_interrupt_of_a_task_comes_out_bare():
    with pytest.raises(KeyboardInterrupt):
        async with edge(partial(dying, KeyboardInterrupt())):
            await trio.sleep_forever()


async def test_an_adapter_that_ends_without_a_word_has_ended():
    @asynccontextmanager
    async def giving_up():
        async with trio.open_nursery() as nursery:
            nursery.cancel_scope.cancel()
            yield

    with pytest.raises(ComponentError) as caught:
        async with edge(giving_up):
            await trio.sleep_forever()
    check(caught.value, "ended by itself")


async def test_an_adapter_may_give_way_to_a_body_that_does_not_notice():
    @asynccontextmanager
    async def under_a_cancelled_scope():
        with trio.CancelScope() as scope:
            scope.cancel()
            yield "inside"

    async with edge(under_a_cancelled_scope) as inside:
        assert inside == "inside"


# --- Components --------------------------------------------------------------------------------------------------

STREAMS = {
    "stt": lambda stt: stt.open_stream(stt.input_for(AUDIO), Listen()),
    "llm": lambda llm: llm.respond(REQUEST),
    "tts": lambda tts: tts.open_stream(tts.output_for(AUDIO), None),
}
METHODS = {
    "stt": {"send": (b"\0\0",), "end_utterance": (), "listen_for": (Listen(),), "finish": (), "receive": ()},
    "llm": {"receive": ()},
    "tts": {"send": ("Hello.", 0), "finish": (), "receive": ()},
}
EVERY_METHOD = [(role, name, args) for role, methods in METHODS.items() for name, args in methods.items()]
roles = pytest.mark.parametrize("role", STREAMS)


class Failing:
    """A component whose streams are the given context, and a stream all of whose methods raise."""

    def __init__(self, error=None, stream=None):
        self.error = error
        self._stream = stream

    def input_for(self, call):
        if self._stream is None:
            raise self.error
        return call

    output_for = input_for

    def open_stream(self, *_):
        return self._stream()

    respond = open_stream

    async def _fail(self, *_):
        await trio.lowlevel.checkpoint()
        raise self.error

    send = end_utterance = listen_for = finish = receive = _fail


@contextmanager
def component_error(role):
    with pytest.raises(ComponentError) as caught:
        yield caught
    assert (caught.value.component, caught.value.role) == ("x", role)


def edged(role, component):
    made = GUARDED[role](ComponentRef(role, "x"))
    made.up(component)
    return made


@raised
@pytest.mark.parametrize(("role", "method", "args"), EVERY_METHOD)
async def test_each_method_of_each_stream_has_an_edge(role, method, args, make, message):
    @asynccontextmanager
    async def stream():
        yield Failing(make())

    component = edged(role, Failing(stream=stream))
    async with STREAMS[role](component) as opened:
        with component_error(role) as caught:
            await getattr(opened, method)(*args)
    check(caught.value, message, ComponentRef(role, "x"))


@raised
@roles
@pytest.mark.parametrize("adapter", [fails_before, fails_after, dying, FailsAtOnce])
async def test_streams_open_and_close_with_an_edge(role, adapter, make, message):
    component = edged(role, Failing(stream=partial(adapter, make())))
    with component_error(role) as caught:
        async with STREAMS[role](component):
            await trio.testing.wait_all_tasks_blocked()
    assert caught.value.message.endswith(message)


@raised
@pytest.mark.parametrize(("role", "pure"), [("stt", "input_for"), ("tts", "output_for")])
async def test_pure_methods_have_an_edge(role, pure, make, message):
    with component_error(role) as caught:
        getattr(edged(role, Failing(make())), pure)(AUDIO)
    check(caught.value, message, ComponentRef(role, "x"))


@roles
async def test_a_component_behind_its_edge_does_its_work(role):
    component = edged(role, make_component(role))
    async with STREAMS[role](component) as stream:
        for method, args in METHODS[role].items():
            with trio.fail_after(LONG_S):
                await getattr(stream, method)(*args)


@roles
@habits
@pytest.mark.parametrize("make", BODIES.values(), ids=BODIES)
async def test_what_is_raised_beside_a_stream_comes_out_as_it_went_in(role, adapter, make):
    mine, caught = make(), None
    try:
        async with STREAMS[role](edged(role, Failing(stream=adapter))):
            raise mine  # noqa: TRY301 - what is tested
    except BaseException as error:  # noqa: BLE001 - whatever comes out
        caught = error
    assert caught is mine


@roles
async def test_a_component_that_is_down_opens_no_stream(role):
    component = edged(role, make_component(role))
    component.down()
    with component_error(role) as caught:
        async with STREAMS[role](component):
            pass
    assert caught.value.retryable
    component.up(make_component(role))
    async with STREAMS[role](component):
        pass


@roles
@habits
async def test_open_streams_end_with_their_component(role, adapter):
    """Even where the adapter's streams don't notice: waiting, in a task, with habits of any kind."""
    component = edged(role, Failing(stream=adapter))
    ended = []

    async def call(*, in_a_task):
        with component_error(role) as caught:
            async with STREAMS[role](component):
                if in_a_task:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(trio.sleep_forever)
                        nursery.start_soon(trio.sleep_forever)
                await trio.sleep_forever()
        ended.append(caught.value)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(call, in_a_task=False))
        nursery.start_soon(partial(call, in_a_task=True))
        await trio.testing.wait_all_tasks_blocked()
        component.down()
    assert [error.message for error in ended] == ["closed while in use"] * 2
    assert len({id(error) for error in ended}) == 2


@roles
async def test_what_a_stream_says_about_the_end_of_its_component_is_heard(role):
    """An adapter that tells its streams first, as one with a helper process does, is believed."""
    died = trio.Event()

    class Stream(Failing):
        async def receive(self):
            await died.wait()
            raise ComponentError("the helper process ended by itself (killed by signal 9)")

    @asynccontextmanager
    async def stream():
        yield Stream()

    component = edged(role, Failing(stream=stream))

    async def call():
        with component_error(role) as caught:
            async with STREAMS[role](component) as opened:
                await opened.receive()
        assert "signal 9" in caught.value.message

    async with trio.open_nursery() as nursery:
        nursery.start_soon(call)
        await trio.testing.wait_all_tasks_blocked()
        died.set()
        component.down()


@roles
async def test_a_call_that_ends_as_its_component_does_is_cancelled(role):
    component = edged(role, make_component(role))
    with trio.CancelScope() as scope:
        async with STREAMS[role](component):
            scope.cancel()
            component.down()
            await trio.sleep_forever()
    assert scope.cancelled_caught


@roles
async def test_streams_that_were_left_are_forgotten(role):
    component = edged(role, make_component(role))
    for _ in range(10):
        async with STREAMS[role](component):
            pass
    gc.collect()
    assert not component._streams
