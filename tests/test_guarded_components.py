"""Guarded components: their methods and streams raise one bare `ComponentError`, and end with the component."""

from __future__ import annotations

import gc
from contextlib import asynccontextmanager, contextmanager
from functools import partial

import pytest
import trio
import trio.testing
from adapter_habits import BODIES, FailsAtOnce, check, dying, fails_after, fails_before, habits, raised
from patience import LONG_S
from recording import make_component

from voicepipe.audio import AudioFormat
from voicepipe.components.boundary import ComponentRef
from voicepipe.components.guards import GUARDED
from voicepipe.components.requests import CallInfo, CallStarted, Listen, ReplyRequest
from voicepipe.errors import ComponentError

AUDIO = AudioFormat(8000)
REQUEST = ReplyRequest(trigger=CallStarted(CallInfo("1")), messages=(), prompt="", tools=(), state=None)
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


def guarded(role, component):
    made = GUARDED[role](ComponentRef(role, "x"))
    made.up(component)
    return made


@raised
@pytest.mark.parametrize(("role", "method", "args"), EVERY_METHOD)
async def test_each_method_of_each_stream_has_a_guard(role, method, args, make, message):
    @asynccontextmanager
    async def stream():
        yield Failing(make())

    component = guarded(role, Failing(stream=stream))
    async with STREAMS[role](component) as opened:
        with component_error(role) as caught:
            await getattr(opened, method)(*args)
    check(caught.value, message, ComponentRef(role, "x"))


@raised
@roles
@pytest.mark.parametrize("adapter", [fails_before, fails_after, dying, FailsAtOnce])
async def test_streams_open_and_close_with_a_guard(role, adapter, make, message):
    component = guarded(role, Failing(stream=partial(adapter, make())))
    with component_error(role) as caught:
        async with STREAMS[role](component):
            await trio.testing.wait_all_tasks_blocked()
    assert caught.value.message.endswith(message)


@raised
@pytest.mark.parametrize(("role", "pure"), [("stt", "input_for"), ("tts", "output_for")])
async def test_pure_methods_have_a_guard(role, pure, make, message):
    with component_error(role) as caught:
        getattr(guarded(role, Failing(make())), pure)(AUDIO)
    check(caught.value, message, ComponentRef(role, "x"))


@roles
async def test_a_component_behind_its_guard_does_its_work(role):
    component = guarded(role, make_component(role))
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
        async with STREAMS[role](guarded(role, Failing(stream=adapter))):
            raise mine  # noqa: TRY301 - what is tested
    except BaseException as error:  # noqa: BLE001 - whatever comes out
        caught = error
    assert caught is mine


@roles
async def test_a_component_that_is_down_opens_no_stream(role):
    component = guarded(role, make_component(role))
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
    component = guarded(role, Failing(stream=adapter))
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

    component = guarded(role, Failing(stream=stream))

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
    component = guarded(role, make_component(role))
    with trio.CancelScope() as scope:
        async with STREAMS[role](component):
            scope.cancel()
            component.down()
            await trio.sleep_forever()
    assert scope.cancelled_caught


@roles
async def test_streams_that_were_left_are_forgotten(role):
    component = guarded(role, make_component(role))
    for _ in range(10):
        async with STREAMS[role](component):
            pass
    gc.collect()
    assert not component._streams
