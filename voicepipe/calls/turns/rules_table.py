"""The rules of turn-taking in words."""

from __future__ import annotations

from voicepipe.calls.turns.rules import RULES


def rules_table() -> str:
    """The table of rules in Markdown, a row for each state and event, as the documentation shows it."""
    rows = ["| while | when | then |", "| --- | --- | --- |"]
    for (state, event), rule in RULES.items():
        when = (event.__doc__ or "").split("\n", 1)[0].removesuffix(".")
        then = (rule.__doc__ or "").split("\n", 1)[0]
        rows.append(f"| `{state}` | `{event.__name__}`: {when} | {then} |")
    return "\n".join(rows)
