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


def make_breaker():
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
        what
        if isinstance(what, str)
        else " ".join("." if outcome is None else outcome.message for outcome in what) or "nothing"
    ),
)
def test_what_opens_it(outcomes, state):
    breaker = make_breaker()
    for now, outcome in enumerate(outcomes):
        breaker.succeeded(now) if outcome is None else breaker.failed(outcome, now)
    assert (breaker.state, breaker.lets_through) == (state, state == "closed")
    assert (breaker.error and str(breaker.error)) == (str(outcomes[-1]) if state == "open" else None)


class Something:
    """What a frame of a call knows."""


def test_what_it_keeps_of_an_error_leads_to_no_call():
    """It outlives calls, and an error knows the frames that it passed, with everything in them."""
    breaker = make_breaker()

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
            breaker.failed(error, 0)
            return weakref.ref(known), vars(error)

    known, said = call()
    assert breaker.state == "open"
    assert vars(breaker.error) == said
    assert breaker.error.args == ("429",)
    gc.collect()
    assert known() is None


def test_failures_that_are_long_past_do_not_count():
    breaker = make_breaker()
    for now in (0, WINDOW_S + 1, 2 * WINDOW_S + 2, 2 * WINDOW_S + 3):
        breaker.failed(BRIEF, now)
    assert breaker.state == "closed"
    breaker.failed(BRIEF, 2 * WINDOW_S + 4)
    assert breaker.state == "open"


def test_pauses_double_until_a_call_finds_it_working():
    breaker, pauses = make_breaker(), []
    now = 0.0
    for _ in range(8):
        breaker.open(BRIEF, now)
        pauses.append(breaker.retry_at - now)
        now = breaker.retry_at
        breaker.try_it()
    assert pauses == [1, 2, 4, 8, 16, PAUSE_S[1], PAUSE_S[1], PAUSE_S[1]]
    assert breaker.retries == 7
    breaker.close()
    breaker.succeeded(now)
    breaker.open(BRIEF, now)
    assert breaker.retry_at - now == PAUSE_S[0]
    assert breaker.retries == 0


def test_the_provider_s_own_wish_is_respected_if_it_is_longer():
    breaker = make_breaker()
    breaker.failed(BUSY, 0.0)
    assert breaker.retry_at == 7
    breaker.try_it()
    breaker.open(ComponentError("429", retry_after_s=0.1), 10.0)
    assert breaker.retry_at == 10 + 2


def test_after_a_probe_the_first_call_decides():
    """The probe carries nothing of a caller, so it can't know all."""
    breaker = make_breaker()
    breaker.open(BRIEF, 0.0)
    breaker.try_it()
    assert not breaker.lets_through
    breaker.close()
    assert breaker.lets_through
    breaker.failed(BRIEF, 2.0)
    assert (breaker.state, breaker.retry_at) == ("open", 2 + 2)
    breaker.try_it()
    breaker.close()
    breaker.succeeded(5.0)
    breaker.failed(BRIEF, 6.0)
    assert breaker.state == "closed"


def test_without_a_probe_a_call_is_the_probe():
    breaker = make_breaker()
    breaker.open(BRIEF, 0.0)
    breaker.try_it(on_calls=True)
    assert (breaker.state, breaker.lets_through) == ("half_open", True)
    breaker.failed(BRIEF, 1.0)
    assert (breaker.state, breaker.lets_through, breaker.retries) == ("open", False, 1)
    breaker.try_it(on_calls=True)
    breaker.succeeded(3.0)
    assert (breaker.state, breaker.error) == ("closed", None)


def test_one_call_at_a_time_tries_it():
    breaker = make_breaker()
    breaker.open(BRIEF, 0.0)
    breaker.try_it(on_calls=True)
    assert breaker.begin_trial(1.0) is not None
    assert ([breaker.lets_through] * 5, breaker.begin_trial(1.0)) == ([False] * 5, None)


@pytest.mark.parametrize("probed", [False, True])
def test_a_trial_that_finds_out_nothing_makes_room_for_the_next(probed):
    """The caller hung up, said nothing, or asked what is refused."""
    breaker, told = make_breaker(), []
    breaker.open(BRIEF, 0.0)
    breaker.waiters.add(lambda: told.append(breaker.lets_through))
    breaker.try_it(on_calls=not probed)
    if probed:
        breaker.close()
    trial = breaker.begin_trial(1.0)
    assert not breaker.lets_through
    breaker.failed(FILTERED, 2.0)
    assert (breaker.state, breaker.lets_through) == ("closed" if probed else "half_open", False)
    told.clear()
    breaker.end_trial(trial)
    assert (breaker.lets_through, told) == (True, [True])
    breaker.begin_trial(3.0)
    breaker.end_trial(trial)  # once more, late: that is not its trial any more
    assert not breaker.lets_through
    breaker.failed(BRIEF, 4.0)
    assert breaker.state == "open"


