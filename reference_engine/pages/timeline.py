"""Lays a call out on one axis: who spoke when, what the caller waited for, tools, transfers and failures. Sans-I/O.

Theory of operation
===================

`timeline_of` turns a call's record into numbers and texts, and the template `timeline.html` draws them as SVG. So every
text is escaped where all texts of pages are, and no style stands in the picture: classes say what a thing is, and the
style sheet has its colour in light and in dark.

Lanes, from the top:

    axis      0:00        0:10        0:20        0:30
    caller       [two tickets]            [no stop]
    wait                      ===                  ==         what the reply waited for, step by step
    agent     [Hello]            [Here are the fir/               / it was interrupted
    work                 [look_up]                            tools and transfers
    marks                               | llm failed: 429     failures and the step after each, steering, the end

A second is at least `LEAST_PX_A_S` wide, so that words can be read, and the whole is `NARROWEST` to `WIDEST`: a call of
5 s fills the page, one of two hours is scrolled. The same bars, without words, make the overview above it, which is
always as wide as the page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen

from reference_engine.pages.call_words import failure_words, one_line, outcome_words, steering_label, steering_words
from reference_engine.pages.filters import length, milliseconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from reference_engine.records.history import CallDetail

    Row = Mapping[str, Any]

LEAST_PX_A_S = 12.0
"""The least width of a second, as long as the whole is not too wide."""

NARROWEST = 1108.0
"""The width of a short call: that of the page on a desktop."""

WIDEST = 40_000.0
"""The greatest width; longer calls have narrower seconds."""

LEAST_S = 4.0
"""The least length of the axis, in s."""

TICK_PX = 80.0
"""The least distance of two ticks of the axis."""

TICKS_S = (0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)
"""The distances of ticks, in s."""

LABEL_ROWS = 3
"""The rows for labels of marks; where all are taken, a mark has none, and its title tells."""

CHAR_PX = 6.4
"""About the width of a character of a label."""

LEAST_CHARS = 3
"""The fewest characters that are written on a bar."""

STEPS: tuple[tuple[str, str, str], ...] = (
    ("final_ms", "transcript", "the final transcript"),
    ("asked_ms", "end-of-turn", "the end of the turn"),
    ("first_token_ms", "model", "the model's first word"),
    ("first_audio_ms", "voice", "the first speech of the voice"),
    ("heard_ms", "line", "the line"),
)
"""The steps of a reply: the timing that ends each, its class and name in the legend, and what was waited for."""


@frozen
class Bar:
    """A span of time in a lane."""

    kind: str
    """Its lane: `caller`, `agent`, `tool`, `transfer`."""
    x: float
    """Where it begins, in px."""
    width: float
    """Its width, in px."""
    row: int
    """The row in its lane, from 0: tools that ran at the same time lie below each other."""
    text: str
    """The words on it."""
    title: str
    """What the pointer shows."""
    bad: bool = False
    """Whether it failed: a tool, or a transfer."""
    cut: bool = False
    """Whether the caller cut it short."""


@frozen
class Step:
    """A part of what the caller waited for."""

    kind: str
    """The step, as in `STEPS`; `nothing`: what it waited for never came."""
    x: float
    """Where it begins, in px."""
    width: float
    """Its width, in px."""
    title: str
    """What the pointer shows."""


@frozen
class Mark:
    """A moment."""

    kind: str
    """`failed`, `retry`, `alternate`, `apology`, `steering`, `key`, `end` or `lost`."""
    x: float
    """Where it is, in px."""
    label: str
    """A few words beside it; empty: there is no room."""
    row: int
    """The row of the label, from 0."""
    before: bool
    """Whether the label stands before it, as behind it the picture ends."""
    title: str
    """What the pointer shows."""


@frozen
class Tick:
    """A moment on the axis."""

    x: float
    """Where it is, in px."""
    label: str
    """The time since the call began."""


@frozen(kw_only=True)
class CallTimeline:
    """A call on one axis, in px."""

    width: float
    """The width of all."""
    px_a_s: float
    """The width of a second."""
    seconds: float
    """The length of the axis, in s."""
    ticks: tuple[Tick, ...]
    """The axis."""
    bars: tuple[Bar, ...]
    """Who spoke, tools and transfers, in order."""
    steps: tuple[Step, ...]
    """What the caller waited for."""
    marks: tuple[Mark, ...]
    """Failures, and other moments."""
    work_rows: int
    """The rows of tools and transfers; 0: there were none."""
    label_rows: int
    """The rows of labels of marks."""
    goes_on: bool
    """Whether the call is up."""
    title: str
    """What it shows, in a sentence."""
    description: str
    """What is in it, in figures: for who does not see it."""

    @property
    def focus(self) -> float:
        """What is looked at first where the whole does not fit, in px.

        It is the first failure, else the first reply that never came, else the end of a call that was lost, else the
        last words of one that is up, else the beginning.
        """
        moments = [mark.x for mark in self.marks if mark.kind == "failed"]
        moments += [step.x for step in self.steps if step.kind == "nothing"]
        moments += [mark.x for mark in self.marks if mark.kind == "lost"]
        if self.goes_on:
            moments.append(max((bar.x + bar.width for bar in self.bars), default=0.0))
        return moments[0] if moments else 0.0

    @property
    def scrolls(self) -> bool:
        """Whether it is wider than a page on a desktop."""
        return self.width > NARROWEST

    @property
    def legend(self) -> tuple[str, ...]:
        """The steps that occur, in order."""
        kinds = {step.kind for step in self.steps}
        return tuple(kind for _, kind, _ in STEPS if kind in kinds) + (("nothing",) if "nothing" in kinds else ())


def timeline_of(detail: CallDetail, *, seconds: float | None = None) -> CallTimeline:
    """Returns the layout of a call.

    Args:
        detail: the call.
        seconds: how long it is up already, in s; None: it is over.

    """
    summary = detail.summary
    known = max([*_moments(detail), summary.duration_s or 0.0, seconds or 0.0, 0.1])
    total = max(known if summary.state == "ended" else known * 1.02, LEAST_S)
    width = min(max(NARROWEST, total * LEAST_PX_A_S), WIDEST)
    scale = width / total
    words = [*_speech(detail.turns, scale)]
    work = [*_work(detail, scale)]
    steps = [step for turn in detail.turns for step in _steps(turn, scale)]
    marks = _placed([*_marks(detail, known, scale)], width)
    return CallTimeline(
        width=_px(width),
        px_a_s=round(scale, 4),
        seconds=round(total, 3),
        ticks=tuple(_ticks(total, scale)),
        bars=(*words, *work),
        steps=tuple(steps),
        marks=marks,
        work_rows=max((bar.row + 1 for bar in work), default=0),
        label_rows=max((mark.row + 1 for mark in marks), default=1),
        goes_on=summary.state == "up",
        title=f"Timeline of {length(known)}",
        description=_description(detail),
    )


def ends_of(turn: Row) -> tuple[float | None, float | None]:
    """Returns when the waiting of a turn began and ended, in s; None: it is not known, or the reply was not heard."""
    timings, said_from = turn["timings"], turn["said_from_s"]
    heard_ms = timings.get("heard_ms")
    if said_from is not None and heard_ms is not None:
        return said_from - heard_ms / 1000, said_from
    return (turn["heard_until_s"] if turn["trigger"] == "utterance" else None), None


def _speech(turns: Iterable[Row], scale: float) -> Iterator[Bar]:
    for turn in turns:
        for kind, words, begins, ends in (
            ("caller", turn["heard"], turn["heard_from_s"], turn["heard_until_s"]),
            ("agent", turn["said"], turn["said_from_s"], turn["said_until_s"]),
        ):
            if begins is None or ends is None:
                continue
            cut = kind == "agent" and bool(turn["interrupted"])
            x, size = _px(begins * scale), _px(max(2.0, (ends - begins) * scale))
            title = f"{length(begins)} to {length(ends)}, {kind}{', cut short by the caller' if cut else ''}: {words}"
            yield Bar(kind, x, size, 0, _fitting(words, size), title, cut=cut)


def _fitting(text: str, width: float) -> str:
    """Returns as much of a text as fits on a bar; empty: not even a word's beginning does."""
    characters = int((width - 8) / CHAR_PX)
    return one_line(text, characters) if characters >= LEAST_CHARS else ""


