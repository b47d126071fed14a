"""What messages quote: concealed first, then folded, then cut."""

from __future__ import annotations

import pytest

from voicepipe.components.boundary import ComponentRef, as_component_error
from voicepipe.components.quoting import MOST_LOOKED_AT, MOST_OF_MESSAGE, MOST_QUOTED, quoted
from voicepipe.components.secrets import Secrets
from voicepipe.errors import ComponentError

KEY = "canary-0123456789-abcdefghij"


@pytest.fixture
def conceal():
    secrets = Secrets()
    secrets.add(KEY, "${KEY}", key=True)
    secrets.add("two\n words", "${TEXT}")
    return secrets.conceal


@pytest.mark.parametrize("before", [0, 150, *range(MOST_QUOTED - len(KEY) - 2, MOST_QUOTED + 2), MOST_LOOKED_AT - 9])
@pytest.mark.parametrize("pad", ["x", " ", "\n"])
def test_no_cut_leaves_the_beginning_of_a_key(conceal, before, pad):
    said = quoted(pad * before + " " + KEY + " " + "y" * MOST_LOOKED_AT, conceal)
    assert len(said) <= MOST_QUOTED
    assert KEY[:7] not in said


def test_white_space_is_folded_after_concealing(conceal):
    assert quoted("a  two\n words\tb\n", conceal) == "a ${TEXT} b"


def test_the_boundary_does_it_for_every_text_of_an_error(conceal):
    raw = f"{'x' * (MOST_OF_MESSAGE - 10)} {KEY}\n tail"
    error = as_component_error(ComponentError(raw, answered=raw, hint=raw), ComponentRef("llm", "model", conceal))
    assert isinstance(error, ComponentError)
    for text, most in (
        (error.message, MOST_OF_MESSAGE),
        (error.answered, MOST_QUOTED),
        (error.hint, MOST_OF_MESSAGE),
    ):
        assert len(text) == most
        assert text.endswith("…")
        assert "canary" not in text
