"""A call's timeline, its words and why it ended, as they are made from its record."""

from __future__ import annotations

from itertools import pairwise

import pytest
import sample_calls as samples
from sample_calls import call_row, detail_of, failure, turn

from reference_engine.pages.call_story import story_of
from reference_engine.pages.call_verdict import verdict_of
from reference_engine.pages.filters import console_parts
from reference_engine.pages.timeline import NARROWEST, WIDEST, timeline_of

SAMPLES = {
    "failed": samples.a_failed_call,
    "ordinary": samples.an_ordinary_call,
    "degraded": samples.a_degraded_call,
    "short": samples.a_short_call,
    "up": samples.a_call_that_is_up,
    "lost": samples.a_lost_call,
    "long": samples.a_long_call,
    "empty": lambda: (call_row("empty-1", duration_s=0.0), {}),
}


@pytest.fixture(params=SAMPLES.values(), ids=SAMPLES, scope="module")
def detail(request):
    return detail_of(request.param())


def test_everything_lies_on_the_axis(detail):
    line = timeline_of(detail)
    assert NARROWEST <= line.width <= WIDEST
    assert line.px_a_s * line.seconds == pytest.approx(line.width, rel=0.001)
    for part in (*line.bars, *line.steps):
        assert 0 <= part.x <= line.width
        assert part.width > 0
        assert part.x + part.width <= line.width + 3
    for mark in line.marks:
        assert 0 <= mark.x <= line.width
    assert [tick.x for tick in line.ticks] == sorted(tick.x for tick in line.ticks)
    assert all(after.x - before.x >= 70 for before, after in pairwise(line.ticks))
    assert line == timeline_of(detail)


def test_labels_of_marks_do_not_lie_on_each_other(detail):
    spans = {}
    for mark in timeline_of(detail).marks:
        if mark.label:
            size = len(mark.label) * 6.0
            spans.setdefault(mark.row, []).append((mark.x - size, mark.x) if mark.before else (mark.x, mark.x + size))
    for row in spans.values():
        assert all(one[1] <= other[0] for one, other in pairwise(sorted(row)))


def test_what_is_drawn_is_told_in_words_too(detail):
    line, story = timeline_of(detail), story_of(detail)
    assert [one.at_s for one in story] == sorted(one.at_s for one in story)
    assert sum(bar.kind == "agent" for bar in line.bars) == sum(
        one.kind == "agent" and bool(one.words) for one in story
    )
    assert {mark.kind for mark in line.marks if mark.kind in {"failed", "alternate", "apology", "steering"}} <= {
        one.kind for one in story
    }
    assert sum(bar.kind == "tool" for bar in line.bars) == len(detail.tools)


def test_a_call_of_two_hours_has_narrower_seconds_and_all_of_its_turns():
    line = timeline_of(detail_of(samples.a_long_call()))
    assert line.width == WIDEST
    assert line.scrolls
    assert len(line.bars) == 1000
    assert line.ticks[-1].label == "1:59:45"


def test_the_steps_of_a_reply_fill_the_time_that_it_was_waited_for():
    detail = detail_of(samples.an_ordinary_call())
    line = timeline_of(detail)
    steps = [step for step in line.steps if "turn 6" in step.title]
    assert [step.kind for step in steps] == ["transcript", "end-of-turn", "model", "voice", "line"]
    assert steps[0].x == pytest.approx(26.0 * line.px_a_s, abs=0.2)
    assert sum(step.width for step in steps) == pytest.approx(1.9 * line.px_a_s, abs=0.5)
    assert line.legend == ("transcript", "end-of-turn", "model", "voice", "line")


def test_tools_that_ran_at_the_same_time_lie_below_each_other():
    bars = {
        bar.title.split(",")[0].partition(" ")[2]: bar
        for bar in timeline_of(detail_of(samples.an_ordinary_call())).bars
    }
    assert [bars[name].row for name in ("find_seats", "price_of", "to 6001")] == [0, 1, 0]
    assert [bars[name].bad for name in ("find_seats", "price_of", "to 6001")] == [False, True, True]
    assert [bar.cut for bar in bars.values() if bar.kind == "agent"].count(True) == 1


