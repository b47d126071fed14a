"""The pure rules of turn-taking, a module for each topic; importing this package fills the table.

- `answering`: the beginning of a call; `consent`: whether it may be recorded
- `end_of_turn`: when the caller has finished (endpointing)
- `preemptive`: replies that are prepared before that is certain
- `barge_in`: what the caller says over a reply
- `replying`: how replies begin, are retracted, and end
- `idle`: silence, and noise without words
- `keys`: DTMF
- `tools`: tools that run while the conversation goes on
- `program_requests`: what the program has said, tells the model, and ends
- `transferring`: from the agent's last words to the end of the call, or back
- `ending`: what ends a call; `closing`: its last words
- `transcripts`: what a transcript says about the caller's turn, for the other modules
- `every_phase`: what each event records, whatever the phase
"""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from voicepipe.calls.turns.events import Event
from voicepipe.calls.turns.rules import (  # noqa: F401 - importing them registers their rules
    answering,
    barge_in,
    closing,
    consent,
    end_of_turn,
    ending,
    every_phase,
    idle,
    keys,
    preemptive,
    program_requests,
    replying,
    tools,
    transferring,
)
from voicepipe.calls.turns.state import Phase
from voicepipe.calls.turns.table import BY_PHASE, Rule

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["RULES", "rules_table"]

RULES: Mapping[tuple[Phase, type[Event]], Rule] = {
    (phase, event): BY_PHASE[phase, event]
    for phase in get_args(Phase)
    for event in get_args(Event)
    if (phase, event) in BY_PHASE
}
"""The rule for each event in each phase, in the order of `Phase` and `Event`."""


def rules_table() -> str:
    """The rules as a table in Markdown, a row for each phase and event; the documentation is made from it."""
    rows = ["| while | when | then |", "| --- | --- | --- |"]
    for (phase, event), rule in RULES.items():
        when = (event.__doc__ or "").split("\n", 1)[0].removesuffix(".")
        then = (rule.__doc__ or "").split("\n", 1)[0]
        rows.append(f"| `{phase}` | `{event.__name__}`: {when} | {then} |")
    return "\n".join(rows)
