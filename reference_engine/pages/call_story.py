"""Tells a call as a list in the order of time: words, keys, tools, failures, transfers, steering. Sans-I/O.

It is the text beside the timeline: whatever is drawn is written here too, and each line knows its span of the
recording, by which the player marks it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen

from reference_engine.pages.call_words import TRIGGERS, failure_words, outcome_words, steering_words
from reference_engine.pages.filters import milliseconds
from reference_engine.pages.timeline import ends_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from reference_engine.records.history import CallDetail

    Row = Mapping[str, Any]


@frozen(kw_only=True)
class StoryLine:
    """One thing that happened."""

    at_s: float
    """When it began, in s since the call began."""
    until_s: float
    """When it ended."""
    kind: str
    """What it is: `caller`, `agent`, `tool`, `transfer`, `steering`, `end`, or the `what` of a failure."""
    who: str
    """Who or what did it."""
    words: tuple[tuple[str, bool], ...] = ()
    """The words in pieces, each with whether it was keyed in."""
    note: str = ""
    """More about it."""
    bad: bool = False
    """Whether it went wrong."""


def story_of(detail: CallDetail) -> tuple[StoryLine, ...]:
    """Returns what happened in a call, in order."""
    lines = [line for turn in detail.turns for line in _turn(turn)]
    lines += [
        StoryLine(
            at_s=max(0.0, tool["at_s"] - tool["seconds"]),
            until_s=tool["at_s"],
            kind="tool",
            who=tool["name"],
            words=((tool["result"], False),),
            note=f"tool, {milliseconds(tool['seconds'] * 1000)}{'' if tool['ok'] else ', failed'}",
            bad=not tool["ok"],
        )
        for tool in detail.tools
    ]
    lines += [
        StoryLine(
            at_s=max(0.0, row["at_s"] - row["seconds"]),
            until_s=row["at_s"],
            kind="transfer",
            who="transfer",
            words=((f"to {row['target']}{': ' if row['failure'] else ''}{row['failure']}", False),),
            note=milliseconds(row["seconds"] * 1000),
            bad=bool(row["failure"]),
        )
        for row in detail.transfers
    ]
    lines += [
        StoryLine(
            at_s=row["at_s"],
            until_s=row["at_s"],
            kind=row["what"],
            who=row["role"],
            words=((failure_words(row), False),),
            note=row.get("hint", ""),
            bad=row["what"] in {"failed", "apology"},
        )
        for row in detail.failures
    ]
    lines += [
        StoryLine(
            at_s=row["at_s"],
            until_s=row["at_s"],
            kind="steering",
            who=row["by"],
            words=((steering_words(row), False),),
        )
        for row in detail.steering
    ]
    lines.sort(key=lambda line: (line.at_s, line.kind != "caller"))
    summary = detail.summary
    if summary.state != "up":
        ends = (
            summary.duration_s if summary.duration_s is not None else max((line.until_s for line in lines), default=0.0)
        )
        words = ((outcome_words(summary), False),)
        lines.append(
            StoryLine(at_s=ends, until_s=ends, kind="end", who="end", words=words, bad=summary.state == "lost")
        )
    return tuple(lines)


def _turn(turn: Row) -> Iterator[StoryLine]:
    waits_from, _ = ends_of(turn)
    if turn["heard"]:
        begins = turn["heard_from_s"] if turn["heard_from_s"] is not None else waits_from
        begins = turn["at_s"] if begins is None else begins
        ends = turn["heard_until_s"] if turn["heard_until_s"] is not None else begins
        yield StoryLine(
            at_s=begins, until_s=ends, kind="caller", who="caller", words=_pieces(turn["heard"], turn["pressed"])
        )
    notes = []
    if turn["trigger"] != "utterance":
        by_itself = turn["trigger"] == "announcement"
        notes.append("announcement" if by_itself else f"on {TRIGGERS.get(turn['trigger'], turn['trigger'])}")
    if turn["response_ms"] is not None:
        notes.append(f"answered after {milliseconds(turn['response_ms'])}")
    if turn["interrupted"]:
        notes.append("cut short by the caller")
    if turn["said_from_s"] is not None:
        yield StoryLine(
            at_s=turn["said_from_s"],
            until_s=turn["said_until_s"] or turn["said_from_s"],
            kind="agent",
            who="agent",
            words=((turn["said"], False),),
            note=", ".join(notes),
        )
    elif turn["trigger"] == "utterance" and waits_from is not None:
        yield StoryLine(
            at_s=waits_from,
            until_s=turn["at_s"],
            kind="agent",
            who="agent",
            note=f"no reply was heard: {milliseconds((turn['at_s'] - waits_from) * 1000)} until the turn was over",
            bad=True,
        )


def _pieces(heard: str, pressed: list[list[int]]) -> tuple[tuple[str, bool], ...]:
    """Returns what a caller said and pressed, in pieces."""
    pieces, done = [], 0
    for begin, end in pressed:
        pieces += [(heard[done:begin], False), (heard[begin:end], True)]
        done = end
    return tuple(piece for piece in (*pieces, (heard[done:], False)) if piece[0])
