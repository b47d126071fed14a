"""The circuit breaker by itself: what opens it, for how long, and what closes it."""

from __future__ import annotations

import gc
import weakref
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicepipe.components.breaker import LONGEST_WISH_S, PAUSE_S, TRIAL_S, WINDOW_S, Breaker
from voicepipe.errors import ComponentError

BRIEF = ComponentError("500")
LASTING = ComponentError("401", retryable=False)
BUSY = ComponentError("429", retry_after_s=7)
NOT_YET = ComponentError("429, 0 s", retry_after_s=0.0)
TOO_LONG = ComponentError("too long", retryable=False, too_long=True)
FILTERED = ComponentError("filtered", retryable=False, fault="request", retry_after_s=30)
LOCAL = ComponentError("no descriptors", fault="local")


def breaker():
    return Breaker(jitter=lambda: 1.0)


@pytest.mark.parametrize(
    ("outcomes", "state"),
    [
        ([], "closed"),
        ([BRIEF], "closed"),
        ([BRIEF, BRIEF], "closed"),
        ([BRIEF, BRIEF, BRIEF], "open"),
        ([LASTING], "closed"),
        ([LASTING, BRIEF], "open"),
        ([LASTING, LASTING], "open"),
        ([BUSY], "open"),
        ([BRIEF, None, BRIEF, None, None, BRIEF, BRIEF], "open"),
        ([BRIEF, None, None, None, BRIEF, None, BRIEF], "closed"),
        ([None] * 50 + [BRIEF, BRIEF, BRIEF], "open"),
        ([NOT_YET, NOT_YET], "closed"),
        ([NOT_YET, NOT_YET, NOT_YET], "open"),
        ([TOO_LONG] * 9, "closed"),
        ([FILTERED] * 9, "closed"),
        ([LOCAL] * 9, "closed"),
        ([BRIEF, TOO_LONG, BRIEF, FILTERED, LOCAL], "closed"),
        ([BRIEF, TOO_LONG, BRIEF, FILTERED, LOCAL, BRIEF], "open"),
    ],
    ids=lambda what: (
        what if isinstance(what, str) else " ".join("." if one is None else one.message for one in what) or "nothing"
    ),
)
def test_what_opens_it(outcomes, state):
    one = breaker()
    for now, outcome in enumerate(outcomes):
        one.succeeded(now) if outcome is None else one.failed(outcome, now)
    assert (one.state, one.lets_through) == (state, state == "closed")
    assert (one.error and str(one.error)) == (str(outcomes[-1]) if state == "open" else None)


class Something:
    """What a frame of a call knows."""


def test_what_it_keeps_of_an_error_leads_to_no_call():
    """It outlives calls, and an error knows the frames that it passed, with everything in them."""
    one = breaker()

    def fail(known):
        raise ComponentError(
            "429",
            component="x",
            role="llm",
            retryable=False,
            answered="no",
            hint="wait",
            retry_after_s=3.0,
            fault="component",
        )

    def call():
        known = Something()
        try:
            fail(known)
        except ComponentError as error:
            one.failed(error, 0)
            return weakref.ref(known), vars(error)

    known, said = call()
    assert one.state == "open"
    assert vars(one.error) == said
    assert one.error.args == ("429",)
    gc.collect()
    assert known() is None


def test_failures_that_are_long_past_do_not_count():
    one = breaker()
    for now in (0, WINDOW_S + 1, 2 * WINDOW_S + 2, 2 * WINDOW_S + 3):
        one.failed(BRIEF, now)
    assert one.state == "closed"
    one.failed(BRIEF, 2 * WINDOW_S + 4)
    assert one.state == "open"


def test_pauses_double_until_a_call_finds_it_working():
    one, pauses = breaker(), []
    now = 0.0
    for _ in range(8):
        one.open(BRIEF, now)
        pauses.append(one.retry_at - now)
        now = one.retry_at
        one.try_it()
    assert pauses == [1, 2, 4, 8, 16, PAUSE_S[1], PAUSE_S[1], PAUSE_S[1]]
    assert one.retries == 7
    one.close()
    one.succeeded(now)
    one.open(BRIEF, now)
    assert one.retry_at - now == PAUSE_S[0]
    assert one.retries == 0


def test_the_provider_s_own_wish_is_respected_if_it_is_longer():
    one = breaker()
    one.failed(BUSY, 0.0)
    assert one.retry_at == 7
    one.try_it()
    one.open(ComponentError("429", retry_after_s=0.1), 10.0)
    assert one.retry_at == 10 + 2


def test_after_a_probe_the_first_call_decides():
    """The probe carries nothing of a caller, so it can't know all."""
    one = breaker()
    one.open(BRIEF, 0.0)
    one.try_it()
    assert not one.lets_through
    one.close()
    assert one.lets_through
    one.failed(BRIEF, 2.0)
    assert (one.state, one.retry_at) == ("open", 2 + 2)
    one.try_it()
    one.close()
    one.succeeded(5.0)
    one.failed(BRIEF, 6.0)
    assert one.state == "closed"


def test_without_a_probe_a_call_is_the_probe():
    one = breaker()
    one.open(BRIEF, 0.0)
    one.try_it(on_calls=True)
    assert (one.state, one.lets_through) == ("half_open", True)
    one.failed(BRIEF, 1.0)
    assert (one.state, one.lets_through, one.retries) == ("open", False, 1)
    one.try_it(on_calls=True)
    one.succeeded(3.0)
    assert (one.state, one.error) == ("closed", None)


