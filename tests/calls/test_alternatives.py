"""Which component a call uses, and which one when that fails."""

from __future__ import annotations

import pytest
import trio

from voicepipe.calls.failover import BudgetExceeded, FailoverList
from voicepipe.components.labels import ComponentLabel
from voicepipe.config.settings import ComponentSettings
from voicepipe.errors import ComponentError, Location
from voicepipe.pipelines.snapshot import OpenedComponent

BRIEF = ComponentError("500")
LASTING = ComponentError("401", retryable=False)
BUSY = ComponentError("429", retry_after_s=5)
NOT_YET = ComponentError("429, 0 s", retry_after_s=0.0)
TOO_LONG = ComponentError("too long", too_long=True)
FILTERED = ComponentError("filtered", fault="request")
LOCAL = ComponentError("no descriptors", fault="local")
SLOW = BudgetExceeded("said nothing within 4000 ms")


def opened(name):
    settings = ComponentSettings(
        role="llm", adapter="a", options=None, name=name, where=Location("a.yaml"), path="", key=name
    )
    return OpenedComponent(ComponentLabel(name, "a", None), settings)


class Role:
    """A role's alternatives, and what was told."""

    def __init__(self, *names, retries=1):
        self.opened = tuple(map(opened, names))
        self.told = []
        self.alternatives = FailoverList(
            "llm",
            self.opened,
            retries,
            lambda role, error: self.told.append((role, error.message)),
            lambda role, rung, component: self.told.append((role, rung, component)),
        )

    def leave_alone(self, *names, error=BRIEF, retry_at=1e9):
        for one in self.opened:
            if one.settings.name in names:
                one.breaker.open(error, trio.current_time(), retry_at=retry_at)

    def breaker(self, name):
        return next(one.breaker for one in self.opened if one.settings.name == name)

    async def begin(self, patience_ms=3000):
        return await self.alternatives.begin(patience_ms)


def name_of(attempts):
    return attempts.current.settings.name


async def path(role, *errors):
    """Which components are used one after another, as each of these errors ends the use of one."""
    attempts = await role.begin()
    used = [name_of(attempts)]
    for error in errors:
        try:
            await attempts.failed(error)
        except ComponentError as last:
            return [*used, last]
        used.append(name_of(attempts))
    return used


@pytest.mark.parametrize(
    ("retries", "errors", "used"),
    [
        (1, [BRIEF], ["a", "a"]),
        (1, [BRIEF, BRIEF], ["a", "a", "b"]),
        (1, [BRIEF, BRIEF, BRIEF, BRIEF], ["a", "a", "b", "b", BRIEF]),
        (2, [BRIEF, BRIEF, BRIEF], ["a", "a", "a", "b"]),
        (0, [BRIEF], ["a", "b"]),
        (1, [LASTING], ["a", "b"]),
        (1, [BUSY], ["a", "b"]),
        (1, [NOT_YET], ["a", "a"]),
        (1, [LOCAL], ["a", "a"]),
        (3, [TOO_LONG, FILTERED], ["a", "b", FILTERED]),
        (1, [SLOW], ["a", "b"]),
        (1, [SLOW, SLOW], ["a", "b", SLOW]),
        (1, [LASTING, BUSY], ["a", "b", BUSY]),
        (9, [BRIEF, BRIEF, BRIEF], ["a", "a", "a", "b"]),  # by then calls leave it alone
    ],
)
async def test_what_is_tried_after_a_failure(autojump_clock, retries, errors, used):
    assert await path(Role("a", "b", retries=retries), *errors) == used


async def test_each_step_is_told(autojump_clock):
    role = Role("a", "b")
    await path(role, BRIEF, SLOW, LASTING)
    assert role.told == [
        ("llm", "500"),
        ("llm", "retry", "a"),
        ("llm", SLOW.message),
        ("llm", "alternate", "b"),
        ("llm", "401"),
    ]


async def test_what_calls_leave_alone_is_passed_over_without_a_word(autojump_clock):
    role = Role("a", "b", "c")
    role.leave_alone("a", "b")
    assert await path(role) == ["c"]
    assert role.told == []
    assert trio.current_time() == pytest.approx(trio.current_time())


async def test_another_s_failure_is_not_forgotten_by_the_next_piece_of_work(autojump_clock):
    role = Role("a", "b")
    assert await path(role, LASTING) == ["a", "b"]
    assert await path(role, LASTING) == ["a", "b"]
    assert role.breaker("a").state == "open"
    assert await path(role) == ["b"]


async def test_it_goes_back_to_the_one_that_is_preferred_when_that_works(autojump_clock):
    role = Role("a", "b")
    role.leave_alone("a")
    attempts = await role.begin()
    assert not attempts.has_better
    attempts.prefer()
    assert name_of(attempts) == "b"
    role.breaker("a").try_it()
    role.breaker("a").close()
    assert attempts.has_better
    attempts.prefer()
    assert name_of(attempts) == "a"
    assert not attempts.has_better


async def test_preferring_while_all_are_left_alone_changes_nothing(autojump_clock):
    role = Role("a", "b")
    role.leave_alone("a")
    attempts = await role.begin()
    role.leave_alone("b")
    attempts.prefer()
    assert name_of(attempts) == "b"


