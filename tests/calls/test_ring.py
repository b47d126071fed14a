"""The ring against the simplest thing that does the same: a list that is cut at the front."""

from hypothesis import given, settings
from hypothesis import strategies as st

from voicepipe.calls.ring import Ring

CAPACITY = 16
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.binary(max_size=CAPACITY)),
        st.tuples(st.just("take"), st.integers(0, CAPACITY + 3)),
    ),
    max_size=60,
)


@settings(deadline=None)
@given(STEPS)
def test_it_keeps_the_latest_and_counts_the_rest(steps):
    ring, model, dropped, written = Ring(CAPACITY), b"", 0, 0
    for step, value in steps:
        if step == "append":
            ring.append(value)
            model += value
            written += len(value)
            if (over := len(model) - CAPACITY) > 0:
                model, dropped = model[over:], dropped + over
        else:
            assert ring.take(value) == model[:value]
            model = model[value:]
        assert len(ring) == len(model)
        assert (ring.written, ring.dropped) == (written, dropped)
        assert ring.read == written - len(model)
    assert ring.take(CAPACITY) == model


def test_what_was_taken_stays_as_it_was():
    ring = Ring(4)
    ring.append(memoryview(b"abcd"))
    taken = ring.take(4)
    ring.append(b"wxyz")
    assert taken == b"abcd"
