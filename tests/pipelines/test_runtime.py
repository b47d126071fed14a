"""A runtime: components shared by equal keys, each in a task of its own; in memory, on trio's virtual clock."""

from __future__ import annotations

from functools import partial

import pytest
import trio
from recording import RecordingAdapters, raising
from trio.testing import wait_all_tasks_blocked

from voicepipe.audio import AudioFormat
from voicepipe.components.requests import Listen
from voicepipe.errors import ComponentError
from voicepipe.pipelines.runtime import open_runtime
from voicepipe.pipelines.shared_component import CLOSE_S, REOPEN_DEADLINE_S, REOPEN_S
from voicepipe.testing.components import ToneTextToSpeech

AUDIO = AudioFormat(8000)
FAILURES = {
    "ours": lambda: ComponentError("refused"),
    "theirs": lambda: ValueError("bad model"),
    "group": lambda: ExceptionGroup("several", [OSError("reset")]),
    "exit": lambda: SystemExit(3),
}
failures = pytest.mark.parametrize("make", FAILURES.values(), ids=FAILURES)


@pytest.fixture
def adapters():
    return RecordingAdapters()


@pytest.fixture
def hold(adapters):
    """Holds a component of a runtime, by name: `await hold(runtime, "stt a")`."""

    async def hold(runtime, name, **options):
        role, component_id = name.split()
        return await acquire(runtime, adapters.settings(role, component_id, **options), adapters.adapter(role))

    return hold


async def acquire(runtime, settings, adapter):
    """As a version acquires a component, and waits for the first attempt to open it; raises why it is not open."""
    shared = runtime.acquire(settings, adapter)
    try:
        if not shared.was_open:
            await shared.attempt()
    except trio.Cancelled:
        runtime.release(shared)
        raise
    if not shared.was_open:
        runtime.release(shared)
        raise shared.error or ComponentError("was closed")
    return shared


async def release(runtime, shared):
    runtime.release(shared)
    await wait_all_tasks_blocked()


# --- Sharing -----------------------------------------------------------------------------------------------------


async def test_equal_keys_are_one_component_opened_once_and_closed_by_the_last(autojump_clock, adapters, hold):
    async with open_runtime() as runtime:
        first, second = await hold(runtime, "stt a"), await hold(runtime, "stt a")
        assert first is second
        assert adapters.opened == ["stt a"]
        await release(runtime, first)
        assert adapters.closed == []
        await release(runtime, second)
        assert adapters.closed == ["stt a"]


async def test_other_keys_are_other_components(autojump_clock, adapters, hold):
    async with open_runtime() as runtime:
        shared = [await hold(runtime, "stt a"), await hold(runtime, "stt a", text="x"), await hold(runtime, "tts a")]
        assert len({id(one) for one in shared}) == 3
        assert adapters.opened == ["stt a", "stt a", "tts a"]


async def test_those_who_come_while_it_opens_share_the_opening(autojump_clock, adapters, hold):
    adapters.opening["stt a"] = partial(trio.sleep, 3)
    held = []

    async def wait(runtime):
        held.append(await hold(runtime, "stt a"))

    async with open_runtime() as runtime, trio.open_nursery() as nursery:
        nursery.start_soon(wait, runtime)
        await trio.sleep(1)
        nursery.start_soon(wait, runtime)
        await trio.sleep(1)
        assert held == []
        await trio.sleep(1.5)
        assert len(held) == 2
        assert held[0] is held[1]
    assert adapters.opened == adapters.closed == ["stt a"]


async def test_it_is_opened_anew_after_the_last_release(autojump_clock, adapters, hold):
    adapters.closing["stt a"] = partial(trio.sleep, 1)
    async with open_runtime() as runtime:
        first = await hold(runtime, "stt a")
        await release(runtime, first)
        second = await hold(runtime, "stt a")
        assert second is not first
        assert adapters.open == {"stt a": 2}
        await trio.sleep(1.1)
        assert adapters.open == {"stt a": 1}


async def test_components_are_lent_a_name_and_threads(autojump_clock, adapters):
    lent = []
    adapter = adapters.adapter("tts")

    def open_noting(options, resources):
        lent.append(resources)
        return adapter.open(options, resources)

    noting = type(adapter)(name="recorded", role="tts", options=adapter.options, open=open_noting)
    async with open_runtime() as runtime:
        for component_id in "ab":
            await acquire(runtime, adapters.settings("tts", component_id), noting)
    assert [one.component for one in lent] == ["my_a", "my_b"]
    assert lent[0].threads is lent[1].threads


