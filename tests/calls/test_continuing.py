"""Going on with a reply that another model began: what comes again is left out, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicepipe.calls.replies.continuing import Continuation

SAID = "We open at nine. On Sundays we are"

CORPUS = [
    # The next model goes on, as it is asked to.
    (SAID, "closed all day.", "closed all day."),
    (SAID, " closed all day.", " closed all day."),
    (SAID, "Closed, I'm afraid.", "Closed, I'm afraid."),
    # It begins again, word by word.
    (SAID, "We open at nine. On Sundays we are closed all day.", "closed all day."),
    # With other marks, spaces and case.
    (SAID, "we open at nine; on sundays, we are closed.", "closed."),
    (SAID, "  WE OPEN AT NINE!\n\nOn  Sundays we are… closed.", "closed."),
    (SAID, '"We open at nine. On Sundays we are" closed.', "closed."),
    ("Well, that's fine.", "Well that's fine! And now?", "And now?"),
    ("It costs €5.", "It costs 5. Anything else?", "Anything else?"),
    # It says just that again and nothing more, or stops in its middle.
    (SAID, SAID, ""),
    (SAID, SAID + ".", ""),
    (SAID, "We open at nine.", ""),
    (SAID, "", ""),
    # What was said broke off within a word.
    ("We open at ni", "We open at nine.", "ne."),
    # Another text altogether, however it begins.
    (SAID, "We open late.", "We open late."),
    (SAID, "I am sorry, we open at nine.", "I am sorry, we open at nine."),
    (SAID, "W", ""),
    (SAID, "X", "X"),
    # Other scripts, and letters that fold to two.
    ("我们九点开门。", "我们九点开门。周日休息。", "周日休息。"),
    ("我们九点开门。", "周日休息。", "周日休息。"),
    ("営業時間は九時から", "営業時間は九時からです。", "です。"),
    ("Die Straße ist", "Die STRASSE ist gesperrt.", "gesperrt."),
    ("ώρα είναι", "ΏΡΑ είναι δέκα.", "δέκα."),
    # Nothing was said.
    ("", "We open at nine.", "We open at nine."),
    ("...", "We open at nine.", "We open at nine."),
]


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize(("said", "text", "new"), CORPUS)
def test_only_what_is_new_comes_through(said, text, new, size):
    continuation = Continuation(said)
    pieces = [continuation.feed(text[at : at + size]) for at in range(0, len(text), size)]
    assert "".join([*pieces, continuation.finish()]) == new


def test_what_is_new_comes_as_soon_as_that_is_known():
    continuation = Continuation("Good morning.")
    assert continuation.feed("Good mo") == ""
    assert continuation.feed("rning. ") == ""
    assert continuation.feed("How") == "How"
    assert continuation.feed(" are you?") == " are you?"
    assert continuation.finish() == ""


def test_what_turns_out_to_be_another_text_is_said_whole():
    continuation = Continuation("Good morning.")
    assert continuation.feed("Good mo") == ""
    assert continuation.feed("od today?") == "Good mood today?"


TEXTS = st.text("ab cé.,!ß ", max_size=30)


@given(TEXTS, TEXTS, st.integers(1, 9))
def test_repeating_and_going_on_gives_just_what_goes_on(said, more, size):
    """Letters and figures that were said come never again, those that were not are never lost."""
    text = said + " " + more
    continuation = Continuation(said)
    pieces = [continuation.feed(text[at : at + size]) for at in range(0, len(text), size)]
    out = "".join([*pieces, continuation.finish()])
    assert [c for c in out if c.isalnum()] == [c for c in more if c.isalnum()]
