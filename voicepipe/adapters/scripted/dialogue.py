"""Answers from a script: a call's state and a trigger give a reply and the next state."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from attrs import evolve, field, frozen

from voicepipe.adapters.scripted.format import RESULT, Response, Script, State, expand, fill, in_turn
from voicepipe.adapters.scripted.intent_matching import IntentMatcher, spoken_words
from voicepipe.components.requests import CallStarted, Dtmf, Listen, Silence, ToolCall, ToolResults, Utterance

if TYPE_CHECKING:
    from voicepipe.components.requests import Trigger

SENTENCE_END = re.compile(r"(?<=[.!?…。！？])\s+")  # noqa: RUF001 - the full-width marks of Chinese and Japanese
"""Where a reply's text may be cut into pieces."""


OWN_ENDINGS = ("hang_up-", "transfer-")
"""How ids of the tools begin that a script calls to end the call."""

SAY_RESULT = Response(say=f"{{{RESULT}}}")
"""What is done with a result that nothing is said of."""


@frozen
class DialogueState:
    """The state of a call in a script, which travels with the call between replies."""

    script: str
    """The script's digest: progress in another script is none in this one."""
    state: str
    """The present state."""
    slots: Mapping[str, str] = field(factory=dict)
    """What is filled, as it is said."""
    said: Mapping[str, int] = field(factory=dict)
    """How often each state has said its text."""
    misses: int = 0
    """How often in a row the caller was not understood in this state."""
    transferring: bool = False
    """Whether the last reply handed the call to somebody else."""
    called: tuple[str, ...] = ()
    """The tools that were called so far."""


@frozen
class ScriptedReply:
    """A reply: text, actions, and the state to keep if it is heard."""

    text: tuple[str, ...]
    """In pieces of a sentence each, to be joined without anything between; empty: nothing."""
    transfer: str | None
    """Whom to hand the call to, after the text."""
    hang_up: bool
    """Whether to end the call, after the text."""
    call: ToolCall | None
    """Which tool to call."""
    progress: DialogueState
    """Where the call stands then."""
    listen: Listen | None
    """What to listen for next; None: as before."""


class Dialogue:
    """A script made ready to answer; keeps nothing of any call.

    Args:
        script: without errors.
        digest: of the script's text.

    """

    def __init__(self, script: Script, digest: str) -> None:
        self._script, self._digest = script, digest
        self._heard = {name: IntentMatcher(intent, script.slots) for name, intent in script.intents.items()}
        self._begun = DialogueState(digest, script.start, said={script.start: 1})
        self._on = {
            name: {
                **state.on,
                **{intent: does for intent, does in script.anywhere.on.items() if intent not in state.on},
            }
            for name, state in script.states.items()
        }
        self._listen = {name: self._expected(name) for name in script.states}

    def answer(
        self,
        trigger: Trigger,
        state: Any = None,
        tools: Collection[str] = ("hang_up", "transfer"),
        said: str = "",
    ) -> ScriptedReply:
        """The reply to what happened.

        Args:
            trigger: what happened.
            state: the `progress` of the call's last reply. Anything else, such as another model's state or None,
                stands for a call that has just entered the start state.
            tools: what the call can do. A transfer that it can't have is replaced by `no_transfer`, another tool by
                `failed`; without `hang_up` it says goodbye, and goes on.
            said: what the caller said before the keys that are replied to.

        """
        known = isinstance(state, DialogueState) and state.script == self._digest
        progress: DialogueState = state if known else self._begun
        turn = _ScriptedTurn(self._script, evolve(progress, transferring=False), tools)
        match trigger:
            case CallStarted():
                turn.progress = DialogueState(self._digest, self._script.start)
                turn.enter(self._script.start)
            case Utterance(text=text):
                turn.react(*self._understand(spoken_words(text), turn.progress))
            case Dtmf(digits=digits):
                response = self._keys(turn.state).get(digits)
                turn.react(*((response, {}) if response else self._understand_keys(said, digits, turn.progress)))
            case Silence(count=count):
                turn.respond(in_turn(turn.state.silence or self._script.anywhere.silence, count))
            case ToolResults() if progress.transferring:
                turn.respond(turn.no_transfer)
            case ToolResults(results=results):
                ids = {_id_of(index, tool): tool for index, tool in enumerate(progress.called)}
                own = [(ids[call_id], result) for call_id, result in results.items() if call_id in ids]
                if not own and all(call_id.startswith(OWN_ENDINGS) for call_id in results):
                    return ScriptedReply((), None, False, None, progress, None)
                if own:
                    turn.take_result(*own[-1])
                else:  # another model called them, and has failed since: the caller waits for a word
                    turn.react(None, {})
        return turn.reply(self._listen)

    def _understand(self, words: str, progress: DialogueState) -> tuple[Response | None, dict[str, str]]:
        """The present state's response to these words, or None, and the slots that they fill."""
        on = self._on[progress.state]
        lengths = {intent: self._heard[intent].length(words) for intent in on}
        best = max(lengths, key=lengths.__getitem__, default=None)
        if best is None or not lengths[best]:
            return None, {}
        return on[best], self._heard[best].slots(words)

    def _understand_keys(
        self, said: str, digits: str, progress: DialogueState
    ) -> tuple[Response | None, dict[str, str]]:
        """The present state's response to keys taken as spoken digits, alone or after the words before."""
        alone = self._understand(spoken_words(digits), progress)
        return alone if alone[0] or not said else self._understand(spoken_words(f"{said} {digits}"), progress)

    def _keys(self, state: State) -> Mapping[str, Response]:
        return {**self._script.anywhere.dtmf, **state.dtmf}

    def _expected(self, name: str) -> Listen:
        state = self._script.states[name]
        if state.expect is None:
            return Listen()
        heard = (phrase for intent in self._on[name] for phrase in self._script.intents[intent].phrases)
        templates = dict.fromkeys((*state.expect, *heard))
        phrases = (phrase for template in templates for phrase in expand(template, self._script.slots))
        return Listen(phrases=tuple(dict.fromkeys(phrases)))


