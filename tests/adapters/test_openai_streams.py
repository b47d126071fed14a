"""How servers send their answers: content types, and connections that stay open when all is said."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager

import pytest
import trio
from vendors.openai_server import chunk
from vendors.serving import VendorServer, open_memory_network

from voicepipe.adapters.openai.llm import DRAIN_S, llm
from voicepipe.adapters.openai.llm_options import OpenAIOptions
from voicepipe.adapters.openai.reply_parser import AFTERMATH_S, DOUBTFUL_S
from voicepipe.components.events import ReplyDone, TextDelta
from voicepipe.components.requests import Message, ReplyRequest, Tool, ToolCall, Utterance
from voicepipe.errors import ComponentError
from voicepipe.testing import RehearsedCall, ScriptedSpeechToText

OPEN = "We open at nine."
HELLO = ReplyRequest(Utterance("hello"), (Message("caller", "hello"),), "Be brief.", (Tool("book", "Books."),))
DONE = "data: [DONE]\n\n"
STOP = chunk("c", "m", {}, "stop")
COST = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}}
CALL = {"index": 0, "id": "t", "function": {"name": "book", "arguments": "{}"}}


def text(content, finish=None):
    return chunk("c", "m", {"content": content}, finish)


def sse(*events, done=DONE):
    return "".join([f"data: {json.dumps(event)}\n\n" for event in events]) + done


class Raw(VendorServer):
    """Sends what it is given: pieces of a body, and floats for pauses in s."""

    def __init__(self) -> None:
        super().__init__()
        self.bodies: list[list[str | bytes | float]] = []
        self.content_type: str | None = "text/event-stream"

    async def answer(self, request, response) -> None:
        await response.start(200, {} if self.content_type is None else {"content-type": self.content_type})
        for piece in self.bodies.pop(0):
            if isinstance(piece, float):
                await trio.sleep(piece)
            else:
                await response.send(piece)


@pytest.fixture
async def server(monkeypatch):
    async with open_memory_network(monkeypatch) as network:
        vendor = Raw()
        network.listen("llm.test", vendor)
        yield vendor


@asynccontextmanager
async def opened(resources):
    async with llm.open(OpenAIOptions(model="m", base_url="http://llm.test:80/v1"), resources) as component:
        yield component


async def reply(component):
    """What was said, what was called, when it ended and when it was left, in s."""
    begun, events = trio.current_time(), []
    async with component.respond(HELLO) as stream:
        while not events or not isinstance(events[-1], ReplyDone):
            events.append(await stream.receive())
        ended = trio.current_time()
        assert await stream.receive() is None
    said = "".join(event.text for event in events if isinstance(event, TextDelta))
    called = [event.name for event in events if isinstance(event, ToolCall)]
    return said, called, round(ended - begun, 3), round(trio.current_time() - begun, 3)


TYPES = [
    *("text/event-stream", "text/event-stream; charset=utf-8", "application/json", "application/json; charset=utf-8"),
    *("text/plain", "application/x-ndjson", "application/octet-stream", "text/html", "", None),
]
WHOLE = {"choices": [{"index": 0, "message": {"content": OPEN}, "finish_reason": "stop"}]}
FORMS = {
    "events": sse(text("We open "), text("at nine."), STOP),
    "a line for each": "\n".join(map(json.dumps, [text("We open "), text("at nine."), STOP])),
    "all at once": json.dumps(WHOLE),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
async def test_the_body_is_read_as_what_it_is(autojump_clock, server, resources, form):
    async with opened(resources) as component:
        for content_type in TYPES:
            server.content_type = content_type
            server.bodies = [[form]]
            assert await reply(component) == (OPEN, [], 0, 0), content_type


WORDS = [sse(text("We open "), text("at nine."), done="")]
OPEN_ENDED = {
    "[DONE]": ([*WORDS, sse(STOP), 30.0], 0),
    "[DONE] alone": ([*WORDS, DONE, 30.0], 0),
    "the end and the cost": ([*WORDS, sse(STOP, COST, done=""), 30.0], 0),
    "the end and the cost, a moment later": ([*WORDS, sse(STOP, done=""), 0.2, sse(COST, done=""), 30.0], 0.2),
    "the end": ([*WORDS, sse(STOP, done=""), 30.0], AFTERMATH_S),
    "the end, and then comments": ([*WORDS, sse(STOP, done=""), *[": ping\n\n", 0.3] * 9], AFTERMATH_S),
    "the end with the last words": ([sse(text("We open "), text("at nine.", "stop"), done=""), 30.0], DOUBTFUL_S),
    "an end that was none": (
        [sse(text("We open ", "stop"), done=""), 1.0, sse(text("at nine.", "stop"), done=""), 1.5, DONE],
        2.5,
    ),
    "the end of the thoughts": (
        [sse(chunk("c", "m", {"reasoning_content": "hm"}, "stop"), done=""), 5.0, *WORDS, DONE],
        5,
    ),
}


async def test_a_reply_ends_when_the_model_does_although_the_answer_stays_open(autojump_clock, server, resources):
    async with opened(resources) as component:
        for name, (body, ended_s) in OPEN_ENDED.items():
            server.bodies = [body]
            said, _, ended, left = await reply(component)
            assert (name, said, ended) == (name, OPEN, ended_s)
            assert left <= ended + DRAIN_S + 0.001


async def test_tools_are_called_when_the_model_ends(autojump_clock, server, resources):
    server.bodies = [[sse(chunk("c", "m", {"tool_calls": [CALL]}), chunk("c", "m", {}, "tool_calls")), 30.0]]
    async with opened(resources) as component:
        assert (await reply(component))[:3] == ("", ["book"], 0)


async def test_an_end_that_is_late_but_soon_leaves_the_connection_for_the_next(autojump_clock, server, resources):
    server.bodies = [[*WORDS, DONE, 0.05]] * 3
    async with opened(resources) as component:
        for _ in range(3):
            await reply(component)
    assert server.connections == 1


async def test_words_before_a_failure_in_the_same_piece_are_kept(autojump_clock, server, resources):
    server.bodies = [[sse(text("We open"), chunk("c", "m", {"content": " at nine."}, "error"))]]
    async with opened(resources) as component, component.respond(HELLO) as stream:
        said = [await stream.receive(), await stream.receive()]
        with pytest.raises(ComponentError, match="failed in mid-answer"):
            await stream.receive()
    assert said == [TextDelta("We open"), TextDelta(" at nine.")]


async def test_a_server_that_begins_with_thoughts_is_known_by_its_first_reply(autojump_clock, server, resources):
    """Its chat template opens them, so nothing marks their beginning; once it does not, it is believed again."""
    thinks = sse(text("Nobody knows "), text("that these are thoughts."), text("</think>"), text(OPEN), STOP)
    server.bodies = [[body] for body in (thinks, thinks, sse(text(OPEN), STOP), thinks)]
    async with opened(resources) as component:
        said = [(await reply(component))[0] for _ in range(4)]
    leaked = f"Nobody knows that these are thoughts.{OPEN}"
    assert said == [leaked, OPEN, OPEN, leaked]


async def test_the_caller_hears_the_last_words_when_the_model_ends(autojump_clock, server, resources):
    server.bodies = [[sse(text("We open at nine"), STOP), 30.0]]
    async with opened(resources) as component:
        call = RehearsedCall(stt=ScriptedSpeechToText(["when"]), llm=component, settings={"greeting": "hello."})

        async def caller():
            await call.transport.be_silent(1500)
            await call.transport.say(600)
            await call.transport.be_silent(4000)
            await call.transport.hang_up_as_caller()

        await call.hold(caller)
    (turn,) = [turn for turn in call.turns if turn.heard]
    assert turn.said == "We open at nine"
    assert turn.timings.first_audio_ms - turn.timings.first_token_ms < 1
