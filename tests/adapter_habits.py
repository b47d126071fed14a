"""Exceptions that adapters may raise, and habits of their context managers: for tests of boundary and guards."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from functools import partial

import pytest
import trio

from voicepipe.components.boundary import ComponentRef
from voicepipe.errors import ComponentError
from voicepipe.nurseries import open_hidden_nursery

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


async def convert_cancelled():
    try:
        await trio.sleep_forever()
    except BaseException as error:
        raise ComponentError("interrupted") from error


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


@asynccontextmanager
async def dying(error):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(at_once, error))
        yield
