"""Checks of a whole script: circles of states, slots that may be missing, expected phrases without a response."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voicepipe.adapters.scripted.faults import Fault, check_heard
from voicepipe.adapters.scripted.format import expand, slots_in
from voicepipe.adapters.scripted.intent_matching import IntentMatcher, spoken_words
from voicepipe.adapters.scripted.reactions import reactions, reactions_in, texts_in, texts_of
from voicepipe.adapters.scripted.slot_filling import Filling
from voicepipe.documents import shown

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from voicepipe.adapters.scripted.faults import Faults
    from voicepipe.adapters.scripted.format import Intent, Script


def check_circles(script: Script) -> Faults:
    """States that would send a call round in a circle for what it lacks; each circle once."""
    reported: set[str] = set()
    for name, state in script.states.items():
        for slot, instead in state.needs.items():
            seen, ahead = set(), [instead]
            while ahead:
                if (at := ahead.pop()) not in seen and at in script.states:
                    seen.add(at)
                    ahead.extend(script.states[at].needs.values())
            if name in seen and not reported & seen:
                reported |= seen
                message = f"a call without {shown(slot)} would come back to {shown(name)} without being asked for it"
                yield Fault(("states", name, "needs", slot), message, "a state that asks for a slot can't need it")


def check_gaps(script: Script, fillable: Collection[str]) -> Faults:
    """Slots in replies that may be missing when the reply is said."""
    filling = Filling(script)
    said = [
        (where, text, filling.states[name])
        for name, state in script.states.items()
        if name in filling.states
        for where, text in texts_of(("states", name), state)
    ]
    said += [
        (where, text, filling.responses[reaction.path])
        for reaction in reactions(script)
        if reaction.path in filling.responses
        for where, text in texts_in(reaction)
    ]
    for path, text, filled in said:
        for slot, has_default in dict.fromkeys(slots_in(text)):
            if slot in fillable and slot not in filled and not has_default:
                yield Fault(
                    path,
                    f"the slot {shown(slot)} may be missing here",
                    f"write {{{slot}|what to say then}}, or make the state need it",
                )


def check_expectations(script: Script, sound: Mapping[str, Intent]) -> Faults:
    """Phrases that the recogniser is told to expect where nothing is done about them."""
    heard = {name: IntentMatcher(intent, script.slots) for name, intent in sound.items()}
    for name, state in script.states.items():
        intents = {reaction.name for reaction in reactions_in(script, name) if reaction.kind == "on"}
        if not intents <= heard.keys():
            continue
        for index, template in enumerate(state.expect or ()):
            path = ("states", name, "expect", index)
            if any(check_heard(script, path, template)):
                continue
            for phrase in expand(template, script.slots):
                if not any(heard[intent].length(spoken_words(phrase)) for intent in intents):
                    message = f"{shown(phrase)} is expected, but nothing is done about it in this state"
                    yield Fault(path, message, "add it to the phrases of an intent that stands under `on`")
                    break
