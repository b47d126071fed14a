"""Checks a script beyond its types: each intent, slot, state and response by itself, and then the whole. No I/O."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from voicepipe.adapters.scripted.faults import Fault, check_phrase, check_text, unknown
from voicepipe.adapters.scripted.format import RESULT, slots_in
from voicepipe.adapters.scripted.intent_matching import compile_pattern, repeats_a_repeat, spoken_words
from voicepipe.adapters.scripted.reachability import check_circles, check_expectations, check_gaps
from voicepipe.adapters.scripted.reactions import empty_lists, reactions, texts_in, texts_of
from voicepipe.adapters.scripted.slot_filling import GROUP, may_fill
from voicepipe.components.templates import is_name
from voicepipe.documents import did_you_mean, shown

if TYPE_CHECKING:
    from collections.abc import Collection

    from voicepipe.adapters.scripted.faults import Faults
    from voicepipe.adapters.scripted.format import Intent, Path, Response, Script, State
    from voicepipe.adapters.scripted.reactions import Reaction

KEYS = re.compile(r"[0-9*#A-D]+")
"""A sequence of keys of a telephone."""

SAY_SOMETHING = "a state needs something to say, and to say again"


def check_script(script: Script) -> Faults:
    """Yields all mistakes in a script; a script without any can answer calls."""
    sound = {}
    for name, intent in script.intents.items():
        faults = [*_intent(script, name, intent)]
        yield from faults
        if not faults:
            sound[name] = intent
    yield from _slots(script)
    if script.start not in script.states:
        yield unknown(("start",), script.start, script.states, "state")
    elif script.states[script.start].needs:
        message = "nothing is filled when a call begins, so the start state can't need anything"
        yield Fault(("states", script.start, "needs"), message, "let another state need it, and go there", key=True)
    fillable = {slot for intent in script.intents.values() for slot in may_fill(intent)}
    for name, state in script.states.items():
        yield from _state(script, ("states", name), state, fillable)
    for path in empty_lists(script):
        yield Fault(path, "is an empty list", "remove the key, or say what to do")
    for reaction in reactions(script):
        yield from _reaction(script, reaction, fillable)
    circles = [*check_circles(script)]
    yield from circles or check_gaps(script, fillable)
    yield from check_expectations(script, sound)


def _slots(script: Script) -> Faults:
    for slot, values in script.slots.items():
        path = ("slots", slot)
        if not re.fullmatch(r"\w+", slot):
            yield Fault(path, "can't be used as {slot}", "a slot's name is letters, digits and _", key=True)
        if slot == RESULT:
            yield Fault(path, "is the name of what a tool returned", "choose another", key=True)
        if not values:
            yield Fault(path, "can't be filled: it has no words", "add `what is heard: what to say`")
        for words in values:
            if not spoken_words(words):
                yield Fault((*path, words), "there are no words to hear in this", key=True)


def _intent(script: Script, name: str, intent: Intent) -> Faults:
    path = ("intents", name)
    if not intent.phrases and not intent.patterns:
        yield Fault(path, "can't be heard: it has neither phrases nor patterns", "add `phrases: [...]`", key=True)
    for index, phrase in enumerate(intent.phrases):
        yield from check_phrase(script, (*path, "phrases", index), phrase)
    for index, pattern in enumerate(intent.patterns):
        yield from _pattern(script, (*path, "patterns", index), pattern)
    for index, slot in enumerate(intent.slots):
        if slot not in script.slots:
            yield unknown((*path, "slots", index), slot, script.slots, "slot")


def _pattern(script: Script, path: Path, pattern: str) -> Faults:
    try:
        compile_pattern(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        yield Fault(path, f"is not a regular expression: {error}", "see Python's `re` for what it may hold")
        return
    if repeats_a_repeat(pattern):
        yield Fault(
            path,
            "repeats a group that repeats something itself, which can take longer than any caller waits",
            "repeat one of the two only, or use phrases",
        )
    for group in GROUP.findall(pattern):
        if group in script.slots:
            yield Fault(
                path,
                f"the group {shown(group)} would fill a slot that has words of its own",
                f"name the group otherwise, or add `slots: [{group}]` to the intent and leave the group out",
            )


def _state(script: Script, path: Path, state: State, fillable: Collection[str]) -> Faults:
    if state.say == ():
        yield Fault((*path, "say"), "says nothing", SAY_SOMETHING)
    for where, text in texts_of(path, state):
        if not text.strip():
            yield Fault(where, "says nothing", SAY_SOMETHING)
        yield from check_text(where, text, fillable)
    for slot, instead in state.needs.items():
        where = (*path, "needs", slot)
        if slot not in fillable:
            hint = did_you_mean(slot, sorted(fillable), "slots that are filled")
            yield Fault(where, f"no intent fills the slot {shown(slot)}", hint, key=True)
        if instead not in script.states:
            yield unknown(where, instead, script.states, "state")
    for index, phrase in enumerate(state.expect or ()):
        yield from check_phrase(script, (*path, "expect", index), phrase)
    if state.ends:
        yield from _end(path, state)


def _end(path: Path, state: State) -> Faults:
    """Yields the mistakes in a state that ends the conversation."""
    yield from _target(path, state.transfer)
    if state.hang_up and state.transfer is not None:
        yield Fault((*path, "hang_up"), "a call can't be transferred and hung up", "keep one of the two", key=True)
    for key in ("expect", "on", "dtmf", "otherwise", "silence", "no_transfer", "results", "failed"):
        if getattr(state, key):
            yield Fault((*path, key), "the conversation ends in this state, so nothing follows", "remove it", key=True)


def _target(path: Path, transfer: str | None) -> Faults:
    if transfer is not None and not transfer.strip():
        yield Fault((*path, "transfer"), "names nobody", "give a number or an extension")
    elif transfer is not None and any(is_name(name) for name, _ in slots_in(transfer)):
        hint = "write the number: a caller who chose it could make the agent dial any other"
        yield Fault((*path, "transfer"), "can't be a value of the call", hint)


def _reaction(script: Script, reaction: Reaction, fillable: Collection[str]) -> Faults:
    path, response = reaction.path, reaction.response
    if reaction.kind == "on" and reaction.name not in script.intents:
        yield unknown(path, reaction.name, script.intents, "intent", key=True)
    if reaction.kind == "dtmf" and not KEYS.fullmatch(reaction.name):
        yield Fault(path, f"{shown(reaction.name)} can't be pressed", "keys are 0 to 9, *, # and A to D", key=True)
    if reaction.kind == "no_transfer" and response.transfer is not None:
        hint = "say something, or go elsewhere"
        yield Fault((*path, "transfer"), "stands in for a transfer, so it can't be one", hint, key=True)
    if reaction.kind == "failed" and response.call:
        hint = "say something, or go elsewhere"
        yield Fault((*path, "call"), "stands in for a tool that failed, so it can't call one", hint, key=True)
    yield from _actions(path, response)
    known = {RESULT, *fillable} if reaction.kind == "results" else fillable
    for where, text in texts_in(reaction):
        yield from check_text(where, text, known)
    if response.go is not None and response.go not in script.states:
        yield unknown((*path, "go"), response.go, script.states, "state")
    for index, slot in enumerate(response.forget):
        if slot not in fillable:
            yield unknown((*path, "forget", index), slot, sorted(fillable), "slot")


def _actions(path: Path, response: Response) -> Faults:
    """Yields the mistakes in a response's actions."""
    yield from _target(path, response.transfer)
    actions = ("go", "again", "transfer", "hang_up", "call")
    chosen = [action for action in actions if getattr(response, action) not in (None, False, {})]
    if len(response.call) > 1:
        yield Fault(
            (*path, "call"), "calls several tools", "call one, and the next in response to its result", key=True
        )
    if len(chosen) > 1:
        message = f"`{chosen[0]}` and `{chosen[1]}` exclude each other"
        yield Fault((*path, chosen[1]), message, "keep one of them", key=True)
    if not chosen and not response.say.strip():
        yield Fault(
            path, "says nothing and does nothing", "give it `say`, `go`, `again`, `transfer`, `hang_up` or `call`"
        )
    if response.forget and response.go is None and not response.again:
        message = "what is forgotten here is not asked for again"
        yield Fault((*path, "forget"), message, "add `go` or `again`", key=True)