def _steps(turn: Row, scale: float) -> Iterator[Step]:
    since, heard_at = ends_of(turn)
    if since is None:
        return
    at, timings = 0.0, turn["timings"]
    missing: str | None = None
    for name, kind, words in STEPS:
        ms = timings.get(name)
        if ms is None:
            missing = missing or (words if at or name != "final_ms" else None)
            continue
        if ms > at:
            title = f"{milliseconds(ms - at)} for {words}, turn {turn['turn']}"
            yield Step(kind, _px((since + at / 1000) * scale), _px(max(1.0, (ms - at) / 1000 * scale)), title)
            at = ms
    waited = turn["at_s"] - since - at / 1000
    if heard_at is None and waited > 0 and turn["trigger"] == "utterance":
        title = f"{milliseconds(waited * 1000)} for {missing or 'a reply'} that never came, turn {turn['turn']}"
        yield Step("nothing", _px((since + at / 1000) * scale), _px(max(1.0, waited * scale)), title)


def _work(detail: CallDetail, scale: float) -> Iterator[Bar]:
    parts = [
        *(("tool", tool["name"], not tool["ok"], tool["result"], tool) for tool in detail.tools),
        *(("transfer", f"to {row['target']}", bool(row["failure"]), row["failure"], row) for row in detail.transfers),
    ]
    ends: list[float] = []  # of the last bar of each row
    for kind, name, bad, result, part in sorted(parts, key=lambda part: part[-1]["at_s"] - part[-1]["seconds"]):
        begins = max(0.0, part["at_s"] - part["seconds"])
        row = next((row for row, end in enumerate(ends) if end <= begins), len(ends))
        ends[row : row + 1] = [part["at_s"]]
        size = _px(max(3.0, part["seconds"] * scale))
        title = f"{kind} {name}, {milliseconds(part['seconds'] * 1000)}{', failed' if bad else ''}: {result}"
        yield Bar(kind, _px(begins * scale), size, row, _fitting(name, size), title.rstrip(": "), bad=bad)


