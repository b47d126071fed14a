"""Secrets' values, taken out of what quotes them."""

from __future__ import annotations

import json
import pickle
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicepipe.config.interpolate import without_literals
from voicepipe.config.secrets import SHORTEST, Secrets

texts = st.text(min_size=SHORTEST).filter(str.strip)


def secrets_of(**written):
    secrets = Secrets()
    for name, value in written.items():
        secrets.add(value, f"${{{name}}}")
    return secrets


def test_what_is_quoted_is_shown_as_it_is_written():
    secrets = secrets_of(KEY="sk-0123", NAME="Acme")
    assert secrets.conceal("401 for sk-0123 of Acme, key=sk-0123") == "401 for ${KEY} of ${NAME}, key=${KEY}"
    assert secrets.conceal("nothing of it") == "nothing of it"
    assert Secrets().conceal("sk-0123") == "sk-0123"


def test_of_one_that_is_part_of_another_nothing_is_left():
    secrets = secrets_of(SHORT="abcd", LONG="abcd-efgh", LONGER="x-abcd-efgh-y")
    assert secrets.conceal("abcd abcd-efgh x-abcd-efgh-y") == "${SHORT} ${LONG} ${LONGER}"


@pytest.mark.parametrize("value", ["", "a", "abc", "    ", "\n\n\n\n"])
def test_what_is_short_or_blank_is_not_looked_for(value):
    assert secrets_of(KEY=value).conceal(f"abc {value} xyz\n\n\n\n    ") == f"abc {value} xyz\n\n\n\n    "


def test_a_value_of_two_names_has_the_first():
    assert secrets_of(ONE="same", TWO="same").conceal("same") == "${ONE}"


@given(texts)
def test_it_is_found_however_it_is_quoted(value):
    secrets = secrets_of(KEY=value)
    for quoted in (value, repr(value)[1:-1], json.dumps(value)[1:-1], quote(value), quote(value, safe="")):
        assert secrets.conceal(f"<{quoted}>") == "<${KEY}>"


@given(st.lists(texts, min_size=1, max_size=5), st.text(max_size=3))
def test_none_is_left_wherever_it_stands(values, between):
    secrets = Secrets()
    for value in values:
        secrets.add(value, "\0")
    concealed = secrets.conceal(between.join(values))
    assert all(value not in concealed for value in values if "\0" not in value and value not in between)


def test_they_survive_pickling_and_do_not_show_themselves():
    secrets = secrets_of(KEY="sk-0123")
    secrets.conceal("sk-0123")
    assert pickle.loads(pickle.dumps(secrets)).conceal("sk-0123") == "${KEY}"
    assert "sk-0123" not in repr(secrets) + str(secrets)
    assert len(secrets) == 1


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("${KEY}", "${KEY}"),
        ("${A}${B}", "${A}${B}"),
        ("Bearer ${TOKEN}", "***${TOKEN}"),
        ("${TOKEN} abc", "${TOKEN}***"),
        ("${KEY:-sk-literal}", "${KEY:-***}"),
        ("${KEY:-}", "${KEY:-}"),
        ("a${file:/run/x:-y}b", "***${file:/run/x:-y}***"),
        ("$$a${KEY}", "***${KEY}"),
        ("abc", "***"),
    ],
)
def test_of_a_secret_that_is_written_in_part_only_references_are_shown(text, left):
    assert without_literals(text) == left
