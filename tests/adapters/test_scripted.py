"""The `scripted` adapter, and the two scripts that come with the project."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import trio

from voicepipe.adapters.scripted.llm import ScriptedOptions, llm, read_script
from voicepipe.components.events import ReplyDone, TextDelta, ToolCall
from voicepipe.components.protocols import Resources
from voicepipe.components.requests import CallStarted, Dtmf, Listen, ReplyRequest, Silence, Tool, ToolResults, Utterance
from voicepipe.components.values import File

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "config" / "scripts"
TOOLS = (Tool("hang_up", ""), Tool("transfer", ""))


def options(script: str | Path) -> ScriptedOptions:
    content = script.encode() if isinstance(script, str) else script.read_bytes()
    return ScriptedOptions(File(Path("/etc/scripts/talk.yaml"), content, Path("scripts/talk.yaml")))


def opened(script: str | Path):
    return llm.open(options(script), Resources(component="talk", threads=trio.CapacityLimiter(1)))


async def reply_to(model, trigger, state=None, tools=TOOLS):
    """All events of a reply."""
    async with model.respond(ReplyRequest(trigger, tools=tools, state=state)) as stream:
        events = []
        while (event := await stream.receive()) is not None:
            events.append(event)
        assert await stream.receive() is None
        return events


async def converse(script, *triggers):
    """What the agent says and does in one call, and what the caller is expected to say at its end."""
    answers, state, done = [], None, None
    async with opened(script) as model:
        for happened in triggers:
            trigger = Utterance(happened) if isinstance(happened, str) else happened
            *events, done = await reply_to(model, trigger, state)
            assert isinstance(done, ReplyDone)
            state = done.state
            text = "".join(event.text for event in events if isinstance(event, TextDelta))
            calls = [(event.name, *event.arguments.values()) for event in events if isinstance(event, ToolCall)]
            answers.append((text, *calls))
    return answers, done


GOODBYE = ("Thank you for calling. Goodbye.", ("hang_up",))
WELCOME = ("Hello, this is the front desk. How can I help you?",)
OFFERS = "I can book an appointment, or connect you with sales, support, billing or the operator."
CLOSED = ("You have reached us outside office hours. Shall we call you back?",)

RECEPTION = [
    (
        ["i want an appointment on monday", "yes please"],
        [
            ("An appointment on Monday. Shall I book it?",),
            ("Booked, on Monday. Thank you for calling. Goodbye.", ("hang_up",)),
        ],
    ),
    (
        ["i want an appointment on monday", "morning", "yes please"],
        [
            ("An appointment on Monday. Shall I book it?",),
            ("An appointment on Monday in the morning. Shall I book it?",),
            ("Booked, on Monday in the morning. Thank you for calling. Goodbye.", ("hang_up",)),
        ],
    ),
    (
        ["Please book an appointment.", "morning", "tomorrow", "no on tuesday", "repeat", "no", "today", "yes"],
        [
            ("Which day suits you?",),
            ("Which day suits you?",),
            ("An appointment tomorrow in the morning. Shall I book it?",),
            ("An appointment on Tuesday in the morning. Shall I book it?",),
            ("An appointment on Tuesday in the morning. Shall I book it?",),
            ("All right. Which day suits you?",),
            ("An appointment today. Shall I book it?",),
            ("Booked, today. Thank you for calling. Goodbye.", ("hang_up",)),
        ],
    ),
    (
        ["tomorrow afternoon", "cancel", "yes", "no thank you goodbye"],
        [
            ("An appointment tomorrow in the afternoon. Shall I book it?",),
            ("All right. Is there anything else that I can do for you?",),
            ("How can I help you?",),
            GOODBYE,
        ],
    ),
    (
        ["hello", "help", "i need support"],
        [
            ("Hello. How can I help you?",),
            (f"{OFFERS} How can I help you?",),
            ("One moment. I will connect you with support.", ("transfer", "2002")),
        ],
    ),
    (["speak with an agent"], [("One moment. I will connect you with the operator.", ("transfer", "2000"))]),
    (["speak with sales"], [("One moment. I will connect you with sales.", ("transfer", "2001"))]),
    (["my account please"], [("One moment. I will connect you with billing.", ("transfer", "2003"))]),
    ([Dtmf("0")], [("One moment. I will connect you with the operator.", ("transfer", "2000"))]),
    ([Dtmf("1")], [("Which day suits you?",)]),
    (
        ["call me back tomorrow", "morning", "yes"],
        [
            ("We will call you back tomorrow. Is that right?",),
            ("We will call you back tomorrow in the morning. Is that right?",),
            ("Good, we will call you back tomorrow in the morning. Goodbye.", ("hang_up",)),
        ],
    ),
    (
        ["call back", "no", "no"],
        [
            ("We will call you back as soon as we can. Is that right?",),
            ("All right. Is there anything else that I can do for you?",),
            GOODBYE,
        ],
    ),
    (
        ["[unk]", "[unk]", "[unk]"],
        [
            ("Sorry, I did not get that. How can I help you?",),
            ("Sorry. You can say appointment, sales, support, billing or operator. How can I help you?",),
            ("One moment. I will connect you with the operator.", ("transfer", "2000")),
        ],
    ),
    (
        [Silence(1), Silence(2), "thank you", "no"],
        [
            ("Are you still there?",),
            ("Sorry, I can't hear you. How can I help you?",),
            ("You are welcome. Is there anything else that I can do for you?",),
            GOODBYE,
        ],
    ),
    (
        ["operator", ToolResults({"transfer-0": "failed"}), "goodbye"],
        [
            ("One moment. I will connect you with the operator.", ("transfer", "2000")),
            ("I am sorry, I can't connect you from here. Is there anything else that I can do for you?",),
            GOODBYE,
        ],
    ),
]

AFTER_HOURS = [
    (
        ["call me back tomorrow", "yes"],
        [
            ("We will call you back tomorrow. Is that right?",),
            ("Good. We will call you back tomorrow. Goodbye.", ("hang_up",)),
        ],
    ),
    (
        ["yes please", "afternoon", "on friday", "no monday", "no", "monday morning", "yes"],
        [
            ("On which day?",),
            ("On which day?",),
            ("We will call you back on Friday in the afternoon. Is that right?",),
            ("We will call you back on Monday in the afternoon. Is that right?",),
            ("All right. On which day?",),
            ("We will call you back on Monday in the morning. Is that right?",),
            ("Good. We will call you back on Monday in the morning. Goodbye.", ("hang_up",)),
        ],
    ),
    (["no thank you"], [GOODBYE]),
    (["no thank you goodbye"], [GOODBYE]),
    (
        ["hello i need support"],
        [("Please hold the line. I will connect you with our emergency service.", ("transfer", "2900"))],
    ),
    (
        ["book an appointment", "no"],
        [("Our colleagues take care of that in the daytime. Shall we call you back?",), GOODBYE],
    ),
    (
        ["help", "umbrella", "umbrella", "umbrella"],
        [
            ("Say call me back and a day, or say support if it can't wait. Shall we call you back?",),
            ("Sorry, I did not get that. Shall we call you back?",),
            ("Sorry. Say call me back and a day, or say support if it can't wait.",),
            ("Please call again in office hours. Goodbye.", ("hang_up",)),
        ],
    ),
    (
        [Silence(1), Silence(2)],
        [("Are you still there?",), ("Please call again in office hours. Goodbye.", ("hang_up",))],
    ),
]


@pytest.mark.parametrize(("said", "answers"), RECEPTION)
async def test_reception_holds_the_conversation(said, answers):
    script = SCRIPTS / "reception.yaml"
    assert (await converse(script, CallStarted(), *said))[0] == [WELCOME, *answers]
    assert (await converse(script, *said))[0] == answers, "with a greeting from the pipeline"


@pytest.mark.parametrize(("said", "answers"), AFTER_HOURS)
async def test_after_hours_holds_the_conversation(said, answers):
    script = SCRIPTS / "after-hours.yaml"
    assert (await converse(script, CallStarted(), *said))[0] == [CLOSED, *answers]
    assert (await converse(script, *said))[0] == answers, "with a greeting from the pipeline"


@pytest.mark.parametrize("name", ["reception.yaml", "after-hours.yaml"])
async def test_the_tiny_recogniser_knows_every_word_that_it_is_told_to_expect(name):
    vocabulary = (ROOT / "config/models/tiny-en/graph/words.txt").read_text().split()
    _, done = await converse(SCRIPTS / name, CallStarted(), "call me back")
    assert isinstance(done, ReplyDone)
    assert done.listen is not None
    assert {word for phrase in done.listen.phrases for word in phrase.split()} <= {*vocabulary}


async def test_the_first_words_of_a_call_are_free_and_an_answer_is_not():
    _, done = await converse(SCRIPTS / "reception.yaml", CallStarted())
    assert done.listen == Listen()
    _, done = await converse(SCRIPTS / "reception.yaml", CallStarted(), "book an appointment on monday")
    assert {"yes please", "on friday afternoon", "no thank you", "operator"} <= {*done.listen.phrases}


async def test_a_reply_that_is_thrown_away_advances_nothing():
    async with opened(SCRIPTS / "reception.yaml") as model:
        *_, started = await reply_to(model, CallStarted())
        first = await reply_to(model, Utterance("i want an appointment"), started.state)
        await reply_to(model, Utterance("i want an appointment on monday"), started.state)
        assert await reply_to(model, Utterance("i want an appointment"), started.state) == first


async def test_calls_do_not_mix():
    async with opened(SCRIPTS / "reception.yaml") as model:
        *_, one = await reply_to(model, Utterance("appointment on monday"))
        *_, other = await reply_to(model, Utterance("appointment on friday"))
        assert TextDelta("Booked, on Monday. ") in await reply_to(model, Utterance("yes"), one.state)
        assert TextDelta("Booked, on Friday. ") in await reply_to(model, Utterance("yes"), other.state)


async def test_a_reply_is_text_then_tools_then_done():
    async with opened(SCRIPTS / "reception.yaml") as model:
        text, more, call, done = await reply_to(model, Utterance("operator"))
        assert (text, more) == (TextDelta("One moment. "), TextDelta("I will connect you with the operator."))
        assert (call.name, call.arguments) == ("transfer", {"target": "2000"})
        assert done.reason == "complete"


async def test_a_transfer_that_is_not_offered_is_not_called():
    async with opened(SCRIPTS / "reception.yaml") as model:
        events = await reply_to(model, Utterance("operator"), tools=(TOOLS[0],))
        assert not [event for event in events if isinstance(event, ToolCall)]
        assert events[0] == TextDelta("I am sorry, I can't connect you from here. ")


async def test_results_of_tools_need_no_words():
    async with opened(SCRIPTS / "reception.yaml") as model:
        *_, bye = await reply_to(model, Utterance("goodbye"))
        (done,) = await reply_to(model, ToolResults({"hang_up-0": ""}), bye.state)
        assert (done.reason, done.state, done.listen) == ("empty", bye.state, None)


async def test_a_timeout_around_receive_loses_nothing():
    async with (
        opened(SCRIPTS / "reception.yaml") as model,
        model.respond(ReplyRequest(CallStarted(), tools=TOOLS)) as stream,
    ):
        with trio.CancelScope() as scope:
            scope.cancel()
            await stream.receive()
        assert scope.cancelled_caught
        assert await stream.receive() == TextDelta("Hello, this is the front desk. ")


async def test_a_reply_may_be_left_at_any_time():
    async with opened(SCRIPTS / "reception.yaml") as model:
        with trio.move_on_after(0):
            async with model.respond(ReplyRequest(CallStarted(), tools=TOOLS)) as stream:
                await stream.receive()
        assert await reply_to(model, CallStarted())


def test_check_reports_problems_in_the_script_itself():
    script = "start: a\nstates:\n  a:\n    say: hello\n    on: {bye: {go: b}}\nintents: {bye: {phrases: [bye]}}\n"
    (problem,) = llm.check(options(script))
    assert str(problem) == 'scripts/talk.yaml:5:20: states.a.on.bye.go: there is no state "b" (states: a)'
    (problem,) = llm.check(options("states: [\n"))
    assert problem.where.file == Path("scripts/talk.yaml")
    assert [*llm.check(options(""))]
    assert not [*llm.check(options(SCRIPTS / "reception.yaml"))]


def test_logs_show_the_scripts_name():
    assert llm.model(options("")) == "talk.yaml"


def test_the_documentation_shows_a_script_that_works():
    text = (ROOT / "docs/reference/scripted.md").read_text()
    blocks = re.findall(r"^```yaml[^\n]*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert blocks
    for block in blocks:
        assert read_script(options(block).script)


def test_a_script_is_read_once_for_all_pipelines_that_use_it():
    """A thousand pipelines of a script are checked as fast as one."""
    first, second = (options(SCRIPTS / "reception.yaml").script for _ in range(2))
    assert first is not second
    assert read_script(first) is read_script(second)


VALUES = """\
start: hello
intents:
  when: {patterns: ['at (?P<time>[a-z]+)']}
  who: {phrases: [who am i]}
  book: {phrases: [book]}
