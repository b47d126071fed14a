"""Every way to get a script wrong: one mistake is one problem, where the cursor should go."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicepipe.adapters.scripted.llm import ScriptedOptions, llm, read_script
from voicepipe.components.requests import Utterance
from voicepipe.components.values import File
from voicepipe.errors import ConfigError, Problem

DAY = """
slots: {day: {monday: on Monday}}
intents: {day: {phrases: ["{day}"]}}"""
A = "states: {a: {say: hello}}"
B = "states: {a: {say: hello}, b: {say: hello, "


def problems_of(text: str) -> tuple[Problem, ...]:
    with pytest.raises(ConfigError) as caught:
        read_script(File(Path("/etc/talk.yaml"), text.encode(), Path("talk.yaml")))
    return caught.value.problems


# `@` marks the place where the problem must be
MISTAKES = [
    ("start: @b\nstates: {a: {say: hello}}", 'start: there is no state "b" (states: a)'),
    # what is said
    ("states: {a: {say: @''}}", "states.a.say: says nothing"),
    ("states: {a: {say: [hello, @' ']}}", "states.a.say[1]: says nothing"),
    ("states: {a: {say: @[]}}", "states.a.say: says nothing"),
    ("states: {a: {say: @'{dya}'}}" + DAY, 'no intent fills the slot "dya" (did you mean "day"?'),
    ("states: {a: {say: @'{day|x}'}}\nslots: {day: {m: M}}", 'no intent fills the slot "day"'),
    ("states: {a: {say: @'{day} {day}'}}" + DAY, 'the slot "day" may be missing here (write {day|what to say then}'),
    ("states: {a: {say: @'a {b c} d'}}", "a brace that belongs to no {slot}"),
    # states
    ("states: {a: {say: hello, @hangup: true}}", 'unknown key "hangup" (did you mean "hang_up"?'),
    ("states: {a: {say: hello, transfer: @''}}", "names nobody"),
    ("states: {a: {say: hello, transfer: @'{caller}'}}", "can't be a value of the call"),
    ("states: {a: {say: @'hello {callr}'}}", 'no intent fills the slot "callr"'),
    ("states: {a: {say: hello, transfer: 1, @hang_up: true}}", "a call can't be transferred and hung up"),
    ("states: {a: {say: hello, hang_up: true, @silence: {say: x}}}", "the conversation ends in this state"),
    ("states: {a: {say: hello, expect: [@hey]}}", '"hey" is expected, but nothing is done about it'),
    ("states: {a: {say: hello, @needs: {day: b}}, b: {say: b}}" + DAY, "nothing is filled when a call begins"),
    (B + "needs: {@dya: a}}}" + DAY, 'no intent fills the slot "dya" (did you mean "day"?'),
    (B + "needs: {day: @c}}}" + DAY, 'there is no state "c"'),
    (B + "needs: {day: @b}}}" + DAY, 'a call without "day" would come back to "b"'),
    (B + "needs: {day: @c}}, c: {say: x, needs: {day: b}}}" + DAY, 'a call without "day" would come back to "b"'),
    # responses
    ("states: {a: {say: hello, on: {@dya: {say: x}}}}" + DAY, 'there is no intent "dya" (did you mean "day"?'),
    ("states: {a: {say: hello, on: {day: {go: @c}}}}" + DAY, 'states.a.on.day.go: there is no state "c"'),
    ("states: {a: {say: hello, dtmf: {@1x: {say: x}}}}", '"1x" can\'t be pressed'),
    ("states: {a: {say: hello, dtmf: {1: @{}}}}", "states.a.dtmf.1: says nothing and does nothing"),
    ("states: {a: {say: hello, otherwise: @[]}}", "is an empty list"),
    # tools
    ("states: {a: {say: hello, dtmf: {1: {@call: {book: {}, look: {}}}}}}", "calls several tools"),
    ("states: {a: {say: hello, dtmf: {1: {hang_up: true, @call: {book: {}}}}}}", "`hang_up` and `call` exclude"),
    ("states: {a: {say: hello, dtmf: {1: {call: {book: {day: @'{dya}'}}}}}}" + DAY, 'no intent fills the slot "dya"'),
    (
        "states: {a: {say: hello, dtmf: {1: {call: {book: {day: @'{day}'}}}}}}" + DAY,
        'the slot "day" may be missing here',
    ),
    ("states: {a: {say: hello, dtmf: {1: {say: @'{result}'}}}}", 'no intent fills the slot "result"'),
    ("states: {a: {say: hello, results: {book: @{}}}}", "says nothing and does nothing"),
    ("states: {a: {say: hello, results: {book: {go: @b}}}}", 'there is no state "b"'),
    ("states: {a: {say: hello, failed: {@call: {book: {}}}}}", "stands in for a tool that failed"),
    ("states: {a: {say: hello, hang_up: true, @results: {book: {say: x}}}}", "the conversation ends in this state"),
    ("states: {a: {say: hello}}\nslots: {@result: {a: b}}", "is the name of what a tool returned"),
    (
        "states: {a: {say: hello, otherwise: [{say: x}, {go: a, @hang_up: true}]}}",
        "`go` and `hang_up` exclude each other",
    ),
    ("states: {a: {say: hello, silence: {say: x, @forget: [day]}}}" + DAY, "not asked for again"),
    ("states: {a: {say: hello, silence: {again: true, forget: [@dya]}}}" + DAY, 'there is no slot "dya"'),
    (A + "\nanywhere: {silence: @[]}", "anywhere.silence: is an empty list"),
    (A + "\nanywhere: {silence: {say: @'{day}'}}" + DAY, 'anywhere.silence.say: the slot "day" may be missing'),
    (A + "\nanywhere: {silence: {transfer: @' '}}", "names nobody"),
    (A + "\nanywhere: {no_transfer: {@transfer: 1}}", "stands in for a transfer"),
    # intents and slots
    (A + "\nintents: {@x: {}}", "neither phrases nor patterns"),
    (A + "\nintents: {x: {phrases: [@'?']}}", "no words to hear"),
    (A + "\nintents: {x: {phrases: [b, @'a } b']}}", "a brace that belongs to no {slot}"),
    (A + "\nintents: {x: {phrases: [@'on {dya}']}}\nslots: {day: {m: M}}", 'no slot "dya" (did you mean "day"?'),
    (A + "\nintents: {x: {phrases: [@'on {day|x}']}}\nslots: {day: {m: M}}", "no use in what is heard"),
    (A + "\nintents: {x: {phrases: [x], slots: [@dya]}}\nslots: {day: {m: M}}", 'there is no slot "dya"'),
    (A + "\nintents: {x: {patterns: [@'a(']}}", "is not a regular expression: missing )"),
    (A + "\nintents: {x: {patterns: [@'a)(b']}}", "is not a regular expression: unbalanced"),
    (A + "\nintents: {x: {patterns: [@'(a+)+']}}", "longer than any caller waits"),
    (A + "\nintents: {x: {patterns: [@'(?P<day>m)']}}\nslots: {day: {m: M}}", "a slot that has words of its own"),
    (A + "\nslots: {day: @{}}", "it has no words"),
    (A + "\nslots: {day: {@'?': M}}", "no words to hear"),
    (A + "\nslots: {@a-b: {m: M}}", "can't be used as {slot}"),
]


@pytest.mark.parametrize(("text", "message"), MISTAKES)
def test_each_mistake_is_one_problem_at_its_place(text, message):
    text = text if text.startswith("start") else f"start: a\n{text}"
    before = text[: text.index("@")].split("\n")
    problems = problems_of(text.replace("@", ""))
    assert [str(problem.where) for problem in problems] == [f"talk.yaml:{len(before)}:{len(before[-1]) + 1}"], problems
    assert message in str(problems[0])


def test_a_phrase_may_not_stand_for_too_many():
    words = ", ".join(f"w{n}: W" for n in range(40))
    slots = f"slots: {{x: {{{words}}}, y: {{{words}}}}}"
    (problem,) = problems_of(f"start: a\n{A}\n{slots}\nintents: {{i: {{phrases: ['{{x}} {{y}}']}}}}")
    assert problem.message == "stands for 1,600 phrases, more than 1,000"


def test_all_problems_come_at_once():
    assert len(problems_of("start: b\nstates: {a: {say: '{x}', on: {y: {go: z}}}}")) == 4


def test_a_gap_on_one_of_two_ways_is_found():
    (problem,) = problems_of(
        "start: a\nstates: {a: {say: x, on: {day: {go: b}}, silence: {go: b}}, b: {say: 'See you {day}.'}}" + DAY
    )
    assert problem.path == "states.b.say"


def test_states_that_nothing_leads_to_are_no_mistake():
    """An operator may park one; its names are checked all the same."""
    text = f"start: a\n{B} on: {{day: {{go: c}}}}}}, c: {{say: '{{day}}'}}}}{DAY}"
    read_script(File(Path("/etc/talk.yaml"), text.encode()))


RECEPTION = (Path(__file__).parents[2] / "config/scripts/reception.yaml").read_text().splitlines()
EDITS = st.lists(
    st.tuples(
        st.integers(0, len(RECEPTION) - 1), st.sampled_from(["cut", "swap", "twice", "text"]), st.text(max_size=6)
    ),
    min_size=1,
    max_size=3,
)


@given(EDITS, st.lists(st.sampled_from(["appointment", "monday", "yes", "no", "cancel", "operator", "x"]), max_size=5))
def test_a_script_that_was_edited_carelessly_is_refused_or_works(edits, words):
    lines = list(RECEPTION)
    for at, how, text in edits:
        at %= len(lines)  # noqa: PLW2901 - lines may have gone by an earlier edit
        new = {"cut": [], "swap": [lines[at - 1]], "twice": [lines[at]] * 2, "text": [lines[at] + text]}[how]
        lines[at : at + 1] = new
    file = File(Path("/etc/talk.yaml"), "\n".join(lines).encode("utf-8", "replace"))
    problems = [*llm.check(ScriptedOptions(file))]
    assert all(problem.where.line <= len(lines) + 1 for problem in problems)
    if problems:
        return
    script, state = read_script(file), None
    for word in words:
        reply = script.answer(Utterance(word), state)
        assert reply.text or reply.hang_up or reply.transfer
        state = reply.progress
