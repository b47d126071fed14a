"""Checks for models that repeat their request, as a test server's does: the whole request must come back unchanged.

The kit can't see what an adapter sends to its service; if the reply repeats the request, it shows that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from voicepipe.components.events import TextDelta
from voicepipe.components.requests import Message, ReplyRequest, ToolCall, ToolResults, Utterance
from voicepipe.testing.conformance.asking import ASKED, TOOL, answer, pressed, utterance
from voicepipe.testing.conformance.kit import checks
from voicepipe.testing.conformance.verdicts import Failed, Skipped

if TYPE_CHECKING:
    from voicepipe.testing.conformance.asking import Asking
    from voicepipe.testing.conformance.subject import Bench, Subject

ODD = 'It is no, no, no: I said "Müller & Söhne", in 東京: it costs 5,50 € (100% more!)'
"""A text that is easily damaged: repeated words, characters of markup, letters outside ASCII."""

KEYS, MORE_KEYS = ("1", "7"), "170"
"""The keys that are pressed: one at a time, and several."""

RESULTS = ("from nine to five", "closed on Sundays")
"""The results of two tools."""


async def what_is_said_reaches_the_model_whole(subject: Subject[Asking]) -> None:
    """A model that repeats what it was told repeats it to the last sign, the last key and the last tool's result.

    Send text as it is: no case, length or character set is the adapter's business, and `json.dumps` knows how to quote.
    `messages` is the conversation in its order: what is to be answered comes last. Several keys are one string, and a
    reply that called two tools has two results. (This is for stand-ins that repeat; others are not judged by it.)
    """
    async with subject.bench() as bench:
        texts = [request.trigger.text for request in subject.use.requests if isinstance(request.trigger, Utterance)]
        requests = [request for request in subject.use.requests if isinstance(request.trigger, Utterance)]
        replies = [await _reply(bench, request) for request in requests]
        lost = [(text, reply) for text, reply in zip(texts, replies, strict=True) if text not in reply]
        if len(set(replies)) == 1 < len(replies):
            raise Skipped(f"whatever is said, the reply is {replies[0]!r}: have the server that it uses repeat it")
        if len(lost) * 2 >= len(texts):
            return
        for text, reply in lost:
            raise Failed(f"it repeats what it is told, and the reply to {text!r} is {reply!r}")
        if ODD not in (reply := await _reply(bench, utterance(ODD))):
            raise Failed(f"it repeats what it is told, and the reply to {ODD!r} is {reply!r}")
        await _repeats_the_last(bench, *texts[:2])
        await _repeats_keys(bench)
        await _repeats_results(bench)


async def _reply(bench: Bench[Asking], request: ReplyRequest) -> str:
    events: list[Any] = await answer(bench, request)
    return "".join(event.text for event in events if isinstance(event, TextDelta))


async def _repeats_the_last(bench: Bench[Asking], first: str, last: str = ODD) -> None:
    messages = (Message("caller", first), Message("agent", "I see. What else?"), Message("caller", last))
    reply = await _reply(bench, ReplyRequest(Utterance(last), messages))
    if last not in reply:
        raise Failed(f"the caller said {first!r}, and at last {last!r}; the reply is {reply!r}")


async def _repeats_keys(bench: Bench[Asking]) -> None:
    replies = {keys: await _reply(bench, pressed(keys)) for keys in (*KEYS, MORE_KEYS)}
    if len(set(replies.values())) < len(replies):
        raise Failed(f"it repeats what it is told, and replies {replies[KEYS[0]]!r} whichever keys are pressed")
    digits = "".join(filter(str.isdigit, replies[MORE_KEYS]))
    if all(keys in replies[keys] for keys in KEYS) and MORE_KEYS not in digits:
        raise Failed(f"the caller pressed {MORE_KEYS}, and the reply is {replies[MORE_KEYS]!r}")


async def _repeats_results(bench: Bench[Asking]) -> None:
    replies = [await _reply(bench, bench.subject.use.returned(result)) for result in RESULTS]
    if replies[0] == replies[1]:
        raise Failed(f"it repeats what it is told, and replies {replies[0]!r} whatever a tool returns")
    if any(result not in reply for result, reply in zip(RESULTS, replies, strict=True)):
        return
    days = dict(zip(("call-1", "call-2"), ("Monday", "Sunday"), strict=True))
    results = dict(zip(days, RESULTS, strict=True))
    calls = tuple(ToolCall(number, TOOL.name, {"day": day}) for number, day in days.items())
    returned = [Message("tool", result, tool_call_id=number) for number, result in results.items()]
    messages = (ASKED, Message("agent", "", tool_calls=calls), *returned)
    reply = await _reply(bench, ReplyRequest(ToolResults(results), messages, tools=(TOOL,)))
    if RESULTS[-1] not in reply:
        raise Failed(f"two tools returned {results}, and the reply is {reply!r}")


REPEATING = checks(what_is_said_reaches_the_model_whole)
