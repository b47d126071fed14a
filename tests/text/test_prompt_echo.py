"""A prompt that a recogniser gives back is no words; what callers say that is in the prompt, is."""

import pytest

from voicepipe.text.prompt_echo import may_become_echo, without_echo

PROMPT = "Calls to a dental surgery in Leeds. Names: Siobhan Byrne, Aoife Kelly."
MENU = ("yes", "no", "operator")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (PROMPT, ""),
        (PROMPT.lower().replace(".", ""), ""),
        (f"{PROMPT} {PROMPT}", ""),
        (f"{PROMPT} Hello?", "Hello?"),
        ("Calls to a dental surgery in Leeds.", "Calls to a dental surgery in Leeds."),  # can be said in two seconds
        ("Siobhan Byrne", "Siobhan Byrne"),
        ("Hello?", "Hello?"),
        ("", ""),
    ],
)
def test_the_whole_prompt_is_no_words(text, left):
    assert without_echo(text, PROMPT, (), 2000) == left


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("yes, no, operator", ""),
        ("Yes. No. Operator.", ""),
        ("yes no operator yes no operator", ""),
        ("yes", "yes"),
        ("yes, no", "yes, no"),
        ("operator", "operator"),
        ("no, operator", "no, operator"),
        ("operator, yes, no", "operator, yes, no"),
    ],
)
def test_all_keywords_in_their_order_are_no_words(text, left):
    assert without_echo(text, None, MENU) == left


def test_what_nobody_could_have_said_so_fast_is_no_words():
    part = "a dental surgery in Leeds"
    assert without_echo(part, PROMPT, (), 300) == ""
    assert without_echo(part, PROMPT, (), 1500) == part
    assert without_echo(part, PROMPT, ()) == part
    assert without_echo("a large surgery in Leeds", PROMPT, (), 300) != ""
    assert without_echo("no, operator", None, MENU, 100) == ""
    assert without_echo("operator", None, MENU, 100) == "operator"


@pytest.mark.parametrize(
    "keywords", [("one", "two", "three"), ("null", "eins", "zwei"), ("a", "b", "c"), ("yes", "no")]
)
def test_numbers_and_few_keywords_may_be_said_in_their_order(keywords):
    text = " ".join(keywords)
    assert without_echo(text, None, keywords) == text


def test_a_short_prompt_may_be_said():
    assert without_echo("Leeds", "Leeds") == "Leeds"
    assert without_echo("Dental surgery", "Dental surgery.") == "Dental surgery"


def test_a_guess_waits_while_it_may_still_become_an_echo():
    assert may_become_echo("Calls to a", PROMPT)
    assert may_become_echo("a dental surg", PROMPT)
    assert not may_become_echo("", PROMPT)
    assert may_become_echo("yes, no", None, MENU)
    assert not may_become_echo("Calls about", PROMPT)
    assert not may_become_echo("yes please", None, MENU)
    assert not may_become_echo("yes", None, ("yes please", "no"))
