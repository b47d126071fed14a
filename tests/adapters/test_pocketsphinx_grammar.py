"""JSGF: what is read, what is refused and where, and what is handed on to PocketSphinx."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicepipe.adapters.pocketsphinx.dictionary import Dictionary
from voicepipe.adapters.pocketsphinx.grammar_parser import GrammarError, parse_grammar
from voicepipe.adapters.pocketsphinx.grammar_writer import write_grammar

HEAD = "#JSGF V1.0 UTF-8 en;\ngrammar menu;\n"
DICTIONARY = Dictionary(b"yes Y EH S\nno N OW\nplease P L IY Z\nthe DH AH\nthe(2) DH IY\nsales S EY L Z\nsail S EY L\n")


def spelled(rules: str) -> str | None:
    """The body of the rules as PocketSphinx gets them."""
    text = write_grammar(parse_grammar(HEAD + rules), DICTIONARY.spell)
    return text and text.removeprefix("#JSGF V1.0;\ngrammar voicepipe;\npublic <top> = ")


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ("public <menu> = yes | no;", "<r0>;\n<r0> = (yes | no);"),
        ("public <menu> = YES please;", "<r0>;\n<r0> = yes please;"),
        ('public <menu> = "yes please"* [no]+;', "<r0>;\n<r0> = (yes please)* ([no])+;"),
        ("public <menu> = /10/ yes | /0.5/ no {denied \\} really};", "<r0>;\n<r0> = (/10/ yes | /0.5/ no);"),
        ("public <menu> = yes | /2/ no;", "<r0>;\n<r0> = (/1/ yes | /2/ no);"),
        ("public <menu> = <NULL> | yes; // so\n/* or\nnot */", "<r0>;\n<r0> = (<NULL> | yes);"),
        ("public <menu> = yes | <VOID>;", "<r0>;\n<r0> = yes;"),
        ("public <menu> = <a.b-c> please; <a.b-c> = yes;", "<r0>;\n<r0> = <r1> please;\n<r1> = yes;"),
        ("public <one> = yes; public <two> = no;", "<r0> | <r1>;\n<r0> = yes;\n<r1> = no;"),
        ("public <menu> = yes [<menu>];", "<r0>;\n<r0> = yes [<r0>];"),
        ("public <menu> = check-yes;", None),
        ("public <menu> = sales-yes;", "<r0>;\n<r0> = sales yes;"),
    ],
)
def test_grammars_are_handed_on(rules, expected):
    assert spelled(rules) == expected


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ("public <menu> = yes | umbrella;", "<r0>;\n<r0> = yes;"),
        ("public <menu> = /3/ yes | /2/ umbrella | no;", "<r0>;\n<r0> = (/3/ yes | /1/ no);"),
        ("public <menu> = yes [umbrella] | no umbrella;", "<r0>;\n<r0> = yes;"),
        ("public <menu> = yes umbrella* no;", "<r0>;\n<r0> = yes no;"),
        ("public <menu> = yes | no umbrella+;", "<r0>;\n<r0> = yes;"),
        ("public <menu> = yes | no <what>; <what> = umbrella | <what>;", None),
        ("public <menu> = yes | no <what>; <what> = the <umbrella>; <umbrella> = umbrella;", "<r0>;\n<r0> = yes;"),
        ("public <menu> = umbrella;", None),
    ],
)
def test_what_needs_a_word_that_is_unknown_is_left_out(rules, expected):
    if "<what> = umbrella | <what>" in rules:  # which loops without an end: nothing ever comes of it
        assert spelled(rules) is not None
    else:
        assert spelled(rules) == expected


@pytest.mark.parametrize(
    ("text", "message", "line", "column"),
    [
        ("", "begins with", 1, 1),
        ("grammar menu;", "begins with", 1, 1),
        ("#JSGF V1.0;\nmenu;", "'grammar NAME;'", 2, 1),
        ("#JSGF V1.0;\ngrammar ;", "the grammar's name", 2, 9),
        ("#JSGF V1.0;\ngrammar menu", "ends with ';'", 2, 13),
        (HEAD, "no rule is public", 2, 14),
        (HEAD + "<menu> = yes;\n", "no rule is public", 3, 14),
        (HEAD + "public <menu> = (yes | no;", "'(' of line 3, column 17 is not closed", 3, 26),
        (HEAD + "public <menu> = [yes | no);", "'[' of line 3, column 17 is not closed", 3, 26),
        (HEAD + "public <menu> = yes | | no;", "something to say", 3, 23),
        (HEAD + "public <menu> = ;", "something to say", 3, 17),
        (HEAD + "public <menu> = yes\npublic <other> = no;", "should go on, or end with ';'", 4, 16),
        (HEAD + "public <menu> yes;", "after <menu> comes '='", 3, 15),
        (HEAD + "public menu = yes;", "here a rule should begin", 3, 8),
        (HEAD + "public <menu> = <other>;", "no rule <other>", 3, 17),
        (HEAD + "public <menu> = yes;\n<menu> = no;", "defined twice", 4, 1),
        (HEAD + "public <NULL> = yes;", "JSGF keeps", 3, 8),
        (HEAD + "import <other.*>;", "import is not supported", 3, 1),
        (HEAD + "public <menu> = <menu> yes;", "only at its end", 3, 17),
        (HEAD + "public <menu> = yes <a> no; <a> = [<menu>];", "<a> leads back to <menu>", 3, 21),
        (HEAD + "public <menu> = <menu>* yes;", "only at its end", 3, 17),
        (HEAD + 'public <menu> = "yes;', "does not belong here", 3, 17),
    ],
)
def test_mistakes_have_places(text, message, line, column):
    with pytest.raises(GrammarError) as raised:
        parse_grammar(text)
    assert message in raised.value.message
    assert (raised.value.line, raised.value.column) == (line, column)


@given(st.text(st.sampled_from('ab <>=|;()[]*+/"{}\\\n#'), max_size=40))
def test_anything_is_a_grammar_or_a_mistake_with_a_place(rules):
    text = HEAD + "public <a> = " + rules
    try:
        grammar = parse_grammar(text)
    except GrammarError as error:
        lines = text.split("\n")
        inside = 1 <= error.line <= len(lines) and 1 <= error.column <= len(lines[error.line - 1]) + 1
    else:
        inside = bool(grammar.public)
    assert inside


def test_words_are_found_with_their_ways_to_be_said():
    assert DICTIONARY.pronunciations("the") == ("DH AH", "DH IY")
    assert DICTIONARY.pronunciations("th") == ()
    assert DICTIONARY.spell("Yes, PLEASE!") == ("yes", "please")
    assert DICTIONARY.spell("yes umbrella") == DICTIONARY.spell("...") == ()
    assert DICTIONARY.unknown("yes umbrella sale") == ("umbrella", "sale")
    assert DICTIONARY.unknown("Don’t say “cafe\u0301”, हाँ जी.") == ("don't", "say", "café", "हाँ", "जी")  # noqa: RUF001
    assert DICTIONARY.similar("sale") == ["sales", "sail"]
