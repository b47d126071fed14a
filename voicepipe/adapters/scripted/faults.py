"""Mistakes in a script, and the checks of its texts. No I/O."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias

from attrs import frozen

from voicepipe.adapters.scripted.format import SLOT, Path, count_expansions, slots_in
from voicepipe.adapters.scripted.intent_matching import spoken_words
from voicepipe.components.templates import NAMES, is_name
from voicepipe.documents import did_you_mean, shown

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from voicepipe.adapters.scripted.format import Script

MAX_PHRASES = 1000
"""The most phrases that a phrase with slots may stand for."""

Faults: TypeAlias = "Iterator[Fault]"


@frozen
class Fault:
    """A mistake in a script."""

    path: Path
    """The place of the mistake."""
    message: str
    """A description of the mistake."""
    hint: str = ""
    """A way to correct it."""
    key: bool = False
    """Whether the mistake is in the key, rather than in its value."""


def unknown(path: Path, name: str, known: Collection[str], kind: str, *, key: bool = False) -> Fault:
    """Returns the fault of an unknown name of a kind, such as `state`, with a hint at similar known names."""
    return Fault(path, f"there is no {kind} {shown(name)}", did_you_mean(name, known, f"{kind}s"), key)


def check_phrase(script: Script, path: Path, template: str) -> Faults:
    """Yields the mistakes in a phrase to recognise."""
    if _has_stray_brace(template):
        yield Fault(path, "has a brace that belongs to no {slot}", "braces are for slots only")
    elif not spoken_words(template):
        yield Fault(path, "there are no words to hear in this")
    slots_exist = True
    for slot, has_default in slots_in(template):
        if slot not in script.slots:
            slots_exist = False
            yield unknown(path, slot, script.slots, "slot")
        elif has_default:
            yield Fault(path, f"words for a missing {shown(slot)} are no use in what is heard", f"write {{{slot}}}")
    if slots_exist and (count := count_expansions(template, script.slots)) > MAX_PHRASES:
        yield Fault(path, f"stands for {count:,} phrases, more than {MAX_PHRASES:,}", "use fewer slots in one phrase")


def check_text(path: Path, template: str, fillable: Collection[str]) -> Faults:
    """Yields the mistakes in a text to speak; `fillable` has the slots that intents fill."""
    if _has_stray_brace(template):
        yield Fault(path, "has a brace that belongs to no {slot}", "braces are for slots only: {slot}, {slot|words}")
    for slot, _ in slots_in(template):
        if slot not in fillable and not is_name(slot):
            hint = did_you_mean(slot, [*sorted(fillable), *NAMES, "variables.NAME"], "filled")
            yield Fault(path, f"no intent fills the slot {shown(slot)}", hint)


def _has_stray_brace(template: str) -> bool:
    return re.search(r"[{}]", SLOT.sub("", template)) is not None
