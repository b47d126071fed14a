"""Answers from a script: a call's state and a trigger give a reply and the next state."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from attrs import evolve, field, frozen

from voicepipe.adapters.scripted.format import RESULT, Response, Script, State, expand, fill, in_turn, slots_in
from voicepipe.adapters.scripted.intent_matching import IntentMatcher, spoken_words
from voicepipe.adapters.scripted.slot_filling import may_fill
from voicepipe.components.requests import CallStarted, Dtmf, Listen, Silence, Told, ToolCall, ToolResults, Utterance

if TYPE_CHECKING:
    from voicepipe.components.requests import Trigger

SENTENCE_END = re.compile(r"(?<=[.!?…。！？])\s+")  # noqa: RUF001 - the full-width marks of Chinese and Japanese
"""The ends of sentences, at which a reply's text is cut into pieces."""

NO_VALUES: Mapping[str, str] = MappingProxyType({})
"""The values of a call of which nothing is known."""

ENDING_IDS = ("hang_up-", "transfer-")
"""The beginnings of the ids of tool calls by which a script ends the call."""

SAY_RESULT = Response(say=f"{{{RESULT}}}")
"""The response to a result for which the script has none: the result itself is spoken."""


@frozen
class DialogueState:
    """The progress of a call in a script; the call keeps it between replies."""

    script: str
    """The script's digest; progress in another script does not count."""
    state: str
    """The name of the present state."""
    slots: Mapping[str, str] = field(factory=dict)
    """The values of the filled slots, as they are spoken."""
    times_said: Mapping[str, int] = field(factory=dict)
    """The number of times that each state has spoken its text."""
    misses: int = 0
    """The number of times in a row that the caller was not understood in this state."""
    transferring: bool = False
    """Whether the last reply transferred the call."""
    called: tuple[str, ...] = ()
    """The names of the tools that were called so far, in order."""


@frozen
class ScriptedReply:
    """A reply: its text, its actions, and the progress that holds once it is heard."""

    text: tuple[str, ...]
    """The sentences, with the spaces between them; empty: nothing is spoken."""
    transfer: str | None
    """The target to transfer the call to after the text."""
    hang_up: bool
    """Whether to end the call after the text."""
    call: ToolCall | None
    """The tool to call."""
    progress: DialogueState
    """The progress of the call after this reply."""
    listen: Listen | None
    """The phrases to recognise from now on; None: as before."""


