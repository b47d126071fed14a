"""Mistakes in a script and in its texts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias

from attrs import frozen

from voicepipe.adapters.scripted.format import SLOT, Path, count_expansions, slots_in
from voicepipe.adapters.scripted.intent_matching import spoken_words
from voicepipe.documents import did_you_mean, shown

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from voicepipe.adapters.scripted.format import Script

MAX_PHRASES = 1000
"""How many phrases one with slots may stand for."""


Faults: TypeAlias = "Iterator[Fault]"


@frozen
class Fault:
    """One thing that is wrong."""

    path: Path
    """Where."""
    message: str
    """What."""
    hint: str = ""
    """What to do about it."""
    key: bool = False
    """Whether it is the key that is wrong, rather than its value."""


def unknown(path: Path, name: str, known: Collection[str], what: str, *, key: bool = False) -> Fault:
    """A name that leads nowhere, with a guess at what was meant."""
    return Fault(path, f"there is no {what} {shown(name)}", did_you_mean(name, known, f"{what}s"), key)


def check_heard(script: Script, path: Path, template: str) -> Faults:
    """The mistakes in a phrase to recognise."""
    if _has_stray_brace(template):
        yield Fault(path, "has a brace that belongs to no {slot}", "braces are for slots only")
    elif not spoken_words(template):
        yield Fault(path, "there are no words to hear in this")
    known = True
    for slot, has_default in slots_in(template):
        if slot not in script.slots:
            known = False
            yield unknown(path, slot, script.slots, "slot")
        elif has_default:
            yield Fault(path, f"words for a missing {shown(slot)} are no use in what is heard", f"write {{{slot}}}")
    if known and (count := count_expansions(template, script.slots)) > MAX_PHRASES:
        yield Fault(path, f"stands for {count:,} phrases, more than {MAX_PHRASES:,}", "use fewer slots in one phrase")


def check_said(path: Path, template: str, fillable: Collection[str]) -> Faults:
    """The mistakes in a text to speak."""
    if _has_stray_brace(template):
        yield Fault(path, "has a brace that belongs to no {slot}", "braces are for slots only: {slot}, {slot|words}")
    for slot, _ in slots_in(template):
        if slot not in fillable:
            yield Fault(path, f"no intent fills the slot {shown(slot)}", did_you_mean(slot, sorted(fillable), "filled"))


def _has_stray_brace(template: str) -> bool:
    return re.search(r"[{}]", SLOT.sub("", template)) is not None
