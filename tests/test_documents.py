"""Documents: bytes in, typed values out, and problems where they stand."""

from __future__ import annotations

import time
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from attrs import field, frozen
from attrs.validators import ge, in_, matches_re, max_len, min_len
from hypothesis import example, given
from hypothesis import strategies as st

from voicepipe.documents import parse, parse_document
from voicepipe.documents.parse import LINE_BREAK
from voicepipe.errors import ConfigError, Location

NAME = Path("some/file.yaml")


@frozen
class Goto:
    goto: str


@frozen
class Play:
    play: str
    times: int = 1


@frozen
class State:
    say: str = ""
    wait_ms: int = field(default=500, validator=ge(100))
    rate: float = 1.0
    loud: bool = False
    kind: Literal["first", "last"] = "first"
    then: Literal["stay", "hang_up"] | Goto | Play = "stay"
    limit: int | Literal["none"] | None = None
    children: tuple[State, ...] = ()
    counts: Mapping[str, int] = field(factory=dict)
    extra: Mapping[str, Any] = field(factory=dict)
    name: str = field(default="a", validator=[min_len(1), max_len(5), matches_re("[a-z]*")])
    level: int = field(default=1, validator=in_((1, 2)))


@frozen
class Script:
    start: str
    states: Mapping[str, State] = field(factory=dict)


@frozen
class Pair:
    low: int
    high: int = field()

    @high.validator
    def _above_low(self, _attribute, value):
        if value < self.low:
            raise ValueError("must not be below low")


@frozen
class Whole:
    a: int = 0
    b: int = 0

    def __attrs_post_init__(self):
        if self.a and self.b:
            raise ValueError("a and b exclude each other")


def structure(text: str, cls: type = Script):
    return parse_document(text.encode(), NAME).structure(cls)


def state(text: str) -> State:
    return structure(f"start: a\nstates: {{a: {{{text}}}}}\n").states["a"]


def problems(text: str | bytes, cls: type = Script) -> list[str]:
    content = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(ConfigError) as caught:
        parse_document(content, NAME).structure(cls)
    return [
        f"{problem.where.line}:{problem.where.column} {problem.path}: {problem.message}"
        for problem in caught.value.problems
    ]


@pytest.mark.parametrize("text", ["+15551234", "12:30", "on", "012", "1_000", "4", "1.0", "true", "0x1f", "2026-11-23"])
def test_text_stays_as_typed(text):
    assert state(f"say: {text}").say == text


@pytest.mark.parametrize(("text", "number"), [("4711", 4711), ("+400", 400), ("100", 100)])
def test_whole_numbers(text, number):
    assert state(f"wait_ms: {text}").wait_ms == number


@pytest.mark.parametrize("text", ["0x1f4", "1_000", "0500", "500.0", "5e2", '"500"', "five", "500ms", "''", "9" * 30])
def test_what_is_no_whole_number(text):
    assert "expected a whole number" in problems(f"start: a\nstates: {{a: {{wait_ms: {text}}}}}\n")[0]


@pytest.mark.parametrize(("text", "number"), [("1", 1.0), ("0.5", 0.5), (".5", 0.5), ("-2.25", -2.25)])
def test_numbers(text, number):
    assert state(f"rate: {text}").rate == number


@pytest.mark.parametrize("text", [".inf", ".nan", "1e3", "1_0.0", "00.5", "1.", "-", ".", "9" * 400])
def test_what_is_no_number(text):
    assert "expected a number" in problems(f"start: a\nstates: {{a: {{rate: {text}}}}}\n")[0]


@pytest.mark.parametrize("text", ["yes", "on", "True", "1", '"true"', "~"])
def test_what_is_no_boolean(text):
    assert "expected true or false" in problems(f"start: a\nstates: {{a: {{loud: {text}}}}}\n")[0]


def test_free_form_values_follow_the_core_schema():
    text = "a: 1, b: 0x10, c: 0o17, d: 1.5, e: 1e3, f: true, g: ~, h: on, i: '1', j: [x, 2], k: {l: 2.5}, m: 012"
    assert state(f"extra: {{{text}}}").extra == {
        "a": 1, "b": 16, "c": 15, "d": 1.5, "e": 1000.0, "f": True, "g": None, "h": "on", "i": "1",
        "j": ("x", 2), "k": {"l": 2.5}, "m": 12,
    }  # fmt: skip


def test_the_node_picks_the_alternative_of_a_union():
    assert state("then: hang_up").then == "hang_up"
    assert state("then: {goto: b}").then == Goto("b")
    assert state("then: {play: beep, times: 2}").then == Play("beep", 2)
    assert state("limit: 5").limit == 5
    assert state("limit: none").limit == "none"
    assert state("limit: ~").limit is None
    assert state("limit: ").limit is None