# --- Opening -----------------------------------------------------------------------------------------------------


@failures
async def test_a_failure_to_open_is_a_component_error_for_all_who_wait(autojump_clock, adapters, hold, make):
    adapters.opening["stt a"] = raising(make())
    seen = []

    async def wait(runtime):
        with pytest.raises(ComponentError) as caught:
            await hold(runtime, "stt a")
        seen.append(caught.value)

    async with open_runtime() as runtime:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait, runtime)
            nursery.start_soon(wait, runtime)
        assert [(error.component, error.role) for error in seen] == [("my_a", "stt")] * 2
        assert adapters.attempts == ["stt a"]

        del adapters.opening["stt a"]
        assert (await hold(runtime, "stt a")).error is None
    assert adapters.opened == adapters.closed == ["stt a"]


async def test_a_keyboard_interrupt_while_opening_is_not_eaten(autojump_clock, adapters, hold):
    adapters.opening["stt a"] = raising(KeyboardInterrupt())
    with pytest.raises(BaseExceptionGroup) as caught:  # noqa: PT012 - the block raises
        async with open_runtime() as runtime:
            await hold(runtime, "tts a")
            await hold(runtime, "stt a")
    assert caught.group_contains(KeyboardInterrupt)
    assert adapters.open == {}


async def test_giving_up_cancels_an_opening_that_nobody_else_waits_for(autojump_clock, adapters, hold):
    adapters.opening["stt a"] = trio.sleep_forever
    async with open_runtime() as runtime:
        with trio.move_on_after(2) as scope:
            await hold(runtime, "stt a")
        assert scope.cancelled_caught
        await wait_all_tasks_blocked()
        del adapters.opening["stt a"]
        await hold(runtime, "stt a")
        assert adapters.attempts == ["stt a", "stt a"]


async def test_giving_up_leaves_the_opening_to_those_who_still_wait(autojump_clock, adapters, hold):
    adapters.opening["stt a"] = partial(trio.sleep, 3)

    async def give_up(runtime):
        with trio.move_on_after(1):
            await hold(runtime, "stt a")

    async with open_runtime() as runtime, trio.open_nursery() as nursery:
        nursery.start_soon(give_up, runtime)
        shared = await hold(runtime, "stt a")
        assert adapters.attempts == ["stt a"]
        await release(runtime, shared)
        assert adapters.closed == ["stt a"]


class Probed(ToneTextToSpeech):
    probed = 0

    async def probe(self):
        type(self).probed += 1
        await trio.sleep(1)
        raise ComponentError("answers 401", hint="is the key right?")


async def test_a_component_that_can_be_probed_is_probed_before_anybody_gets_it(autojump_clock, adapters, hold):
    adapters.make = lambda _role: Probed()
    async with open_runtime() as runtime:
        began = trio.current_time()
        with pytest.raises(ComponentError, match="answers 401") as caught:
            await hold(runtime, "tts a")
        assert trio.current_time() - began == 1
    assert (caught.value.component, caught.value.hint) == ("my_a", "is the key right?")
    assert Probed.probed == 1
    assert adapters.open == {}


async def test_an_adapter_that_can_not_name_its_model_can_not_be_opened(autojump_clock, adapters, hold):
    adapters.model = lambda options: options.modell
    async with open_runtime() as runtime:
        with pytest.raises(ComponentError, match="AttributeError"):
            await hold(runtime, "stt a")
    assert adapters.open == {}


# --- Closing -----------------------------------------------------------------------------------------------------


@failures
async def test_a_failure_to_close_is_nobodys_problem(autojump_clock, adapters, hold, make):
    adapters.closing["stt a"] = raising(make())
    async with open_runtime() as runtime:
        await hold(runtime, "tts a")
        await release(runtime, await hold(runtime, "stt a"))
        began = trio.current_time()
        assert adapters.open == {"tts a": 1}
    assert trio.current_time() == began