def test_a_trial_takes_so_long_and_no_longer():
    breaker = make_breaker()
    breaker.open(BRIEF, 0.0)
    breaker.try_it(on_calls=True)
    breaker.begin_trial(1.0)
    breaker.limit_trial(1.0 + TRIAL_S - 0.1)
    assert not breaker.lets_through
    breaker.limit_trial(1.0 + TRIAL_S)
    assert breaker.lets_through


CONDITIONS = {
    "closed": (),
    "open": ("open",),
    "a probe tries it": ("open", "probe"),
    "a call tries it": ("open", "trial"),
    "a call is to confirm it": ("open", "probe", "found working"),
}
AFTER = {  # the state, and whether it is on trial, after a success, a failure, and a failure of the request's
    "closed": (("closed", False), ("closed", False), ("closed", False)),
    "open": (("open", False), ("open", False), ("open", False)),
    "a probe tries it": (("half_open", False), ("half_open", False), ("half_open", False)),
    "a call tries it": (("closed", False), ("open", False), ("half_open", True)),
    "a call is to confirm it": (("closed", False), ("open", False), ("closed", True)),
}


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize(
    ("number", "outcome"), list(enumerate([None, BRIEF, FILTERED])), ids=["success", "failure", "other"]
)
def test_each_condition_takes_each_outcome_as_the_table_says(condition, number, outcome):
    breaker = make_breaker()
    steps = {
        "open": lambda: breaker.open(BRIEF, 0.0),
        "probe": breaker.try_it,
        "trial": lambda: breaker.try_it(on_calls=True),
        "found working": breaker.close,
    }
    for step in CONDITIONS[condition]:
        steps[step]()
    retry_at = breaker.retry_at
    breaker.succeeded(1.0) if outcome is None else breaker.failed(outcome, 1.0)
    assert (breaker.state, breaker.is_on_trial) == AFTER[condition][number]
    opened_again = outcome is BRIEF and condition in {"a call tries it", "a call is to confirm it"}
    assert breaker.retry_at == (1.0 + 2 * PAUSE_S[0] if opened_again else retry_at)


@pytest.mark.parametrize("wish", [0.0, -1.0, float("nan"), None])
def test_a_wish_for_no_pause_is_none(wish):
    breaker = make_breaker()
    breaker.open(ComponentError("429", retry_after_s=wish), 10.0)
    assert breaker.retry_at == 10 + PAUSE_S[0]


@pytest.mark.parametrize("wish", [1e9, float("inf")])
def test_no_provider_is_left_alone_for_a_day(wish):
    breaker = make_breaker()
    breaker.failed(ComponentError("429", retry_after_s=wish), 0.0)
    assert breaker.retry_at == LONGEST_WISH_S


def test_jitter_spreads_the_pauses():
    pauses = set()
    for _ in range(50):
        breaker = Breaker()
        breaker.open(BRIEF, 0.0)
        pauses.add(breaker.retry_at)
    assert len(pauses) > 10
    assert all(0.8 <= pause <= 1.2 for pause in pauses)


def test_whoever_watches_is_told_of_changes_only():
    breaker, seen = make_breaker(), []
    watch = lambda: seen.append(breaker.state)  # noqa: E731 - it must be the same object twice
    breaker.watchers.add(watch)
    for act in (
        lambda: breaker.failed(BRIEF, 0),
        lambda: breaker.open(BRIEF, 0),
        lambda: breaker.open(BRIEF, 0),
        breaker.try_it,
        breaker.close,
        lambda: breaker.succeeded(1),
    ):
        act()
    breaker.watchers.discard(watch)
    breaker.open(BRIEF, 2)
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
    breaker, now, changes = make_breaker(), 0.0, []
    breaker.watchers.add(lambda: changes.append(breaker.state))
    errors = {"brief": BRIEF, "lasting": LASTING, "busy": BUSY, "filtered": FILTERED}
    attempts, trial = 0, None
    for what, pause in steps:
        now += pause
        if what == "success":
            breaker.succeeded(now)
        elif what in errors:
            breaker.failed(errors[what], now)
        elif what == "begin":
            free, begun = breaker.lets_through, breaker.begin_trial(now)
            assert begun is None or (free and not breaker.lets_through)
            trial = begun or trial
        elif what == "end" and trial is not None:
            breaker.end_trial(trial)
        elif breaker.state == "open" and what in {"probe", "trial"}:
            breaker.try_it(on_calls=what == "trial")
        elif breaker.state == "half_open" and what == "found working":
            breaker.close()
        attempts += what in {"success", *errors}
        assert (breaker.error is None) == (breaker.state == "closed")
        if breaker.state == "open":
            assert not breaker.lets_through
            assert breaker.retry_at <= now + max(PAUSE_S[1], BUSY.retry_after_s)
        if breaker.state == "closed" and not breaker.is_on_trial:
            assert breaker.lets_through
    assert breaker.successes + breaker.failures + breaker.excused == attempts
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
    assert sorted(name for name in told if name != "broken") == list(range(16))
    assert told.count("broken") == 2
    assert caplog.text.count("ValueError: a bug") == 2
