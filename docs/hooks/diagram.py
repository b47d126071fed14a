# ruff: noqa: INP001 - MkDocs finds hooks by their path, they are no package
"""The diagram of turn-taking, drawn from its rules: where each event leads, read off what its rule does."""

from __future__ import annotations

import ast
import inspect
import math
import textwrap
from collections import defaultdict
from html import escape
from typing import get_args

from voicepipe.calls.turns import rules as turns
from voicepipe.calls.turns import state as floor
from voicepipe.calls.turns.state import State

PLACES: dict[str, tuple[int, int]] = {
    "listening": (150, 190),
    "user_speaking": (450, 80),
    "endpointing": (750, 190),
    "thinking": (750, 430),
    "speaking": (450, 540),
    "interrupted": (450, 310),
    "closing": (150, 430),
}
"""Where each state is drawn; a state that is new in the code has to be given a place."""

EVERYWHERE = {"Failed", "MaxLengthDue", "DrainAsked", "WarningDue", "KeyPressed", "DigitsDue"}
"""Events that mean the same in nearly every state: the text says what."""

WIDE, HIGH = 150, 44
NEAR = 34
"""How far the two directions between two states are drawn apart."""


def transitions() -> dict[tuple[State, State], list[str]]:
    """From state to state, and the events that lead there, in the table's order; every state leads to `closing`."""
    found: dict[tuple[State, State], list[str]] = defaultdict(list)
    leads_to = _leads_to()
    for (state, event), rule in turns.RULES.items():
        if event.__name__ not in EVERYWHERE:
            for target in sorted(leads_to[rule.__name__] - {state, "closing"}):
                found[state, target].append(event.__name__)
    return found


def _leads_to() -> dict[str, set[State]]:
    """By method, the states that it may enter, by itself or through the steps that it calls."""
    methods = {}
    for cls in (floor.Floor, turns.TurnTaking):
        tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
        methods |= {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    direct: dict[str, set[State]] = {name: set() for name in methods}
    calls: dict[str, set[str]] = {name: set() for name in methods}
    for name, node in methods.items():
        for call in (inner for inner in ast.walk(node) if isinstance(inner, ast.Call)):
            if not isinstance(call.func, ast.Attribute):
                continue
            if call.func.attr == "_enter" and isinstance(call.args[0], ast.Constant):
                direct[name].add(call.args[0].value)
            elif call.func.attr in methods:
                calls[name].add(call.func.attr)
    for _ in methods:  # as often as calls can be nested
        for name, called in calls.items():
            direct[name] |= {state for one in called for state in direct[one]}
    return direct


def turns_diagram() -> str:
    """The diagram as SVG, to stand in a page as it is."""
    if set(PLACES) != set(get_args(State)):
        raise ValueError("a state has no place in the diagram, or is no state any more")
    parts = [_arrow(source, target, events) for (source, target), events in transitions().items()]
    parts += [_box(state) for state in PLACES]
    return (
        '<svg class="turns" viewBox="0 0 900 620" role="img" xmlns="http://www.w3.org/2000/svg" '
        'aria-label="States of a conversation, and the events that lead from one to another">'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="currentColor"/></marker></defs>'
        f"{''.join(parts)}</svg>"
    )


def _box(state: str) -> str:
    x, y = PLACES[state]
    return (
        f'<g><rect x="{x - WIDE // 2}" y="{y - HIGH // 2}" width="{WIDE}" height="{HIGH}" rx="10"/>'
        f'<text x="{x}" y="{y + 5}" text-anchor="middle">{state}</text></g>'
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
    said = escape(f"{source} to {target}: {', '.join(events)}")
    shown = events[0] if len(events) == 1 else f"{events[0]} +{len(events) - 1}"
    return (
        f'<g class="arrow"><title>{said}</title>'
        f'<path d="M{start[0]:.0f} {start[1]:.0f}Q{middle_x:.0f} {middle_y:.0f} {end[0]:.0f} {end[1]:.0f}" '
        'fill="none" marker-end="url(#tip)"/>'
        f'<text x="{label_x:.0f}" y="{label_y:.0f}" text-anchor="middle">{shown}</text></g>'
    )


def _edge_of(x: float, y: float, to_x: float, to_y: float) -> tuple[float, float]:
    """Where the line from a box's middle to somewhere leaves the box."""
    dx, dy = to_x - x, to_y - y
    scale = min(WIDE / 2 / abs(dx) if dx else math.inf, HIGH / 2 / abs(dy) if dy else math.inf)
    return x + dx * scale, y + dy * scale