def test_a_union_says_what_it_takes():
    assert problems("start: a\nstates: {a: {limit: many}}\n") == [
        '2:21 states.a.limit: expected a whole number or "none" or null, got "many"'
    ]


def test_all_problems_at_once_each_at_its_place():
    found = problems(
        """\
start: [a]
states:
  a: {say: {}, wait_ms: soon, rate: x, loud: yes, kind: frist}
  b:
    children:
      - name: B
      - nme: b
        name: c
    counts: {x: 1, y: z}
    level: 3
  c: text
  d:
stats: {}
"""
    )
    assert found == [
        "1:8 start: expected text, got a list",
        "3:12 states.a.say: expected text, got a mapping",
        '3:25 states.a.wait_ms: expected a whole number, got "soon"',
        '3:37 states.a.rate: expected a number, got "x"',
        '3:46 states.a.loud: expected true or false, got "yes"',
        '3:57 states.a.kind: expected one of first, last, got "frist"',
        '6:15 states.b.children[0].name: must match [a-z]*, got "B"',
        '7:9 states.b.children[1].nme: unknown key "nme"',
        '9:23 states.b.counts.y: expected a whole number, got "z"',
        '10:12 states.b.level: must be one of 1, 2, got "3"',
        '11:6 states.c: expected a mapping, got "text"',
        "12:3 states.d: expected a mapping, got nothing",
        '13:1 stats: unknown key "stats"',
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("wait_ms: 50", "must be at least 100"),
        ("name: ''", "must not be empty"),
        ("name: abcdef", "must have at most 5 characters"),
        ("level: 7", "must be one of 1, 2"),
    ],
)
def test_validators_speak_plainly(text, words):
    assert words in problems(f"start: a\nstates: {{a: {{{text}}}}}\n")[0]


def test_a_validator_that_compares_fields_speaks_at_its_own():
    assert problems("low: 5\nhigh: 3\n", Pair) == ['2:7 high: must not be below low, got "3"']
    assert problems("low: x\nhigh: 3\n", Pair) == ['1:6 low: expected a whole number, got "x"']


def test_a_check_of_the_whole_speaks_at_its_beginning():
    assert problems("a: 1\nb: 2\n", Whole) == ["1:1 : a and b exclude each other"]


def test_a_missing_key_is_where_its_mapping_begins():
    assert problems("states: {}\n") == ["1:1 start: is required, but missing"]
    assert problems("- low: 5\n", tuple[Pair, ...]) == ["1:3 [0].high: is required, but missing"]
    assert problems("x:\n  low: 5\n", Mapping[str, Pair]) == ["1:1 x.high: is required, but missing"]


def test_a_misspelt_key_is_one_error():
    assert problems("strat: a\n") == ['1:1 strat: unknown key "strat"']


def test_keys_are_text_whatever_they_look_like():
    assert structure("start: a\nstates: {on: {}, 1: {}, 1.5: {}, true: {}}").states.keys() == {"on", "1", "1.5", "true"}


def test_hints_name_what_there_is():
    with pytest.raises(ConfigError) as caught:
        structure("start: a\nstaets: {}\n")
    (problem,) = caught.value.problems
    assert problem.hint == 'did you mean "states"? known keys: start, states'
    assert problem.source == "staets: {}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"# nothing\n", "the file is empty"),
        (b"\xff\xfea\0", "the file is not UTF-8"),
        (b"a: \0\n", "the file contains the control character U+0000"),
        (b"a: \x1b[31m\n", "the file contains the control character U+001B"),
        (b"start: 'a\n", "not YAML: found unexpected end of stream"),
        (b"start: [a\nb: c\n", "not YAML: did not find expected ',' or ']'"),
        (b"start: a: b\n", "not YAML: mapping values are not allowed"),
        (b"--- {}\n--- {}\n", "the file has a second document"),
        (b"start: *a\n", 'unknown anchor "&a"'),
        (b"start: &a [*a]\n", 'alias "*a" refers to a value that contains it'),
        (b"[" * 20_000, "more than 64 levels of nesting"),
        (b"- " * 20_000, "more than 64 levels of nesting"),
        (b"a: " + b"x" * (3 << 20), "the file is larger than 2 MiB"),
    ],
)
def test_what_can_not_be_read(content, message):
    (problem,) = problems(content)
    assert message in problem


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("start: a\nstart: b\n", '2:1 start: duplicate key "start"; first defined on line 1'),
        ("start: !!str a\n", '1:8 start: unsupported tag "tag:yaml.org,2002:str"'),
        ("start: a\n? [b]\n: c\n", '2:3 "?": a key must be text'),
        ("start: a\n~: c\n", '2:1 "~": a key must be text'),
        ("start: a\nstates:\n  <<: {a: {}}\n", '3:3 states."<<": merge keys (`<<`) are not supported'),
    ],
)
def test_what_leaves_the_rest_readable_is_reported_with_the_rest(text, found):
    assert problems(text) == [found]
    assert problems(text + "unknown: 1\n")[0] == found
    assert len(problems(text + "unknown: 1\n")) == 2