class Dialogue:
    """A script that is prepared for answering; it keeps nothing of any call.

    Args:
        script: a script in which `check_script` finds no mistakes.
        digest: the digest of its text.

    """

    def __init__(self, script: Script, digest: str) -> None:
        self._script, self._digest = script, digest
        self._matchers = {name: IntentMatcher(intent, script.slots) for name, intent in script.intents.items()}
        self._first = DialogueState(digest, script.start, times_said={script.start: 1})
        self._responses = {name: self._responses_in(state) for name, state in script.states.items()}
        self._listen = {name: self._expected(name) for name in script.states}
        self._own_slots = frozenset(slot for intent in script.intents.values() for slot in may_fill(intent))

    def answer(  # noqa: C901 - a case for each trigger
        self,
        trigger: Trigger,
        state: Any = None,
        tools: Collection[str] = ("hang_up", "transfer"),
        words_before: str = "",
        *,
        values: Mapping[str, str] = NO_VALUES,
        spoken_values: Mapping[str, str] = NO_VALUES,
    ) -> ScriptedReply:
        """Returns the reply to an event of the call.

        Args:
            trigger: the event.
            state: the `progress` of the call's last reply. Anything else, such as another model's state or None,
                stands for a call that has just entered the start state.
            tools: the tools that the call offers. Without `transfer`, a transfer is replaced by `no_transfer`; without
                `hang_up`, the goodbye is spoken and the call goes on; without another tool, its call is replaced by
                `failed`.
            words_before: the words that the caller said before the keys of a `Dtmf`.
            values: the call's values by name, for the arguments of tools.
            spoken_values: the values as they are said, for texts.

        """
        is_own = isinstance(state, DialogueState) and state.script == self._digest
        progress: DialogueState = state if is_own else self._first
        turn = _ScriptedTurn(self._script, evolve(progress, transferring=False), tools, self._own_slots)
        turn.values, turn.spoken_values = values, spoken_values
        match trigger:
            case CallStarted():
                turn.progress = DialogueState(self._digest, self._script.start)
                turn.enter(self._script.start)
            case Utterance(text=text):
                turn.react(*self._understand(spoken_words(text), turn.progress))
            case Dtmf(digits=digits):
                response = self._keys(turn.state).get(digits)
                turn.react(
                    *((response, {}) if response else self._understand_keys(words_before, digits, turn.progress))
                )
            case Silence(count=count):
                turn.respond(in_turn(turn.state.silence or self._script.anywhere.silence, count))
            case Told(transfer=target):
                if not target:  # a script has no words for a fact: the next reply is as if nothing had been told
                    return ScriptedReply((), None, False, None, progress, None)
                turn.respond(turn.no_transfer)
            case ToolResults() if progress.transferring:
                turn.respond(turn.no_transfer)
            case ToolResults(results=results, failed=failed):
                tools_by_id = {_call_id(index, tool): tool for index, tool in enumerate(progress.called)}
                own = [call_id for call_id in results if call_id in tools_by_id]
                if not own and all(call_id.startswith(ENDING_IDS) for call_id in results):
                    return ScriptedReply((), None, False, None, progress, None)
                if own:
                    turn.take_result(tools_by_id[own[-1]], results[own[-1]], failed=own[-1] in failed)
                else:  # another model called them, and has failed since: the caller waits for a word
                    turn.react(None, {})
        return turn.reply(self._listen)

    def _responses_in(self, state: State) -> Mapping[str, Response]:
        """The responses in a state, by intent: its own before those of `anywhere`, as ties go to the first."""
        others = self._script.anywhere.on.items()
        return {**state.on, **{intent: response for intent, response in others if intent not in state.on}}

    def _understand(self, words: str, progress: DialogueState) -> tuple[Response | None, dict[str, str]]:
        """The present state's response to these words, or None, and the slots that they fill."""
        responses = self._responses[progress.state]
        lengths = {intent: self._matchers[intent].length(words) for intent in responses}
        best = max(lengths, key=lengths.__getitem__, default=None)
        if best is None or not lengths[best]:
            return None, {}
        return responses[best], self._matchers[best].slots(words)

    def _understand_keys(
        self, before: str, digits: str, progress: DialogueState
    ) -> tuple[Response | None, dict[str, str]]:
        """The present state's response to keys taken as spoken digits, alone or after the words before them."""
        alone = self._understand(spoken_words(digits), progress)
        return alone if alone[0] or not before else self._understand(spoken_words(f"{before} {digits}"), progress)

    def _keys(self, state: State) -> Mapping[str, Response]:
        return {**self._script.anywhere.dtmf, **state.dtmf}

    def _expected(self, name: str) -> Listen:
        state = self._script.states[name]
        if state.expect is None:
            return Listen()
        of_intents = (phrase for intent in self._responses[name] for phrase in self._script.intents[intent].phrases)
        templates = dict.fromkeys((*state.expect, *of_intents))
        phrases = (phrase for template in templates for phrase in expand(template, self._script.slots))
        return Listen(phrases=tuple(dict.fromkeys(phrases)))


