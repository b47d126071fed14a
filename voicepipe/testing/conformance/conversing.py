"""Checks for language models over several turns: keys, tools and their results, and the state of a call."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import attrs
from attrs import evolve

from voicepipe.components.events import ReplyDone, TextDelta
from voicepipe.components.requests import CallStarted, Message, ReplyRequest, Tool, ToolCall, ToolResults, Utterance
from voicepipe.nurseries import open_hidden_nursery
from voicepipe.testing.conformance.asking import ANY_TOOL_REQUEST, answer, pressed
from voicepipe.testing.conformance.kit import checks
from voicepipe.testing.conformance.verdicts import Failed, Skipped, in_words
from voicepipe.testing.conformance.watched import watched

if TYPE_CHECKING:
    from collections.abc import Sequence

    from voicepipe.testing.conformance.asking import Asking
    from voicepipe.testing.conformance.subject import Bench, Subject

OTHER_TOOL = Tool("weather", "Says what the weather will be like.", {"type": "object", "properties": {}})
"""A tool that is offered instead, to check that offers are read."""

FIELDS = {field.name for field in attrs.fields(ReplyRequest)}


async def keys_and_tool_results_are_heeded(subject: Subject[Asking]) -> None:
    """What the caller pressed, and what a tool returned, reaches the model.

    Keys stand in `Dtmf.digits`, and in `messages` as what the caller said, with `pressed`. A tool's result is the last
    of `messages`, with `tool_call_id`, and in `ToolResults.results`. A model that is told neither answers as if nothing
    had happened.
    """
    async with subject.bench() as bench:
        await _heeds(bench, "the keys that were pressed", [pressed("1"), pressed("7")])
        results = [subject.use.returned(text) for text in ("from nine to five", "closed on Mondays")]
        await _heeds(bench, "the result of a tool", results)


async def _heeds(bench: Bench[Asking], what: str, requests: list[ReplyRequest]) -> None:
    """Checks that the reply depends on the request, or, if replies are always equal, that the adapter reads it."""
    replies = [_reply_of(await answer(bench, request)) for request in requests]
    if replies[0] != replies[1]:
        return
    read: set[str] = set()
    request = evolve(requests[0], trigger=watched(requests[0].trigger, read))
    request = evolve(request, messages=(*request.messages[:-1], watched(request.messages[-1], read)))
    read.clear()
    await answer(bench, request)
    if not read & {"digits", "results", "text"}:
        raise Failed(f"it replies the same whatever it is, and never looks at {what}")


def _reply_of(events: list[Any]) -> tuple[str, list[ToolCall]]:
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    return text, [evolve(event, id="") for event in events if isinstance(event, ToolCall)]


async def tool_calls_can_be_answered(subject: Subject[Asking]) -> None:
    """A tool call comes whole, only for tools that were offered, and under an id that no other of the call has.

    A call that is lost is something that the caller was promised and that does not happen; one that nobody offered
    fails. Results are given back by id: make ids that are unique in the whole conversation (a `uuid4` will do) if the
    service gives none, or begins anew in each reply. Offer what `ReplyRequest.tools` says, and nothing else.
    """
    use = subject.use
    async with subject.bench() as bench:
        for request in (use.tool_request, *use.requests):
            plain = await _without_its_tools(bench, request)
            events = await answer(bench, request)
            if calls := _calls(events):
                await _goes_on(bench, request, events, calls)
                return
            if not _reply_of(events)[0].strip() and plain.strip():
                raise Failed("when a tool is offered the reply is empty, without one it is not: was a call lost?")
    if use.calls_tools and use.tool_request is not ANY_TOOL_REQUEST:
        raise Failed("tool_request is not answered with a tool call, as it should be")
    if use.calls_tools:
        raise Skipped(
            "no request was answered with a tool call: hand in tool_request=ReplyRequest(...) that is, or None if this "
            "model never calls tools"
        )


async def _without_its_tools(bench: Bench[Asking], request: ReplyRequest) -> str:
    """Returns the reply if another tool is offered, or none."""
    text = ""
    for tools in ((OTHER_TOOL,), ()):
        events = await answer(bench, evolve(request, tools=tools))
        text = _reply_of(events)[0]
        for call in _calls(events):
            if call.name not in {tool.name for tool in tools}:
                raise Failed(
                    f"it calls {call.name!r} when {in_words(tool.name for tool in tools) or 'no tool'} is offered"
                )
    return text


async def _goes_on(bench: Bench[Asking], request: ReplyRequest, events: list[Any], calls: list[ToolCall]) -> None:
    offered = {tool.name: tool for tool in request.tools}
    for call in calls:
        needed = set(offered[call.name].parameters.get("required", ())) if call.name in offered else set()
        if lacking := needed - set(call.arguments):
            raise Failed(
                f"the call of {call.name} lacks {in_words(sorted(lacking))}: its arguments are {call.arguments}"
            )
    results = ToolResults({call.id: "done" for call in calls})
    text = _reply_of(events)[0]
    messages = (
        *request.messages,
        Message("agent", text, tool_calls=tuple(calls)),
        *(Message("tool", "done", tool_call_id=call.id) for call in calls),
    )
    after = evolve(request, trigger=results, messages=messages, state=_state(events))
    events = await answer(bench, after)
    messages = (*messages, Message("agent", _reply_of(events)[0] or "Done."), *request.messages[-1:])
    again = await answer(bench, evolve(request, messages=messages, state=_state(events)))
    ids = {call.id for call in calls}
    if same := ids & {call.id for call in _calls(again)}:
        raise Failed(f"the tool calls of two replies of a call have the same id {min(same)!r}")


def _calls(events: list[Any]) -> list[ToolCall]:
    return [event for event in events if isinstance(event, ToolCall)]


def _state(events: list[Any]) -> Any:
    return next((event.state for event in events if isinstance(event, ReplyDone)), None)


async def state_travels_with_the_call(subject: Subject[Asking]) -> None:
    """What `ReplyDone.state` holds comes back in `ReplyRequest.state`, and the same state leads to the same reply.

    Several calls take turns, and a reply that was interrupted is asked for again from the state before it. A model that
    reads a state has to leave one, and one that leaves it has to read it; a state is never changed, but replaced. Leave
    it out if `messages` is all that the model needs.
    """
    use = subject.use
    async with subject.bench() as bench:
        read: set[str] = set()
        states = []
        for request in (ReplyRequest(CallStarted(), prompt="Greet the caller."), *use.requests):
            reads: set[str] = set()
            states.append(_state(await answer(bench, watched(request, reads))))
            read |= reads if reads != FIELDS else set()  # a copy of the whole tells nothing
        left = [state for state in states if state is not None]
        if "state" in read and not left:
            raise Failed("it reads ReplyRequest.state, and no reply leaves anything in ReplyDone.state")
        if not left:
            return
        if read and "state" not in read:
            raise Failed("its replies leave a state, and ReplyRequest.state is not read")
        outcomes = [await _two_turns(bench) for _ in range(2)]
        if outcomes[0] == outcomes[1] and outcomes[0][0] != outcomes[0][1]:
            was, then = outcomes[0]
            raise Failed(f"from the same state it said {was[0]!r}, and {then[0]!r} after another call's turn")


async def _two_turns(bench: Bench[Asking]) -> list[Any]:
    """Returns two replies to a second turn, from the same state, with another call in between."""
    first, second, others = (bench.subject.use.requests[at % len(bench.subject.use.requests)] for at in range(3))
    events = await answer(bench, first)
    messages = (*first.messages, Message("agent", _reply_of(events)[0]), *second.messages)
    turn = evolve(second, messages=messages, state=_state(events))
    replies = []
    for _ in range(2):
        replies.append(_reply_of(await answer(bench, turn)))
        other = await answer(bench, others)
        await answer(bench, evolve(others, state=_state(other)))
    return replies


NAME = "Zebrowski"
"""A name that only one caller says."""


async def a_call_hears_nothing_of_another(subject: Subject[Asking]) -> None:
    """What one caller said is in no reply to another, neither during that call nor after it.

    A component is shared by all calls, and so is a module: a list of messages, a cache by the wrong key or a default
    argument that is changed tells one caller what another said. Send what the request holds, and nothing else.
    """
    introduction = f"my name is {NAME}"
    async with subject.bench() as bench:
        first = ReplyRequest(Utterance(introduction), (Message("caller", introduction),))
        replies: list[list[Any]] = []

        async def ask(requests: Sequence[ReplyRequest]) -> None:
            replies.extend([await answer(bench, request) for request in requests])

        async with bench.subject.entered("a stream", bench.component.respond(first)) as reply:
            await bench.next(reply)
            async with open_hidden_nursery() as other_calls:
                other_calls.start_soon(ask, subject.use.requests[:2])
        await ask(subject.use.requests[:1])
    for events in replies:
        text, calls = _reply_of(events)
        if NAME.casefold() in f"{text} {calls}".casefold():
            raise Failed(f"another caller said {introduction!r}, and the reply is {text!r}")


SPACED = 8
"""The least number of joints between pieces of text by which blanks are judged."""


async def text_comes_in_pieces_that_add_up(subject: Subject[Asking]) -> None:
    """The text of a reply is its pieces one after the other, blanks and all, and each comes once.

    A service's tokens begin or end with blanks: without them the voice reads one long word. Hand on what came, and
    never `strip` it. Some services repeat all of the text so far in each piece, or the whole of it in the last: give
    only what is new.
    """
    joints: list[str] = []
    async with subject.bench() as bench:
        for request in subject.use.requests:
            pieces = [event.text for event in await answer(bench, request) if isinstance(event, TextDelta)]
            pieces = [piece for piece in pieces if piece]
            _judge_repetition(pieces)
            joints += [before[-1] + after[0] for before, after in pairwise(pieces)]
            whole, asked = "".join(pieces), getattr(request.trigger, "text", "")
            if " " in asked.strip() and asked not in whole and _unspaced(asked) in _unspaced(whole):
                raise Failed(f"the reply {whole!r} has other blanks than {asked!r}, which it repeats")
    words = [joint for joint in joints if all(map(_is_spaced, joint))]
    if len(joints) >= SPACED and len(words) > len(joints) / 2 and not any(map(str.isspace, "".join(joints))):
        raise Failed(f"no piece of {len(joints)} begins or ends with a blank: are they stripped?")


def _judge_repetition(pieces: list[str]) -> None:
    pairs = list(pairwise(pieces))
    if len(pairs) >= 2 and all(after.startswith(before) and after != before for before, after in pairs):
        raise Failed(f"each piece repeats what came before: {pieces[0]!r}, {pieces[1]!r}")
    if len(pieces) > 2 and len(pieces[-1]) > 10 and pieces[-1].strip() == "".join(pieces[:-1]).strip():
        raise Failed(f"the last piece repeats the whole text: {pieces[-1]!r}")


def _unspaced(text: str) -> str:
    return "".join(text.split())


def _is_spaced(char: str) -> bool:
    """Whether a character is a letter of a script that has blanks between words."""
    return char.isalpha() and char < "\u0e00"


CONVERSING = checks(
    text_comes_in_pieces_that_add_up,
    keys_and_tool_results_are_heeded,
    tool_calls_can_be_answered,
    state_travels_with_the_call,
    a_call_hears_nothing_of_another,
)
