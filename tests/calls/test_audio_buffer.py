"""The buffer against the simplest thing that does the same: a list that is cut at the front."""

from hypothesis import given, settings
from hypothesis import strategies as st

from voicepipe.calls.listening.audio_buffer import AudioBuffer

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
    buffer, model, dropped, written = AudioBuffer(CAPACITY), b"", 0, 0
    for step, value in steps:
        if step == "append":
            buffer.append(value)
            model += value
            written += len(value)
            if (over := len(model) - CAPACITY) > 0:
                model, dropped = model[over:], dropped + over
        else:
            assert buffer.take(value) == model[:value]
            model = model[value:]
        assert len(buffer) == len(model)
        assert (buffer.written, buffer.dropped) == (written, dropped)
        assert buffer.read == written - len(model)
    assert buffer.take(CAPACITY) == model


def test_what_was_taken_stays_as_it_was():
    buffer = AudioBuffer(4)
    buffer.append(memoryview(b"abcd"))
    taken = buffer.take(4)
    buffer.append(b"wxyz")
    assert taken == b"abcd"