async def test_a_component_that_hangs_while_closing_is_cancelled(autojump_clock, adapters, hold):
    closed_at = []

    async def hang():
        try:
            await trio.sleep_forever()
        finally:
            closed_at.append(trio.current_time())

    adapters.closing["stt a"] = hang
    async with open_runtime() as runtime:
        shared = await hold(runtime, "stt a")
        began = trio.current_time()
        runtime.release(shared)
        assert trio.current_time() == began
        await trio.sleep(60)
    assert closed_at == [began + CLOSE_S]


async def test_leaving_the_runtime_closes_everything_at_once_and_within_its_time(autojump_clock, adapters, hold):
    for name in ("stt a", "stt b", "tts a"):
        adapters.closing[name] = trio.sleep_forever
    async with open_runtime() as runtime:
        for name in ("stt a", "stt b", "tts a", "llm a"):
            await hold(runtime, name)
        began = trio.current_time()
    assert trio.current_time() - began == CLOSE_S
    assert adapters.open == {}


@pytest.mark.parametrize("how", ["cancelled", "failed"])
async def test_components_close_in_their_own_time_when_everything_around_is_cancelled(
    autojump_clock, adapters, hold, how
):
    said_goodbye = []

    async def say_goodbye():
        await trio.sleep(2)
        said_goodbye.append(trio.current_time())

    adapters.closing["stt a"] = say_goodbye
    mine = ValueError("mine")
    with trio.CancelScope() as scope:
        try:
            async with open_runtime() as runtime:
                await hold(runtime, "stt a")
                began = trio.current_time()
                if how == "failed":
                    raise mine
                scope.cancel()
                await trio.sleep_forever()
        except ValueError as error:
            assert error is mine  # noqa: PT017 - what comes out is the point
    assert scope.cancelled_caught == (how == "cancelled")
    assert said_goodbye == [began + 2]
    assert adapters.open == {}


async def test_leaving_the_runtime_ends_what_is_being_opened(autojump_clock, adapters, hold):
    adapters.opening["stt a"] = trio.sleep_forever
    async with trio.open_nursery() as nursery:

        async def wait(runtime):
            with pytest.raises(ComponentError, match="was closed"):
                await hold(runtime, "stt a")

        async with open_runtime() as runtime:
            nursery.start_soon(wait, runtime)
            await wait_all_tasks_blocked()
            began = trio.current_time()
        assert trio.current_time() == began


# --- Dying -------------------------------------------------------------------------------------------------------


async def keep_streaming(shared, ended):
    try:
        async with shared.guarded.open_stream(shared.guarded.input_for(AUDIO), Listen()) as stream:
            await stream.receive()
    except ComponentError as error:
        ended.append(error)


def ways_to_die(adapters):
    return {
        "cut": adapters.cut,
        **{name: lambda component, make=make: adapters.kill(component, make()) for name, make in FAILURES.items()},
    }


@pytest.mark.parametrize("how", ["cut", *FAILURES])
async def test_a_component_that_dies_fails_its_streams_and_is_reopened(autojump_clock, adapters, hold, how):
    ended, unharmed = [], []
    async with open_runtime() as runtime, trio.open_nursery() as nursery:
        shared, other = await hold(runtime, "stt a"), await hold(runtime, "stt b")
        for _ in range(3):
            nursery.start_soon(keep_streaming, shared, ended)
        nursery.start_soon(keep_streaming, other, unharmed)
        await wait_all_tasks_blocked()

        died_at = trio.current_time()
        ways_to_die(adapters)[how]("stt a")
        await wait_all_tasks_blocked()
        assert [(type(error), error.component, error.role) for error in ended] == [(ComponentError, "my_a", "stt")] * 3
        assert adapters.closed == ["stt a"]
        with pytest.raises(ComponentError, match="is down"):
            shared.guarded.input_for(AUDIO)

        await trio.sleep_until(died_at + REOPEN_S[0] * 0.79)
        assert adapters.opened == ["stt a", "stt b"]
        await trio.sleep_until(died_at + REOPEN_S[0] * 1.21)
        assert adapters.opened == ["stt a", "stt b", "stt a"]
        assert shared.error is None
        nursery.start_soon(keep_streaming, shared, ended)
        await wait_all_tasks_blocked()
        assert len(ended) == 3
        assert unharmed == []
        assert await hold(runtime, "stt a") is shared
        nursery.cancel_scope.cancel()
    assert adapters.open == {}