class _ScriptedTurn:
    """One reply in the making."""

    def __init__(self, script: Script, progress: DialogueState, tools: Collection[str]) -> None:
        self._script, self._tools = script, tools
        self._can_transfer, self._can_hang_up = "transfer" in tools, "hang_up" in tools
        self.progress = progress
        self._call: ToolCall | None = None
        self._result: dict[str, str] = {}
        self._said: list[str] = []
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

    def take_result(self, tool: str, result: str) -> None:
        """Does what is to be done about what a tool returned."""
        if result.startswith(("error:", "cancelled:")):
            self.respond(self.failed)
            return
        self._result = {RESULT: result}
        responses = {**self._script.anywhere.results, **self.state.results}
        self.respond(responses.get(tool, SAY_RESULT))

    def react(self, response: Response | None, slots: Mapping[str, str]) -> None:
        """Does what was found to be right, else what there is for such cases."""
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
        stays = self.progress
        if (to := stays.state if response.again else response.go) is not None:
            kept = {slot: text for slot, text in stays.slots.items() if slot not in response.forget}
            self.progress = evolve(stays, slots=kept)
            self.enter(to)
        if response.tool:
            self._call_tool(response)
        if self._hang_up or self._transfer is not None:  # the caller may speak over it, or it may fail
            self.progress = stays

    def enter(self, name: str) -> None:
        """Enters a state, or the one that it needs first, and adds its text."""
        name = destination(self._script, name, self.progress.slots)
        state = self._script.states[name]
        times = self.progress.said.get(name, 0) + 1
        self._say(in_turn(state.say, times))
        misses = self.progress.misses if name == self.progress.state else 0
        self.progress = evolve(self.progress, state=name, said={**self.progress.said, name: times}, misses=misses)
        self._transfer, self._hang_up = state.transfer, state.hang_up and self._can_hang_up

    def _transfers(self, response: Response) -> bool:
        if response.go is None:
            return response.transfer is not None
        kept = self.progress.slots.keys() - set(response.forget)
        return self._script.states[destination(self._script, response.go, kept)].transfer is not None

    def _call_tool(self, response: Response) -> None:
        slots = {**self.progress.slots, **self._result}
        given = response.call[response.tool].items()
        arguments = {name: fill(value, slots) if isinstance(value, str) else value for name, value in given}
        called = self.progress.called
        self._call = ToolCall(_id_of(len(called), response.tool), response.tool, arguments)
        self.progress = evolve(self.progress, called=(*called, response.tool))

    def _say(self, template: str) -> None:
        if text := fill(template, {**self.progress.slots, **self._result}):
            self._said.append(text)

    def reply(self, listen: Mapping[str, Listen]) -> ScriptedReply:
        """The finished reply."""
        transfer = self._transfer if self._can_transfer else None
        return ScriptedReply(
            text=_sentences(" ".join(self._said)),
            transfer=transfer,
            hang_up=self._hang_up,
            call=self._call,
            progress=evolve(self.progress, transferring=transfer is not None),
            listen=listen[self.progress.state],
        )


def _id_of(index: int, tool: str) -> str:
    """The id of a call's tool call: the how manieth it is, from 0."""
    return f"{tool}-{index}"


def destination(script: Script, name: str, filled: Collection[str]) -> str:
    """The state of that name, or the one to which it sends a call that lacks what it needs."""
    while missing := [to for slot, to in script.states[name].needs.items() if slot not in filled]:
        name = missing[0]
    return name


def _sentences(text: str) -> tuple[str, ...]:
    """The text in pieces that end where sentences do, spaces included."""
    ends = [match.end() for match in SENTENCE_END.finditer(text)]
    return tuple(text[begin:end] for begin, end in zip([0, *ends], [*ends, len(text)], strict=True) if begin < end)