class _ScriptedTurn:
    """Builds one reply: the methods that add to it, and `reply`, which returns it."""

    def __init__(
        self,
        script: Script,
        progress: DialogueState,
        tools: Collection[str],
        own_slots: Collection[str],
    ) -> None:
        self._script, self._tools, self._own_slots = script, tools, own_slots
        self.values: Mapping[str, str] = NO_VALUES
        self.spoken_values: Mapping[str, str] = NO_VALUES
        self._can_transfer, self._can_hang_up = "transfer" in tools, "hang_up" in tools
        self.progress = progress
        self._call: ToolCall | None = None
        self._result: dict[str, str] = {}
        self._texts: list[str] = []
        self._transfer: str | None = None
        self._hang_up = False

    @property
    def state(self) -> State:
        return self._script.states[self.progress.state]

    @property
    def no_transfer(self) -> Response:
        return self.state.no_transfer or self._script.anywhere.no_transfer

    @property
    def failed(self) -> Response:
        return self.state.failed or self._script.anywhere.failed

    def take_result(self, tool: str, result: str, *, failed: bool) -> None:
        """Adds the response to the result of a tool."""
        if failed:
            self.respond(self.failed)
            return
        self._result = {RESULT: result}
        responses = {**self._script.anywhere.results, **self.state.results}
        self.respond(responses.get(tool, SAY_RESULT))

    def react(self, response: Response | None, slots: Mapping[str, str]) -> None:
        """Adds the response to what was understood; None: the response to words that were not understood."""
        if response:
            self.progress = evolve(self.progress, slots={**self.progress.slots, **slots}, misses=0)
        else:
            self.progress = evolve(self.progress, misses=self.progress.misses + 1)
            response = in_turn(self.state.otherwise or self._script.anywhere.otherwise, self.progress.misses)
        self.respond(response)

    def respond(self, response: Response) -> None:
        """Adds a response: its text and its action."""
        if response.tool and response.tool not in self._tools:
            response = self.failed
        if not self._can_transfer and self._transfers(response):
            response = self.no_transfer
        self._say(response.say)
        self._transfer, self._hang_up = response.transfer, response.hang_up and self._can_hang_up
        unchanged = self.progress
        if (target := unchanged.state if response.again else response.go) is not None:
            kept = {slot: text for slot, text in unchanged.slots.items() if slot not in response.forget}
            self.progress = evolve(unchanged, slots=kept)
            self.enter(target)
        if response.tool:
            self._call_tool(response)
        if self._hang_up or self._transfer is not None:  # the caller may interrupt the goodbye; the transfer may fail
            self.progress = unchanged

    def enter(self, name: str) -> None:
        """Enters a state, or the one that it needs first, and adds its text."""
        name = destination(self._script, name, self.progress.slots)
        state = self._script.states[name]
        times = self.progress.times_said.get(name, 0) + 1
        self._say(in_turn(state.say, times))
        misses = self.progress.misses if name == self.progress.state else 0
        times_said = {**self.progress.times_said, name: times}
        self.progress = evolve(self.progress, state=name, times_said=times_said, misses=misses)
        self._transfer, self._hang_up = state.transfer, state.hang_up and self._can_hang_up

    def _transfers(self, response: Response) -> bool:
        if response.go is None:
            return response.transfer is not None
        kept = self.progress.slots.keys() - set(response.forget)
        return self._script.states[destination(self._script, response.go, kept)].transfer is not None

    def _call_tool(self, response: Response) -> None:
        templates = response.call[response.tool]
        arguments = {
            name: self._filled(text, self.values) if isinstance(text, str) else text for name, text in templates.items()
        }
        called = self.progress.called
        self._call = ToolCall(_call_id(len(called), response.tool), response.tool, arguments)
        self.progress = evolve(self.progress, called=(*called, response.tool))

    def _say(self, template: str) -> None:
        if text := self._filled(template, self.spoken_values):
            self._texts.append(text)

    def _filled(self, template: str, values: Mapping[str, str]) -> str:
        """Returns a template with its slots, and with values of the call for names that are no slots of the script."""
        slots = {**self.progress.slots, **self._result}
        for name, _ in slots_in(template):
            if name not in slots and name not in self._own_slots and name in values:
                slots[name] = values[name]
        return fill(template, slots)

    def reply(self, listen: Mapping[str, Listen]) -> ScriptedReply:
        """Returns the reply; `listen` has the phrases to recognise in each state."""
        transfer = self._transfer if self._can_transfer else None
        return ScriptedReply(
            text=_sentences(" ".join(self._texts)),
            transfer=transfer,
            hang_up=self._hang_up,
            call=self._call,
            progress=evolve(self.progress, transferring=transfer is not None),
            listen=listen[self.progress.state],
        )


def _call_id(index: int, tool: str) -> str:
    """The id of a tool call, unique in a call; `index` counts its tool calls from 0."""
    return f"{tool}-{index}"


def destination(script: Script, name: str, filled: Collection[str]) -> str:
    """Returns the state of that name, or the one that first fills a slot that it needs."""
    while missing := [instead for slot, instead in script.states[name].needs.items() if slot not in filled]:
        name = missing[0]
    return name


def _sentences(text: str) -> tuple[str, ...]:
    """The sentences of a text, each with the space after it."""
    ends = [match.end() for match in SENTENCE_END.finditer(text)]
    return tuple(text[begin:end] for begin, end in zip([0, *ends], [*ends, len(text)], strict=True) if begin < end)
