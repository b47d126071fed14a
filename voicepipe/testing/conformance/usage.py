"""Whether what an adapter tells of its provider's figures can be true."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any

from attrs import asdict

from voicepipe.components.events import Usage
from voicepipe.testing.conformance.verdicts import Failed

if TYPE_CHECKING:
    from collections.abc import Iterable

ROUNDED_UP_S = 1.0
"""By how much a provider may round up the audio of a request, in s."""

MORE_CHARACTERS = 1.5
"""How many times as many characters as were sent may be charged for: told twice, they would be twice as many."""


def judge_usage(usage: Usage) -> None:
    """Fails unless each figure is a number from 0 on, or None, and one at least is told."""
    figures = asdict(usage)
    if all(figure is None for figure in figures.values()):
        raise Failed("a Usage has no figure: leave it out where the provider tells none")
    for name, figure in figures.items():
        whole = name != "audio_s"
        if figure is not None and not _is_amount(figure, whole=whole):
            raise Failed(f"{name} of a Usage is {figure!r}: a number from 0 on, or None if the provider doesn't tell")


def judge_charge(events: Iterable[Any], *, audio_s: float, requests: int, characters: int | None = None) -> None:
    """Fails if more is charged for than there was: each `Usage` of a stream is what came since the one before.

    Args:
        events: all of a stream.
        audio_s: how much audio was sent or given.
        requests: of how many requests a provider may have rounded the audio up.
        characters: how many were sent; None: none can be.

    """
    told = [event for event in events if isinstance(event, Usage)]
    charged_s = sum(usage.audio_s or 0.0 for usage in told)
    if charged_s > audio_s + ROUNDED_UP_S * requests:
        raise Failed(
            f"its Usage adds up to {charged_s:.1f} s of audio, and there were {audio_s:.1f} s: is it told twice, or "
            "each time for the whole stream?"
        )
    charged = sum(usage.characters or 0 for usage in told)
    if charged > MORE_CHARACTERS * (characters or 0):
        raise Failed(
            f"its Usage adds up to {charged} characters, and {characters or 0} were sent: is it told twice, or each "
            "time for the whole stream?"
        )


def _is_amount(figure: object, *, whole: bool) -> bool:
    if isinstance(figure, bool) or not isinstance(figure, int if whole else int | float):
        return False
    return isfinite(figure) and figure >= 0