def test_a_reply_that_never_came_is_drawn_for_as_long_as_it_was_waited_for():
    line = timeline_of(detail_of(samples.a_short_call()))
    (nothing,) = (step for step in line.steps if step.kind == "nothing")
    assert nothing.width / line.px_a_s == pytest.approx(5.2 - 2.4 - 0.6, abs=0.05)
    assert "the model's first word" in nothing.title


def test_a_name_of_a_step_that_was_faster_than_the_one_before_has_no_width():
    row = turn(1, (1, 2), (2.6, 3), ("a", "b"), steps=(500, 550, 100, 560))  # a prepared reply: the model was first
    line = timeline_of(detail_of((call_row("prepared-1"), {"turns": [row]})))
    assert [step.kind for step in line.steps] == ["transcript", "end-of-turn", "voice", "line"]


@pytest.mark.parametrize(
    ("sample", "level", "words"),
    [
        (
            samples.a_failed_call(),
            "bad",
            (
                "failed after 0:21 because the language model failed at 0:18: backup: no first word within 5000 ms",
                "mind had failed at 0:13: HTTP 429.",
                "heard an apology",
            ),
        ),
        (samples.a_short_call(), "bad", ("waited 2.8 s for a reply", "the model had not answered yet")),
        (samples.an_ordinary_call(), "good", ("The caller hung up after 0:48.",)),
        (samples.a_lost_call(), "bad", ("stopped without ending it", "at 0:01")),
        (samples.a_call_that_is_up(), "info", ("is up",)),
        ((call_row("e-1", outcome="said_goodbye", detail="bye"), {}), "good", ("said goodbye (“bye”)",)),
        ((call_row("e-2", outcome="no_audio", detail="{x}"), {}), "bad", ("No audio came", "{x}")),
        ((call_row("e-3", outcome="transferred", detail="6001"), {}), "good", ("transferred to 6001",)),
        ((call_row("e-4", outcome="something new"), {}), "info", ("something new",)),
        ((call_row("e-5", outcome="failed", detail="the line broke"), {}), "bad", ("the line broke",)),
        (
            (
                call_row("e-6", outcome="returned_to_dialplan"),
                {"failures": [failure(3, "stt", "ears", "failed", "gone")]},
            ),
            "bad",
            ("speech-to-text failed at 0:03: ears: gone.", "sent back to the dialplan"),
        ),
        ((call_row("e-7", outcome="caller_hung_up", duration_s=1.0), {}), "warn", ("before anything was said",)),
        (
            (
                call_row("e-8", duration_s=3.0),
                {"turns": [turn(1, None, (0.1, 3.0), ("", "Hello and"), trigger="announcement", interrupted=True)]},
            ),
            "warn",
            ("in the middle of the agent's reply",),
        ),
    ],
    ids=lambda value: value[0]["call_id"] if isinstance(value, tuple) and isinstance(value[0], dict) else None,
)
def test_it_says_in_one_sentence_why_a_call_ended(sample, level, words):
    verdict = verdict_of(detail_of(sample))
    assert verdict.level == level
    for part in words:
        assert part in verdict.sentence


def test_what_else_is_worth_a_look_leads_to_its_moment():
    (quota,) = verdict_of(detail_of(samples.a_failed_call())).findings
    assert (quota.level, quota.at_s) == ("bad", 12.9)
    assert "failed 2 times: HTTP 429" in quota.text
    assert "backup went on" in quota.text
    assert (quota.answered, quota.hint) == (samples.QUOTA, samples.QUOTA_HINT)
    tool, transfer = verdict_of(detail_of(samples.an_ordinary_call())).findings
    assert (tool.text, tool.at_s) == ("The tool price_of failed: error: no such show", 13.2)
    assert "6001 failed: nobody answered" in transfer.text
    slow = turn(1, (1, 2), (7, 8), ("a", "b"), steps=(500, 600, 4600, 4900))
    (finding,) = verdict_of(detail_of((call_row("slow-1"), {"turns": [slow]}))).findings
    assert "only after 5.00 s, of which 4.00 s went to the model" in finding.text
    assert finding.at_s == 2


