"""Calls are found in the database of records by all that a filter may name, page by page."""

from __future__ import annotations

import random
from datetime import datetime

import pytest
from sqlalchemy import delete, insert, select, text, update

from reference_engine.records import tables
from reference_engine.records.completing import complete_calls
from reference_engine.records.history import CallFilter
from reference_engine.records.page_places import read_page_place
from reference_engine.records.queries import find_call, find_calls
from reference_engine.records.words import asked_words, has_words, words_in
from tests.engine.recorded_calls import BEGAN, add_call, add_run, minutes

WORDS = ("refund", "order", "Müller", "l'été", "naïve", "invoice 42", "refunds", "你好吗", "ORDER BY", 'say "no"')


@pytest.fixture
def connection(records_connection):
    add_run(records_connection)
    return records_connection


def ids(page):
    return [call.call_id for call in page.calls]


def pages(connection, asked, limit):
    """The IDs of the calls of all pages."""
    found, after = [], None
    while True:
        page = find_calls(connection, asked, after, limit)
        assert len(page.calls) <= limit
        found += ids(page)
        if page.next is None:
            return found
        after = page.next


def add_many(connection, number=120):
    """Calls of all kinds, some at the same moment; returns what was added, the latest first."""
    choice = random.Random(16)
    added = []
    for _ in range(number):
        state = choice.choices(("ended", "up", "lost"), (8, 1, 1))[0]
        turns = [(choice.choice(WORDS), choice.choice(WORDS)) for _ in range(choice.randint(0, 2))]
        values = {
            "state": state,
            "began": BEGAN + minutes(choice.randint(0, 100)),
            "set": choice.choice(("main", "acme")),
            "pipeline": choice.choice(("default", "sales")),
            "version": choice.randint(1, 3),
            "outcome": choice.choice(("caller_hung_up", "failed", "transferred")),
            "caller": choice.choice(("+4930123", "+4930124", "+1555", "", "50%", "5_0")),
            "called": choice.choice(("+1800", "+1900")),
        }
        added.append({**values, "call_id": add_call(connection, turns=turns, complete=False, **values), "words": turns})
    complete_calls(connection, [call["call_id"] for call in added])
    return sorted(added, key=lambda call: (call["began"], call["call_id"]), reverse=True)


def matches(call, asked):
    """What a filter means, in Python."""
    number_fits = all(
        wanted is None or (call[name].startswith(wanted.rstrip("*")) if wanted.endswith("*") else call[name] == wanted)
        for name, wanted in (("caller", asked.caller), ("called", asked.called))
    )
    failed = call["state"] == "lost" or (call["state"] == "ended" and call["outcome"] == "failed")
    outcome = call["outcome"] if call["state"] == "ended" else None
    said = [text for turn in call["words"] for text in turn] if call["state"] != "up" else []
    return (
        number_fits
        and (asked.since is None or call["began"] >= asked.since)
        and (asked.until is None or call["began"] < asked.until)
        and (asked.failed is None or failed == asked.failed)
        and (asked.outcome is None or outcome == asked.outcome)
        and all(getattr(asked, name) in {None, call[name]} for name in ("set", "pipeline", "version", "state"))
        and (
            asked.text is None or (bool(asked_words(asked.text)) and has_words(asked_words(asked.text), words_in(said)))
        )
    )


FILTERS = [
    {},
    {"since": BEGAN + minutes(30)},
    {"until": BEGAN + minutes(30)},
    {"since": BEGAN + minutes(30), "until": BEGAN + minutes(31)},
    {"set": "acme"},
    {"pipeline": "sales"},
    {"version": 2},
    *({"state": state} for state in ("up", "ended", "lost")),
    {"outcome": "transferred"},
    {"failed": True},
    {"failed": False},
    *({"caller": number} for number in ("+4930123", "+4930*", "*", "", "5*", "50%", "50%*", "5_*", "nobody", "**")),
    {"called": "+1800"},
    {"called": "+19*"},
    *({"text": words} for words in ("refund", "REFUND order", "refund*", "muller", "Müller", "ete", "42", "好", "")),
    *({"text": words} for words in ('"', "say AND no", "refund OR order", "NEAR(refund)", "NOT", "a:b", "*", "'; --")),
    {"text": "refund", "caller": "+4930*", "since": BEGAN + minutes(10)},
    {"text": "order", "pipeline": "sales", "until": BEGAN + minutes(60), "failed": True},
    {"state": "up", "caller": "+1555", "version": 3},
    {"failed": True, "caller": "+49*", "called": "+1800", "set": "main", "version": 1},
]


@pytest.mark.parametrize("asked", FILTERS, ids=str)
def test_a_filter_finds_the_calls_that_it_means_on_pages_of_any_length(many, asked):
    connection, added = many
    asked = CallFilter(**asked)
    expected = [call["call_id"] for call in added if matches(call, asked)]
    whole = ids(find_calls(connection, asked, limit=1000))
    assert sorted(whole) == sorted(expected)
    began = {call["call_id"]: call["began"] for call in added}
    assert [began[call_id] for call_id in whole] == sorted((began[call_id] for call_id in whole), reverse=True)
    if asked.text is None:
        assert whole == expected
    assert pages(connection, asked, 17) == whole


@pytest.fixture(scope="module")
def many(own_records_connection):
    add_run(own_records_connection)
    return own_records_connection, add_many(own_records_connection)


