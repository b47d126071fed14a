# ruff: noqa: INP001 - MkDocs finds hooks by their path, they are no package
"""The diagram of turn-taking, drawn from its rules: the phases that each may enter are read off its source."""

from __future__ import annotations

import ast
import inspect
import math
from collections import defaultdict
from html import escape
from typing import TYPE_CHECKING, get_args

from voicepipe.calls.turns.rules import RULES
from voicepipe.calls.turns.state import Phase, TurnState

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FunctionType

PLACES: dict[str, tuple[int, int]] = {
    "asking_consent": (150, 50),
    "awaiting_consent": (750, 50),
    "listening": (150, 300),
    "user_speaking": (450, 190),
    "endpointing": (750, 300),
    "thinking": (750, 540),
    "speaking": (450, 650),
    "interrupted": (450, 420),
    "closing": (150, 540),
    "transferring": (150, 650),
}
"""Where each phase is drawn; a phase that is new in the code has to be given a place."""

EVERYWHERE = {
    "RoleFailed",
    "MaxLengthDue",
    "DrainAsked",
    "WarningDue",
    "KeyPressed",
    "DigitsDue",
    "SayAsked",
    "HangUpAsked",
    "TransferAsked",
}
"""Events that lead to the same phase from nearly everywhere: the page's text says where."""

THE_END: frozenset[Phase] = frozenset({"transferring", "closing"})
"""Phases that are entered from nearly everywhere: the page's text says how."""

WIDE, HIGH = 150, 44
NEAR = 34
"""How far apart the two directions between two phases are drawn."""


def transitions() -> dict[tuple[Phase, Phase], list[str]]:
    """The events that lead from one phase to another, in the table's order; the ways to the end are left out."""
    events: dict[tuple[Phase, Phase], list[str]] = defaultdict(list)
    for (phase, event), rule in RULES.items():
        if event.__name__ not in EVERYWHERE:
            for target in sorted(phases_entered(rule) - {phase, *THE_END}):
                events[phase, target].append(event.__name__)
    return events


def phases_entered(rule: Callable[..., None]) -> set[Phase]:
    """The phases that a rule may enter, by itself or by the functions of turn-taking that it calls.

    Raises:
        ValueError: one of them calls `state.enter` with something else than a phase's name, so it can't be told which.

    """
    phases: set[Phase] = set()
    seen, ahead = set(), [inspect.unwrap(rule)]
    while ahead:
        function = ahead.pop()
        if function in seen:
            continue
        seen.add(function)
        for call in _calls(function):
            if isinstance(call.func, ast.Attribute) and call.func.attr == TurnState.enter.__name__:
                if not isinstance(call.args[0], ast.Constant):
                    raise ValueError(f"{function.__qualname__} enters a phase that is not named there")
                phases.add(call.args[0].value)
            elif isinstance(call.func, ast.Name) and inspect.isfunction(
                called := function.__globals__.get(call.func.id)
            ):
                ahead.append(called)
    return phases


def _calls(function: FunctionType) -> list[ast.Call]:
    """The calls in a function of turn-taking; none in any other function."""
    if not function.__module__.startswith("voicepipe.calls.turns."):
        return []
    return [node for node in ast.walk(ast.parse(inspect.getsource(function))) if isinstance(node, ast.Call)]


def turns_diagram() -> str:
    """The diagram as SVG, to stand in a page as it is."""
    if set(PLACES) != set(get_args(Phase)):
        raise ValueError("PLACES names other phases than `Phase` does: give each a place in the diagram")
    parts = [_arrow(source, target, events) for (source, target), events in transitions().items()]
    parts += [_box(phase) for phase in PLACES]
    return (
        '<div class="turns"><svg class="turns" viewBox="0 0 900 730" role="img" xmlns="http://www.w3.org/2000/svg" '
        'aria-label="Phases of a conversation, and the events that lead from one to another">'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="currentColor"/></marker></defs>'
        f"{''.join(parts)}</svg></div>"
    )


def _box(phase: str) -> str:
    x, y = PLACES[phase]
    return (
        f'<g><rect x="{x - WIDE // 2}" y="{y - HIGH // 2}" width="{WIDE}" height="{HIGH}" rx="10"/>'
        f'<text x="{x}" y="{y + 5}" text-anchor="middle">{phase}</text></g>'
    )


def _arrow(source: str, target: str, events: list[str]) -> str:
    """A curve from one box to another, bent to its right, with its events in the tooltip and their number on it."""
    (x1, y1), (x2, y2) = PLACES[source], PLACES[target]
    length = math.hypot(x2 - x1, y2 - y1)
    across_x, across_y = -(y2 - y1) / length, (x2 - x1) / length
    middle_x, middle_y = (x1 + x2) / 2 + across_x * 2 * NEAR, (y1 + y2) / 2 + across_y * 2 * NEAR
    start = _edge_of(x1, y1, middle_x, middle_y)
    end = _edge_of(x2, y2, middle_x, middle_y)
    label_x, label_y = (x1 + x2) / 2 + across_x * NEAR, (y1 + y2) / 2 + across_y * NEAR
    tooltip = escape(f"{source} to {target}: {', '.join(events)}")
    shown = events[0] if len(events) == 1 else f"{events[0]} +{len(events) - 1}"
    return (
        f'<g class="arrow"><title>{tooltip}</title>'
        f'<path d="M{start[0]:.0f} {start[1]:.0f}Q{middle_x:.0f} {middle_y:.0f} {end[0]:.0f} {end[1]:.0f}" '
        'fill="none" marker-end="url(#tip)"/>'
        f'<text x="{label_x:.0f}" y="{label_y:.0f}" text-anchor="middle">{shown}</text></g>'
    )


def _edge_of(x: float, y: float, to_x: float, to_y: float) -> tuple[float, float]:
    """Where the line from a box's middle to somewhere leaves the box."""
    dx, dy = to_x - x, to_y - y
    scale = min(WIDE / 2 / abs(dx) if dx else math.inf, HIGH / 2 / abs(dy) if dy else math.inf)
    return x + dx * scale, y + dy * scale