FATAL = failure(3, "stt", "ears", "failed", "HTTP 401", "INVALID_AUTH: no such key", "check ${KEY}")


@pytest.mark.parametrize(
    ("outcome", "row", "answered", "hint"),
    [
        ("failed", FATAL, "INVALID_AUTH: no such key", "check ${KEY}"),
        ("returned_to_dialplan", FATAL, "INVALID_AUTH: no such key", "check ${KEY}"),
        ("failed", FATAL | {"message": "HTTP 401: INVALID_AUTH: no such key"}, "", "check ${KEY}"),  # told already
        ("caller_hung_up", FATAL, "", ""),  # it did not end the call, so it is a finding
        ("failed", failure(3, "stt", "ears", "failed", "gone"), "", ""),
    ],
)
def test_the_providers_own_words_stand_beside_the_failure_that_ended_the_call(outcome, row, answered, hint):
    detail = detail_of((call_row("quoted-1", outcome=outcome), {"failures": [row]}))
    verdict = verdict_of(detail)
    assert (verdict.answered, verdict.hint) == (answered, hint)
    told = [(finding.answered, finding.hint) for finding in verdict.findings]
    assert told == ([(FATAL["answered"], FATAL["hint"])] if outcome == "caller_hung_up" else [])
    words = "".join(text for text, _ in next(line for line in story_of(detail) if line.kind == "failed").words)
    assert ("answered" in words) == bool(row["answered"] and row["answered"] not in row["message"])


def test_a_first_choice_that_was_passed_over_is_a_finding():
    (finding,) = verdict_of(detail_of(samples.a_degraded_call())).findings
    assert finding.level == "warn"
    assert finding.text.startswith("voice, the first choice for text-to-speech, was passed over")
    assert "spare_voice served this call" in finding.text


@pytest.mark.parametrize(
    ("sample", "at_s"),
    [
        (samples.a_failed_call(), 12.9),
        (samples.a_short_call(), 2.4 + 0.6),  # a reply that never came
        (samples.a_lost_call(), 1.2),
        (samples.an_ordinary_call(), 0.0),
    ],
)
def test_a_timeline_that_does_not_fit_begins_at_what_went_wrong(sample, at_s):
    line = timeline_of(detail_of(sample))
    assert line.focus / line.px_a_s == pytest.approx(at_s, abs=0.05)


def test_a_call_that_goes_on_is_shown_at_its_last_words():
    line = timeline_of(detail_of(samples.a_call_that_is_up()))
    assert line.focus / line.px_a_s == pytest.approx(1.2, abs=0.05)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", [("", False)]),
        ("one\ntwo", [("one\ntwo", False)]),
        (
            "a.yaml:3:5: x\n    voyce: b\n    ^\nnext",
            [("a.yaml:3:5: x", False), ("    voyce: b\n    ^", True), ("next", False)],
        ),
        ("  ^~~", [("  ^~~", False)]),  # a caret that points at nothing
    ],
)
def test_a_line_with_a_caret_below_it_is_kept_whole(text, parts):
    assert console_parts(text) == parts
    assert "\n".join(lines for lines, _ in parts) == text


def test_keys_are_told_from_words():
    row = turn(1, (1, 2), (3, 4), ("number 12 please", "Thanks."), pressed=((7, 9),))
    caller = story_of(detail_of((call_row("keys-1"), {"turns": [row]})))[0]
    assert caller.words == (("number ", False), ("12", True), (" please", False))