def test_one_call_at_a_time_tries_it():
    one = breaker()
    one.open(BRIEF, 0.0)
    one.try_it(on_calls=True)
    assert one.begin_trial(1.0) is not None
    assert ([one.lets_through] * 5, one.begin_trial(1.0)) == ([False] * 5, None)


@pytest.mark.parametrize("probed", [False, True])
def test_a_trial_that_finds_out_nothing_makes_room_for_the_next(probed):
    """The caller hung up, said nothing, or asked what is refused."""
    one, told = breaker(), []
    one.open(BRIEF, 0.0)
    one.waiters.add(lambda: told.append(one.lets_through))
    one.try_it(on_calls=not probed)
    if probed:
        one.close()
    trial = one.begin_trial(1.0)
    assert not one.lets_through
    one.failed(FILTERED, 2.0)
    assert (one.state, one.lets_through) == ("closed" if probed else "half_open", False)
    told.clear()
    one.end_trial(trial)
    assert (one.lets_through, told) == (True, [True])
    one.begin_trial(3.0)
    one.end_trial(trial)  # once more, late: that is not its trial any more
    assert not one.lets_through
    one.failed(BRIEF, 4.0)
    assert one.state == "open"


def test_a_trial_takes_so_long_and_no_longer():
    one = breaker()
    one.open(BRIEF, 0.0)
    one.try_it(on_calls=True)
    one.begin_trial(1.0)
    one.limit_trial(1.0 + TRIAL_S - 0.1)
    assert not one.lets_through
    one.limit_trial(1.0 + TRIAL_S)
    assert one.lets_through


@pytest.mark.parametrize("wish", [0.0, -1.0, float("nan"), None])
def test_a_wish_for_no_pause_is_none(wish):
    one = breaker()
    one.open(ComponentError("429", retry_after_s=wish), 10.0)
    assert one.retry_at == 10 + PAUSE_S[0]


@pytest.mark.parametrize("wish", [1e9, float("inf")])
def test_no_provider_is_left_alone_for_a_day(wish):
    one = breaker()
    one.failed(ComponentError("429", retry_after_s=wish), 0.0)
    assert one.retry_at == LONGEST_WISH_S


def test_jitter_spreads_the_pauses():
    pauses = set()
    for _ in range(50):
        one = Breaker()
        one.open(BRIEF, 0.0)
        pauses.add(one.retry_at)
    assert len(pauses) > 10
    assert all(0.8 <= pause <= 1.2 for pause in pauses)


def test_whoever_watches_is_told_of_changes_only():
    one, seen = breaker(), []
    watch = lambda: seen.append(one.state)  # noqa: E731 - it must be the same object twice
    one.watchers.add(watch)
    for act in (
        lambda: one.failed(BRIEF, 0),
        lambda: one.open(BRIEF, 0),
        lambda: one.open(BRIEF, 0),
        one.try_it,
        one.close,
        lambda: one.succeeded(1),
    ):
        act()
    one.watchers.discard(watch)
    one.open(BRIEF, 2)
    assert seen == ["open", "half_open", "closed"]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["success", "brief", "lasting", "busy", "filtered", "probe", "trial", "begin", "end", "found working"]
        ),
        st.floats(0, 30, allow_nan=False),
    ),
    max_size=60,
)


@given(STEPS)
def test_whatever_happens_it_says_so_consistently(steps):
    one, now, changes = breaker(), 0.0, []
    one.watchers.add(lambda: changes.append(one.state))
    errors = {"brief": BRIEF, "lasting": LASTING, "busy": BUSY, "filtered": FILTERED}
    attempts, trial = 0, None
    for what, pause in steps:
        now += pause
        if what == "success":
            one.succeeded(now)
        elif what in errors:
            one.failed(errors[what], now)
        elif what == "begin":
            free, begun = one.lets_through, one.begin_trial(now)
            assert begun is None or (free and not one.lets_through)
            trial = begun or trial
        elif what == "end" and trial is not None:
            one.end_trial(trial)
        elif one.state == "open" and what in {"probe", "trial"}:
            one.try_it(on_calls=what == "trial")
        elif one.state == "half_open" and what == "found working":
            one.close()
        attempts += what in {"success", *errors}
        assert (one.error is None) == (one.state == "closed")
        if one.state == "open":
            assert not one.lets_through
            assert one.retry_at <= now + max(PAUSE_S[1], BUSY.retry_after_s)
        if one.state == "closed" and not one.is_on_trial:
            assert one.lets_through
    assert one.successes + one.failures + one.excused == attempts
    assert all(a != b for a, b in zip(["closed", *changes], changes, strict=False))


def test_what_one_listener_raises_keeps_none_of_the_others(caplog):
    breaker, told = Breaker(), []

    def broken():
        told.append("broken")
        raise ValueError("a bug")

    breaker.watchers |= {broken, *(partial(told.append, number) for number in range(8))}
    breaker.waiters |= {broken, *(partial(told.append, number) for number in range(8, 16))}
    breaker.open(ComponentError("away"), 0.0)
    assert breaker.state == "open"
    assert sorted(one for one in told if one != "broken") == list(range(16))
    assert told.count("broken") == 2
    assert caplog.text.count("ValueError: a bug") == 2