states:
  hello:
    say: Hello {variables.customer|there}, you called {called} from {caller}.
    on:
      when: {say: "{time|never}, then."}
      who: {say: "{caller} {variables.name} {variables.a-b}."}
      book: {call: {book: {number: "{caller}", at: "{date}", day: "{variables.day|any}"}}}
"""
SAID = {
    "caller": "4 9 3 0",
    "called": "100",
    "variables.customer": "Ada {caller}",
    "variables.a-b": "x",
    "time": "noon",
}
WRITTEN = {"caller": "+4930", "date": "Monday, 2026-11-30", "time": "12:00"}


async def reply_with_values(trigger, state=None, **values):
    async with opened(VALUES) as model:
        request = ReplyRequest(trigger, tools=(Tool("book", ""),), state=state, **values)
        async with model.respond(request) as stream:
            events = []
            while (event := await stream.receive()) is not None:
                events.append(event)
    return "".join(event.text for event in events if isinstance(event, TextDelta)), events


@pytest.mark.parametrize(
    ("trigger", "text"),
    [
        (CallStarted(), "Hello Ada {caller}, you called 100 from 4 9 3 0."),  # a value is put in once
        (Utterance("who am i"), "4 9 3 0 x."),
        (Utterance("at five"), "five, then."),  # a slot of the script comes before the value of its name
    ],
)
async def test_a_script_has_the_values_of_the_call_as_they_are_said(trigger, text):
    assert (await reply_with_values(trigger, values=WRITTEN, spoken_values=SAID))[0] == text


async def test_a_script_without_values():
    assert (await reply_with_values(CallStarted()))[0] == "Hello there, you called from."


async def test_a_scripts_tools_get_them_as_they_are_written():
    _, events = await reply_with_values(Utterance("book"), values=WRITTEN, spoken_values=SAID)
    (call,) = [event for event in events if isinstance(event, ToolCall)]
    assert call.arguments == {"number": "+4930", "at": "Monday, 2026-11-30", "day": "any"}
