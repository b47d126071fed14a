"""Checks of a whole script: circles of states, slots that may be missing, expected phrases without a response."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voicepipe.adapters.scripted.faults import Fault, check_phrase
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
    """Yields a fault for each circle of states whose `needs` lead from one to the next."""
    reported: set[str] = set()
    for name, state in script.states.items():
        for slot, instead in state.needs.items():
            reached, pending = set(), [instead]
            while pending:
                if (target := pending.pop()) not in reached and target in script.states:
                    reached.add(target)
                    pending.extend(script.states[target].needs.values())
            if name in reached and not reported & reached:
                reported |= reached
                message = f"a call without {shown(slot)} would come back to {shown(name)} without being asked for it"
                yield Fault(("states", name, "needs", slot), message, "a state that asks for a slot can't need it")


def check_gaps(script: Script, fillable: Collection[str]) -> Faults:
    """Yields a fault for each slot in a text that may be empty when the text is spoken."""
    filling = Filling(script)
    texts = [
        (path, text, filling.states[name])
        for name, state in script.states.items()
        if name in filling.states
        for path, text in texts_of(("states", name), state)
    ]
    texts += [
        (path, text, filling.responses[reaction.path])
        for reaction in reactions(script)
        if reaction.path in filling.responses
        for path, text in texts_in(reaction)
    ]
    for path, text, filled in texts:
        for slot, has_default in dict.fromkeys(slots_in(text)):
            if slot in fillable and slot not in filled and not has_default:
                yield Fault(
                    path,
                    f"the slot {shown(slot)} may be missing here",
                    f"write {{{slot}|what to say then}}, or make the state need it",
                )


def check_expectations(script: Script, sound: Mapping[str, Intent]) -> Faults:
    """Yields a fault for each expected phrase to which a state has no response; `sound` has the correct intents."""
    matchers = {name: IntentMatcher(intent, script.slots) for name, intent in sound.items()}
    for name, state in script.states.items():
        intents = {reaction.name for reaction in reactions_in(script, name) if reaction.kind == "on"}
        if not intents <= matchers.keys():
            continue
        for index, template in enumerate(state.expect or ()):
            path = ("states", name, "expect", index)
            if any(check_phrase(script, path, template)):
                continue
            for phrase in expand(template, script.slots):
                if not any(matchers[intent].length(spoken_words(phrase)) for intent in intents):
                    message = f"{shown(phrase)} is expected, but nothing is done about it in this state"
                    yield Fault(path, message, "add it to the phrases of an intent that stands under `on`")
                    break