async def reopenings(adapters, name, seconds):
    """When it was tried to reopen it, in seconds from now."""
    began, seen, times = trio.current_time(), len(adapters.attempts), []
    while trio.current_time() < began + seconds:
        await trio.sleep(0.01)
        if len(adapters.attempts) > seen:
            seen = len(adapters.attempts)
            times.append(trio.current_time() - began)
    return times


def pauses(times):
    return [later - earlier for earlier, later in zip([0, *times], times, strict=False)]


async def test_reopening_backs_off_and_never_gives_up(autojump_clock, adapters, hold):
    async with open_runtime() as runtime:
        shared = await hold(runtime, "stt a")
        adapters.opening["stt a"] = raising(OSError("still down"))
        adapters.cut("stt a")
        times = await reopenings(adapters, "stt a", 150)
        expected = [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
        assert len(times) >= 8
        for pause, wanted in zip(pauses(times), expected, strict=False):
            assert wanted * 0.8 <= pause <= wanted * 1.2 + 0.02
        assert "still down" in str(shared.error)

        del adapters.opening["stt a"]
        await trio.sleep(40)
        assert shared.error is None
        assert adapters.open == {"stt a": 1}


async def test_a_component_that_stayed_open_for_long_is_reopened_soon(autojump_clock, adapters, hold):
    async with open_runtime() as runtime:
        await hold(runtime, "stt a")
        for _ in range(6):
            await trio.sleep(3600)
            adapters.cut("stt a")
            (time,) = await reopenings(adapters, "stt a", 10)
            assert time <= 0.62


async def test_a_component_that_dies_as_soon_as_it_opens_is_reopened_ever_later(autojump_clock, adapters, hold):
    async with open_runtime() as runtime:
        await hold(runtime, "stt a")

        for wanted in (0.5, 1, 2, 4):
            adapters.cut("stt a")
            (pause,) = await reopenings(adapters, "stt a", wanted * 1.2 + 0.02)
            assert pause >= wanted * 0.8


async def test_reopening_that_hangs_is_tried_again(autojump_clock, adapters, hold):
    async with open_runtime() as runtime:
        shared = await hold(runtime, "stt a")
        adapters.opening["stt a"] = trio.sleep_forever
        adapters.cut("stt a")
        first, second = await reopenings(adapters, "stt a", 2 * REOPEN_DEADLINE_S)
        assert REOPEN_DEADLINE_S + 0.8 <= second - first <= REOPEN_DEADLINE_S + 1.22
        assert "did not open within 30 s" in str(shared.error)


async def test_opening_the_first_time_takes_as_long_as_who_waits_allows(autojump_clock, adapters, hold):
    adapters.opening["stt a"] = partial(trio.sleep, 10 * REOPEN_DEADLINE_S)
    async with open_runtime() as runtime:
        assert (await hold(runtime, "stt a")).error is None


@pytest.mark.parametrize("reopening", [False, True])
async def test_a_component_that_is_down_is_let_go_at_once(autojump_clock, adapters, hold, reopening):
    async with open_runtime() as runtime:
        shared = await hold(runtime, "stt a")
        adapters.opening["stt a"] = trio.sleep_forever
        adapters.cut("stt a")
        await trio.sleep(1 if reopening else 0.1)
        assert len(adapters.attempts) == 1 + reopening
        await release(runtime, shared)
        began = trio.current_time()
    assert trio.current_time() == began
    assert adapters.open == {}


async def test_one_who_comes_while_it_is_down_does_not_wait(autojump_clock, adapters, hold):
    async with open_runtime() as runtime:
        shared = await hold(runtime, "stt a")
        adapters.opening["stt a"] = trio.sleep_forever
        adapters.cut("stt a")
        await trio.sleep(1)
        with trio.fail_after(0.1):
            assert await hold(runtime, "stt a") is shared


async def test_streams_of_a_component_that_is_closed_under_them_fail(autojump_clock, adapters, hold):
    ended = []
    async with trio.open_nursery() as nursery, open_runtime() as runtime:
        shared = await hold(runtime, "stt a")
        nursery.start_soon(keep_streaming, shared, ended)
        await wait_all_tasks_blocked()
    assert [error.message for error in ended] == ["closed while in use"]