@pytest.mark.parametrize("own_records_connection", ["sqlite"], indirect=True)  # PostgreSQL chooses by itself
@pytest.mark.parametrize("many_are", [True, False], ids=["many calls match", "few calls match"])
@pytest.mark.parametrize("asked", FILTERS, ids=str)
def test_the_choice_of_the_index_changes_nothing(many, asked, many_are, monkeypatch):
    if many_are:
        monkeypatch.setattr("reference_engine.records.conditions._FEW", 5)
    monkeypatch.setattr("reference_engine.records.conditions._MANY", 10)
    test_a_filter_finds_the_calls_that_it_means_on_pages_of_any_length(many, asked)


@pytest.mark.parametrize("asked", [{}, {"text": "refund"}, {"caller": "+49*"}, {"pipeline": "default"}], ids=str)
def test_calls_that_begin_between_two_pages_are_neither_shown_twice_nor_put_others_off(connection, asked):
    def begin(minute):
        return add_call(connection, began=BEGAN + minutes(minute), turns=[("a refund", "of course")])

    before = [begin(minute) for minute in range(10)][::-1]
    seen, after, minute = [], None, 100
    while True:
        page = find_calls(connection, CallFilter(**asked), after, 3)
        seen += ids(page)
        for _ in range(2):
            begin(minute)
            minute += 1
        if (after := page.next) is None:
            break
    assert seen == before


def test_a_page_goes_on_after_a_call_that_was_deleted_meanwhile(connection):
    added = [add_call(connection, began=BEGAN + minutes(n), turns=[("refund", "")]) for n in range(6)][::-1]
    for asked in (CallFilter(), CallFilter(text="refund"), CallFilter(caller="+49*")):
        page = find_calls(connection, asked, limit=2)
        connection.execute(delete(tables.calls).where(tables.calls.c.call_id == added[1]))
        assert ids(find_calls(connection, asked, page.next, 10)) == added[2:]
        add_call(connection, call_id=added[1], began=BEGAN + minutes(4), turns=[("refund", "")])


@pytest.mark.parametrize("after", ["", "x", "20261201T000000.000000Z", "20261201T000000.000000Z-", "2026-12-01", "-"])
def test_what_is_no_place_in_a_list_is_said(connection, after):
    with pytest.raises(ValueError, match="no place in a list of calls: take `next` of the page before"):
        find_calls(connection, CallFilter(), after)


def test_a_place_is_read_as_it_was_written(connection):
    add_call(connection, call_id="a-b-c", began=BEGAN.replace(microsecond=7))
    add_call(connection, began=BEGAN - minutes(1))
    place = find_calls(connection, CallFilter(), limit=1).next
    assert place == "20261201T030000.000007Z-a-b-c"
    assert read_page_place(place).as_text() == place


def test_times_without_a_zone_are_refused(connection):
    with pytest.raises(Exception, match="has no time zone"):
        find_calls(connection, CallFilter(since=datetime(2026, 12, 1)))  # noqa: DTZ001 - what is tested


def test_a_call_is_found_by_its_id_or_the_latest_by_its_transports(connection):
    first = add_call(connection, transport_id="same", began=BEGAN)
    last = add_call(connection, transport_id="same", began=BEGAN + minutes(1), turns=[("hello", "hi")])
    add_call(connection, transport_id=first, began=BEGAN + minutes(2))
    assert find_call(connection, first).summary.call_id == first
    found = find_call(connection, "same")
    assert (found.summary.call_id, found.summary.engine, found.software) == (last, "tokyo", "1.0")
    assert [(turn["heard"], turn["said"]) for turn in found.turns] == [("hello", "hi")]
    assert find_call(connection, "nobody") is None
    assert find_call(connection, "\udcff") is None


def test_words_that_were_erased_are_found_no_more(connection):
    erased = add_call(connection, turns=[("secret", "refund"), ("secret", "")])
    deleted = add_call(connection, turns=[("secret", "refund")])
    kept = add_call(connection, turns=[("secret", "kept")])
    assert len(find_calls(connection, CallFilter(text="secret")).calls) == 3
    connection.execute(update(tables.turns).where(tables.turns.c.call_id == erased).values(heard="", said=""))
    connection.execute(delete(tables.calls).where(tables.calls.c.call_id == deleted))
    assert ids(find_calls(connection, CallFilter(text="secret"))) == [kept]
    assert connection.scalars(select(tables.call_texts.c.call_id)).all() == [kept]
    if connection.dialect.name == "postgresql":
        return
    vocabulary = "CREATE VIRTUAL TABLE temp.terms USING fts5vocab(main, 'call_words', 'row')"
    connection.execute(text(vocabulary))
    assert set(connection.scalars(text("SELECT term FROM temp.terms"))) == {"secret", "kept"}


def test_texts_of_one_moment_have_numbers_of_their_own(connection):
    values = {"began": BEGAN, "turns": [("hello", "")]}
    same = [add_call(connection, call_id=name, **values) for name in ("plumless", "buckeroo")]  # one CRC-32
    assert sorted(ids(find_calls(connection, CallFilter(text="hello")))) == sorted(same)
    assert pages(connection, CallFilter(text="hello"), 1) == ids(find_calls(connection, CallFilter(text="hello")))


def test_a_call_is_found_after_its_end_is_written_again(connection):
    call = add_call(connection, turns=[("hello", "there")])
    connection.execute(insert(tables.turns).values(**_turn(call, 1, "goodbye")))
    complete_calls(connection, [call, call, "nobody"])
    assert ids(find_calls(connection, CallFilter(text="hello goodbye"))) == [call]


def _turn(call_id, position, heard):
    values = {"call_id": call_id, "position": position, "turn": position + 1, "at_s": 9.0, "trigger": "utterance"}
    return values | {"heard": heard, "said": "", "pressed": [], "interrupted": False, "timings": {}}