async def test_with_everything_left_alone_nobody_waits_for_what_comes_too_late(autojump_clock):
    role, began = Role("a", "b"), trio.current_time()
    role.leave_alone("a", "b", retry_at=began + 60)
    with pytest.raises(ComponentError, match=r"is open after repeated failures; last error: 500") as caught:
        await role.begin(3000)
    assert caught.value.role == "llm"
    assert trio.current_time() - began < 0.5
    assert role.told == [("llm", "circuit breaker is open after repeated failures; last error: 500")]


@pytest.mark.parametrize("back_s", [0.5, 2.0])
async def test_what_is_back_in_a_moment_is_waited_for(autojump_clock, nursery, back_s):
    role, began = Role("a"), trio.current_time()
    role.leave_alone("a", retry_at=began + back_s)

    async def come_back():
        await trio.sleep(back_s)
        role.breaker("a").close()

    nursery.start_soon(come_back)
    attempts = await role.begin(3000)
    assert trio.current_time() - began == pytest.approx(back_s)
    assert name_of(attempts) == "a"
    assert role.told[-1] == ("llm", "retry", "a")


async def test_a_component_that_dies_under_its_only_user_is_waited_for(autojump_clock, nursery):
    """Its streams know before its breaker does, which opens a little later."""
    role, began = Role("a"), trio.current_time()
    attempts = await role.begin(3000)

    async def die_and_come_back():
        await trio.sleep(0.05)
        role.leave_alone("a", retry_at=began + 0.6)
        await trio.sleep(0.6)
        role.breaker("a").close()

    nursery.start_soon(die_and_come_back)
    await attempts.failed(BRIEF)
    await attempts.failed(BRIEF)
    assert name_of(attempts) == "a"
    assert trio.current_time() - began == pytest.approx(0.65)


async def test_waiting_ends_with_the_patience_however_often_it_is_tried(autojump_clock, nursery):
    role, began = Role("a"), trio.current_time()
    role.leave_alone("a", retry_at=began + 1)

    async def be_tried_in_vain():
        for _ in range(10):
            await trio.sleep(1)
            role.breaker("a").try_it()
            role.leave_alone("a", retry_at=trio.current_time() + 1)

    nursery.start_soon(be_tried_in_vain)
    with pytest.raises(ComponentError):
        await role.begin(3000)
    assert trio.current_time() - began <= 3
    nursery.cancel_scope.cancel()
    assert len(role.breaker("a").watchers) == 0


async def test_one_that_was_too_slow_is_tried_again_only_if_it_must(autojump_clock):
    alone, listed = Role("a"), Role("a", "b")
    for role, used in ((alone, "a"), (listed, "b")):
        attempts = await role.begin()
        await attempts.failed(SLOW, retry_slow=True)
        assert name_of(attempts) == used


async def test_what_refused_a_conversation_is_asked_again_only_if_nothing_else_is_left(autojump_clock):
    role = Role("a", "b", "c")
    with await role.begin() as attempts:
        await attempts.failed(FILTERED)
        assert name_of(attempts) == "b"
        attempts.succeeded()
    assert [one.breaker.excused for one in role.opened] == [1, 0, 0]
    assert await path(role, LASTING, LASTING, LASTING) == ["b", "c", "a", LASTING]
    with await role.begin() as attempts:
        assert name_of(attempts) == "b"
        assert not attempts.has_better
    role.leave_alone("b", "c")
    with await role.begin() as attempts:
        attempts.succeeded()  # it takes it after all
    role.breaker("b").close()
    with await role.begin() as attempts:
        assert name_of(attempts) == "a"


async def test_of_several_calls_one_tries_what_has_no_probe(autojump_clock):
    calls = [Role("a", "b") for _ in range(5)]
    for one in calls[1:]:
        one.opened = calls[0].opened
        one.alternatives._opened = calls[0].opened
    role = calls[0]
    role.leave_alone("a")
    role.breaker("a").try_it(on_calls=True)
    begun = [await one.begin() for one in calls]
    assert [name_of(attempts) for attempts in begun] == ["a", "b", "b", "b", "b"]
    with begun[0]:
        pass  # the caller has hung up: nothing is known
    again = [await one.begin() for one in calls]
    assert [name_of(attempts) for attempts in again] == ["a", "b", "b", "b", "b"]
    again[0].succeeded()
    assert [name_of(await one.begin()) for one in calls] == ["a"] * 5


async def test_what_a_probe_found_working_is_used_if_nothing_else_is_left(autojump_clock):
    """One call is to find out, but others need not do without."""
    role = Role("a")
    role.breaker("a").open(BRIEF, trio.current_time())
    role.breaker("a").close()
    assert [name_of(await role.begin()) for _ in range(3)] == ["a"] * 3


async def test_a_call_with_nothing_else_waits_for_the_one_that_tries_it(autojump_clock):
    role = Role("a")
    role.leave_alone("a", retry_at=trio.current_time())
    role.breaker("a").try_it(on_calls=True)
    trying, began, got = await role.begin(), trio.current_time(), []

    async def wait():
        got.append(await role.begin())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.sleep(1)
        assert not got
        trying.succeeded()
    assert (name_of(got[0]), trio.current_time() - began) == ("a", 1)
