"""Checks that the figures in an adapter's `Usage` are plausible."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any

from attrs import asdict

from voicepipe.components.events import Usage
from voicepipe.testing.conformance.verdicts import Failed

if TYPE_CHECKING:
    from collections.abc import Iterable

ROUNDED_UP_S = 1.0
"""The most that a provider may round up the audio of a request, in s."""

MORE_CHARACTERS = 1.5
"""The most characters that may be charged for, as a multiple of those sent; reported twice, it would be 2."""


def judge_usage(usage: Usage) -> None:
    """Fails unless each figure is a number from 0 on, or None, and at least one is a number."""
    figures = asdict(usage)
    if all(figure is None for figure in figures.values()):
        raise Failed("a Usage has no figure: leave it out where the provider tells none")
    for name, figure in figures.items():
        whole = name != "audio_s"
        if figure is not None and not _is_amount(figure, whole=whole):
            raise Failed(f"{name} of a Usage is {figure!r}: a number from 0 on, or None if the provider doesn't tell")


def judge_charge(events: Iterable[Any], *, audio_s: float, requests: int, characters: int | None = None) -> None:
    """Fails if a stream is charged for more than was sent; each `Usage` covers what came since the one before.

    Args:
        events: all events of the stream.
        audio_s: the audio that was sent or received, in s.
        requests: the number of requests, whose audio a provider may have rounded up.
        characters: the characters that were sent; None: none.

    """
    usages = [event for event in events if isinstance(event, Usage)]
    charged_s = sum(usage.audio_s or 0.0 for usage in usages)
    if charged_s > audio_s + ROUNDED_UP_S * requests:
        raise Failed(
            f"its Usage adds up to {charged_s:.1f} s of audio, and there were {audio_s:.1f} s: is it told twice, or "
            "each time for the whole stream?"
        )
    charged = sum(usage.characters or 0 for usage in usages)
    if charged > MORE_CHARACTERS * (characters or 0):
        raise Failed(
            f"its Usage adds up to {charged} characters, and {characters or 0} were sent: is it told twice, or each "
            "time for the whole stream?"
        )


def _is_amount(figure: object, *, whole: bool) -> bool:
    if isinstance(figure, bool) or not isinstance(figure, int if whole else int | float):
        return False
    return isfinite(figure) and figure >= 0