def _marks(detail: CallDetail, total: float, scale: float) -> Iterator[Mark]:
    for row in detail.failures:
        words = failure_words(row)
        label = {
            "failed": f"{row['role']} {row['component']} failed",
            "retry": f"again: {row['component']}",
            "alternate": f"then: {row['component']}",
        }.get(row["what"], row["what"])
        yield Mark(row["what"], _px(row["at_s"] * scale), label, 0, False, f"{length(row['at_s'])} {words}")
    for row in detail.steering:
        words = steering_words(row)
        yield Mark(
            "steering", _px(row["at_s"] * scale), steering_label(row), 0, False, f"{length(row['at_s'])} {words}"
        )
    for turn in detail.turns:
        if turn["pressed"] and turn["heard_from_s"] is None and (since := ends_of(turn)[0]) is not None:
            keys = " ".join(turn["heard"][begin:end] for begin, end in turn["pressed"])
            yield Mark("key", _px(since * scale), f"key {keys}", 0, False, f"{length(since)} the caller pressed {keys}")
    state, words = detail.summary.state, outcome_words(detail.summary)
    if state != "up":
        yield Mark(
            "end" if state == "ended" else "lost", _px(total * scale), words, 0, False, f"{length(total)} {words}"
        )


def _placed(marks: Sequence[Mark], width: float) -> tuple[Mark, ...]:
    """Gives each mark the first row in which its label fits; failures choose first."""
    rows: list[list[tuple[float, float]]] = []
    placed: list[Mark] = []
    urgent = {"failed": 0, "lost": 0, "end": 1, "apology": 1, "alternate": 2}
    for mark in sorted(marks, key=lambda mark: (urgent.get(mark.kind, 3), mark.x)):
        label = one_line(mark.label, 36)
        size = len(label) * CHAR_PX + 12
        before = mark.x + size > width and mark.x >= size
        span = (mark.x - size, mark.x) if before else (mark.x, mark.x + size)
        row = next((row for row, taken in enumerate(rows) if all(_apart(span, other) for other in taken)), len(rows))
        if row >= LABEL_ROWS:
            placed.append(Mark(mark.kind, mark.x, "", 0, before, mark.title))
            continue
        rows[row:] = [[*rows[row], span] if row < len(rows) else [span], *rows[row + 1 :]]
        placed.append(Mark(mark.kind, mark.x, label, row, before, mark.title))
    return tuple(sorted(placed, key=lambda mark: mark.x))


def _apart(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one[1] < other[0] or other[1] < one[0]


def _ticks(total: float, scale: float) -> Iterator[Tick]:
    step = next((step for step in TICKS_S if step * scale >= TICK_PX), TICKS_S[-1])
    for number in range(int(total / step) + 1):
        at = number * step
        label = f"{at:.1f}" if step < 1 else length(at)
        if number == 0 or (total - at) * scale > CHAR_PX * len(label) / 2:
            yield Tick(_px(at * scale), label)


def _moments(detail: CallDetail) -> Iterator[float]:
    for rows in (detail.turns, detail.tools, detail.failures, detail.steering, detail.transfers):
        for row in rows:
            yield row["at_s"]


def _description(detail: CallDetail) -> str:
    failed = sum(row["what"] == "failed" for row in detail.failures)
    counts = {
        "turn": len(detail.turns),
        "interruption": detail.interruptions,
        "tool call": len(detail.tools),
        "transfer": len(detail.transfers),
        "failure": failed,
    }
    parts = [f"{number} {noun}{'' if number == 1 else 's'}" for noun, number in counts.items() if number]
    what = ", ".join(parts) or "nothing that was said"
    return f"{what}. {outcome_words(detail.summary).capitalize()}. The list below has the same in words."


def _px(value: float) -> float:
    return round(value, 1)