def test_aliases_stand_for_what_they_name():
    script = structure("start: a\nstates: {a: &a {say: Hello}, b: *a}\n")
    assert script.states["a"] == script.states["b"] == State("Hello")


def test_an_alias_can_not_multiply_a_mistake():
    assert len(problems("start: a\nstates: {a: &a {wait_ms: 1}, b: *a}\n")) == 2


NINE = "abcdefghi"
HOSTILE = {
    "aliases": "a: &a [x,x,x,x,x,x,x,x,x]\n"
    + "".join(f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in pairwise(NINE)),
    "nodes": "start: [" + "[]," * 650_000 + "]",
    "keys": "".join(f"k{n}: 1\n" for n in range(150_000)),
    "unknown keys": "start: a\n" + "".join(f"k{n}: 1\n" for n in range(40_000)),
    "duplicates": "a: 1\n" * 40_000,
    "tags": "- !x y\n" * 40_000,
    "anchors": "".join(f"- &a{n} x\n" for n in range(90_000)),
    "open brackets": "[" * 2_000_000,
    "open braces": "{" * 2_000_000,
    "dashes": "- " * 1_000_000,
    "question marks": "? " * 100_000,
    "open quote": "'" + "x" * 2_000_000,
    "digits": "start: a\nstates: {a: {wait_ms: " + "9" * 1_000_000 + "}}",
    "free digits": "start: a\nstates: {a: {extra: {a: " + "9" * 1_000_000 + "}}}",
    "comments": "#\n" * 1_000_000,
    "directives": "%TAG ! tag:x,2000:\n" * 50_000,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_yaml_is_refused_soon(kind):
    content = HOSTILE[kind].encode()
    began = time.thread_time()
    with pytest.raises(ConfigError) as caught:
        parse_document(content, NAME).structure(Script)
    assert time.thread_time() - began < 20  # of its own time; it is a fraction of a second, and could be hours
    assert len(caught.value.problems) <= 1001


def test_without_libyaml_it_reads_the_same(monkeypatch):
    text = "start: '012'\nstates: {a: {extra: {a: 1, b: '1'}, then: {goto: b}}}\n"
    expected = structure(text)
    monkeypatch.setattr(parse, "Parser", yaml.SafeLoader)
    assert structure(text) == expected
    assert len(problems("start: 'a\n")) == 1


def test_semantic_checks_find_their_places():
    document = parse_document(b"start: b\nstates:\n  a: {children: [{say: x}]}\n", NAME)
    assert document.where(("states", "a")) == Location(NAME, 3, 6)
    assert document.where(("states", "a"), key=True) == Location(NAME, 3, 3)
    assert document.where(("states", "a", "children", 0, "say")) == Location(NAME, 3, 24)
    assert document.where(("states", "nowhere")) == Location(NAME, 3, 3)
    problem = document.problem(("start",), "there is no such state", "states: a")
    assert (problem.where, problem.path, problem.source) == (Location(NAME, 1, 8), "start", "start: b")


def test_a_type_that_yaml_can_not_give_is_its_authors_mistake():
    @frozen
    class Wrong:
        a: list[int]

    with pytest.raises(TypeError, match="can't be"):
        structure("a: [1]", Wrong)


def check_places(content: bytes) -> None:
    """Structures the bytes; whatever is wrong must be a ConfigError with its places inside the file."""
    try:
        parse_document(content, NAME).structure(Script)
    except ConfigError as error:
        lines = LINE_BREAK.split(content.decode(errors="replace"))
        for problem in error.problems:
            assert problem.where.line <= len(lines)
            assert problem.where.column <= len(lines[problem.where.line - 1]) + 1
            assert problem.message


@given(st.binary(max_size=200))
@example(b"\xef\xbb\xbfstart: a")
@example(b"\r\r\n\x0b")
def test_arbitrary_bytes(content):
    check_places(content)


@given(st.text(alphabet="abst: {}[]-,&*!|>'\"%@`#?~<\n\t\r\x85\u2028é😀0", max_size=80))
def test_arbitrary_yamlish_text(text):
    check_places(text.encode())
