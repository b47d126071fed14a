"""Tools run beside the conversation: when they begin, what the model learns, what is told."""

import pytest
import trio
from attrs import evolve

from voicepipe.calls.conversation import MOST_TOOL_ROUNDS, RUNNING
from voicepipe.calls.events import CallEnded, ComponentFailed, ComponentUsed, ReplyStarted, ToolEnded, ToolStarted
from voicepipe.components.events import ReplyDone, TextDelta
from voicepipe.components.requests import Message, ToolCall, ToolResults
from voicepipe.config.call_settings import LimitsSettings, TurnsSettings
from voicepipe.errors import ComponentError, ToolError
from voicepipe.testing.calls import RehearsedCall
from voicepipe.testing.components import ScriptedLanguageModel, ScriptedSpeechToText
from voicepipe.testing.transport import MemoryTransport
from voicepipe.tools.functions import FunctionTool, ToolContext

SCHEMA = {
    "type": "object",
    "properties": {"day": {"type": "string", "enum": ["monday", "tuesday"]}},
    "required": ["day"],
    "additionalProperties": False,
}
BOOK_MONDAY = ToolCall("1", "book", {"day": "monday"})


class Book:
    """A tool that notes when it began and ended."""

    def __init__(self, takes_s=0.5, result="booked", **options):
        self.takes_s, self.result = takes_s, result
        self.began, self.ended, self.contexts = [], [], []
        self.tool = FunctionTool("book", "Books a time.", SCHEMA, self.run, **options)

    async def run(self, arguments, context):
        self.began.append((trio.current_time(), dict(arguments)))
        self.contexts.append(context)
        await trio.sleep(self.takes_s)
        self.ended.append(trio.current_time())
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result


def call_with(*tools, answers, stt=(), names=None, **settings):
    """A call whose model gives these answers in order; the last one stays."""
    answers = list(answers)

    def answer(_request):
        return answers.pop(0) if len(answers) > 1 else answers[0]

    return RehearsedCall(
        stt=ScriptedSpeechToText(list(stt)),
        llm=ScriptedLanguageModel(answer),
        settings={
            "tools": names or ("hang_up", *(tool.name for tool in tools)),
            "functions": tools,
            "greeting": "Hello.",
            "limits": LimitsSettings(no_audio_s=600, idle_prompt_s=60),
            **settings,
        },
    )


def asking(text, *calls):
    """A reply that says something and calls tools."""
    return [*([TextDelta(text)] if text else []), *calls, ReplyDone()]


async def spoken_to(call, *, wait_ms=6000):
    """The caller speaks once after the greeting, and hangs up later."""

    async def caller():
        await call.transport.be_silent(1000)
        await call.transport.say(600)
        await call.transport.be_silent(wait_ms)
        await call.transport.hang_up_as_caller()

    return await call.hold(caller)


async def test_the_model_makes_something_of_a_result(autojump_clock):
    book = Book()
    call = call_with(book.tool, answers=[asking("One moment.", BOOK_MONDAY), "That is booked."], stt=["monday please"])
    await spoken_to(call)
    assert call.conversation == [("", "Hello."), ("monday please", "One moment."), ("", "That is booked.")]
    assert [turn.trigger for turn in call.turns] == ["announcement", "utterance", "tool_results"]
    assert [arguments for _, arguments in book.began] == [{"day": "monday"}]
    request = call.llm.requests[-1]
    assert request.trigger == ToolResults({"1": "booked"})
    assert request.messages == (
        Message("agent", "Hello."),
        Message("caller", "monday please"),
        Message("agent", "One moment.", tool_calls=(BOOK_MONDAY,)),
        Message("tool", "booked", tool_call_id="1"),
    )


async def test_a_tool_is_told_which_call_it_is(autojump_clock):
    book = Book()
    call = call_with(book.tool, answers=[asking("", BOOK_MONDAY), "Done."], stt=["hello"])
    await spoken_to(call)
    assert book.contexts == [ToolContext(call.call.call_id, call.call.info)]


async def test_beginning_and_end_are_told(autojump_clock):
    call = call_with(Book(result="x" * 1000).tool, answers=[asking("", BOOK_MONDAY), "Done."], stt=["hello"])
    await spoken_to(call)
    (started,), (ended,) = call.told(ToolStarted), call.told(ToolEnded)
    assert (started.name, started.arguments, started.tool_call_id) == ("book", {"day": "monday"}, "1")
    assert (ended.name, ended.ok, ended.tool_call_id, ended.error) == ("book", True, "1", None)
    assert ended.seconds == pytest.approx(0.5)
    assert len(ended.result) == 200
    assert call.llm.requests[-1].trigger.results["1"] == "x" * 1000


async def test_a_tool_begins_when_its_reply_is_heard(autojump_clock):
    """Not when the reply has been spoken to its end."""
    book = Book(takes_s=0.1)
    call = call_with(book.tool, answers=[asking("Let me see about that.", BOOK_MONDAY), "Done."], stt=["hello"])
    await spoken_to(call)
    heard = [event.at_s for event in call.told(ReplyStarted)]
    assert call.told(ToolStarted)[0].at_s == pytest.approx(heard[1])
    # The result was there before the reply had been spoken; the model is asked after that.
    assert call.conversation[1:] == [("hello", "Let me see about that."), ("", "Done.")]
    assert heard[2] > call.told(ToolEnded)[0].at_s + 1


async def test_a_tool_begins_when_the_model_is_done_if_the_reply_is_heard_before(autojump_clock):
    book = Book(takes_s=0.1)
    slow = [TextDelta("Let me see about that. "), 0.7, BOOK_MONDAY, 0.2, ReplyDone()]
    call = call_with(book.tool, answers=[slow, "Done."], stt=["hello"])
    await spoken_to(call)
    heard = [event.at_s for event in call.told(ReplyStarted)]
    assert call.told(ToolStarted)[0].at_s == pytest.approx(heard[1] + 0.9)
    assert call.conversation[-1] == ("", "Done.")


async def test_a_reply_that_is_retracted_never_began_its_tool(autojump_clock):
    """The caller goes on while the reply is being made: both parts get one reply, and one booking."""
    book = Book()
    answers = [[TextDelta("Monday"), BOOK_MONDAY, 2.0, ReplyDone()], asking("One moment.", BOOK_MONDAY), "Done."]
    call = call_with(book.tool, answers=answers, stt=["monday", "in the morning"])

    async def caller():
        await call.transport.be_silent(1000)
        await call.transport.say(400)
        await call.transport.be_silent(1000)
        await call.transport.say(400)
        await call.transport.be_silent(6000)
        await call.transport.hang_up_as_caller()

    await call.hold(caller)
    assert [turn.heard for turn in call.turns] == ["", "monday in the morning", ""]
    assert len(book.began) == 1
    assert len(call.told(ToolStarted)) == 1


async def test_a_model_that_dies_after_calling_a_tool_does_not_run_it_twice(autojump_clock):
    book = Book()
    dies = ScriptedLanguageModel(lambda _: [BOOK_MONDAY])  # ends without a `ReplyDone`
    answers = [asking("", BOOK_MONDAY), "Done."]
    call = call_with(book.tool, answers=answers, stt=["hello"])
    call.llm = [dies, call.llm]
    await spoken_to(call)
    assert len(book.began) == 1
    assert call.told(ComponentFailed)[0].role == "llm"


@pytest.mark.parametrize(("preemptive_words", "runs"), [(["monday"], 1)])
async def test_a_prepared_reply_begins_its_tool_when_it_is_adopted(autojump_clock, preemptive_words, runs):
    book = Book()
    call = call_with(
        book.tool,
        answers=[asking("", BOOK_MONDAY), "Done."],
        stt=preemptive_words,
        turns=TurnsSettings(preemptive=True),
    )
    await spoken_to(call)
    assert len(book.began) == runs
    assert call.conversation[-1] == ("", "Done.")


# --- What goes wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("book", "arguments", "result"),
    [
        (Book(), {}, "error: 'day' is a required property"),
        (Book(), {"day": "sunday"}, "error: day: 'sunday' is not one of ['monday', 'tuesday']"),
        (Book(takes_s=30), {"day": "monday"}, "error: book did not answer within 10 s"),
        (Book(takes_s=30, timeout_s=0.5), {"day": "monday"}, "error: book did not answer within 0.5 s"),
        (Book(result=ToolError("Monday is full.")), {"day": "monday"}, "error: Monday is full."),
        (Book(result=ValueError("key=s3cret")), {"day": "monday"}, "error: the tool failed (ValueError)"),
        (Book(result=SystemExit(1)), {"day": "monday"}, "error: the tool failed (SystemExit)"),
        (
            Book(result=ExceptionGroup("", [OSError("no")])),
            {"day": "monday"},
            "error: the tool failed (OSError)",
        ),
        (Book(result=object()), {"day": "monday"}, "error: the tool failed (TypeError)"),
        (Book(result={"at": 9}), {"day": "monday"}, '{"at": 9}'),
        (Book(result=None), {"day": "monday"}, "done"),
    ],
)
async def test_what_goes_wrong_is_a_result_and_no_exception(autojump_clock, book, arguments, result):
    call = call_with(book.tool, answers=[asking("", ToolCall("1", "book", arguments)), "Sorry."], stt=["hello"])
    ended = await spoken_to(call, wait_ms=15000)
    assert ended.outcome == "caller_hung_up"
    (told,) = call.told(ToolEnded)
    assert told.result == result
    assert told.ok == (not result.startswith("error"))
    assert (told.error is not None) == ("the tool failed" in result)
    assert call.llm.requests[-1].trigger == ToolResults({"1": result}, frozenset() if told.ok else frozenset({"1"}))
    assert call.conversation[-1] == ("", "Sorry.")


async def test_a_transfer_without_a_target_is_told_to_the_model(autojump_clock):
    answers = [asking("One moment.", ToolCall("1", "transfer", {"target": " "})), "Where do you want to go?"]
    call = call_with(answers=answers, stt=["operator"], names=("transfer",))
    ended = await spoken_to(call)
    assert ended.outcome == "caller_hung_up"
    assert call.transport.transferred_to is None
    assert "target" in call.llm.requests[-1].trigger.results["1"]
    assert call.conversation[-1] == ("", "Where do you want to go?")


async def test_a_model_that_loops_must_answer_in_the_end(autojump_clock):
    """It is offered no more tools; if it calls one all the same, nothing comes of it."""
    book = Book(takes_s=0.1)
    call = call_with(book.tool, answers=[asking("", BOOK_MONDAY)], stt=["hello", "hello?"])

    async def caller():
        await call.transport.be_silent(1000)
        await call.transport.say(600)
        await call.transport.be_silent(8000)
        assert len(book.began) == MOST_TOOL_ROUNDS
        await call.transport.say(600)
        await call.transport.be_silent(8000)
        await call.transport.hang_up_as_caller()

    await call.hold(caller)
    assert len(book.began) == 2 * MOST_TOOL_ROUNDS
    offered = [bool(request.tools) for request in call.llm.requests]
    assert offered == 2 * [*[True] * MOST_TOOL_ROUNDS, False]
    ids = [message.tool_call_id for message in call.llm.requests[-1].messages if message.role == "tool"]
    assert len(ids) == len(set(ids)) == 2 * MOST_TOOL_ROUNDS + 1


# --- Several at once ---------------------------------------------------------------------------------------------


async def test_tools_of_a_reply_run_together_and_are_replied_to_together(autojump_clock):
    quick, slow = Book(takes_s=0.5), Book(takes_s=2, result="later")
    other = evolve(slow.tool, name="other")
    calls = [BOOK_MONDAY, ToolCall("2", "other", {"day": "tuesday"})]
    call = call_with(quick.tool, other, answers=[asking("", *calls), "Done."], stt=["hello"])
    await spoken_to(call)
    assert quick.began[0][0] == slow.began[0][0]
    assert call.llm.requests[-1].trigger == ToolResults({"1": "booked", "2": "later"})
    assert len(call.llm.requests) == 2


async def test_who_speaks_meanwhile_is_answered_and_the_result_comes_after(autojump_clock):
    """The conversation says that the tool still runs, and has its result where the call was."""
    book = Book(takes_s=5)
    answers = [asking("", BOOK_MONDAY), "Still at it.", "Booked."]
    call = call_with(book.tool, answers=answers, stt=["monday", "are you there"])

    async def caller():
        await call.transport.be_silent(1000)
        await call.transport.say(400)
        await call.transport.be_silent(2000)
        await call.transport.say(400)
        await call.transport.be_silent(6000)
        await call.transport.hang_up_as_caller()

    await call.hold(caller)
    assert call.conversation == [
        ("", "Hello."),
        ("monday", ""),
        ("are you there", "Still at it."),
        ("", "Booked."),
    ]
    during, after = (request.messages for request in call.llm.requests[1:])
    assert during[2:] == (
        Message("agent", "", tool_calls=(BOOK_MONDAY,)),
        Message("tool", RUNNING, tool_call_id="1"),
        Message("caller", "are you there"),
    )
    assert after[3] == Message("tool", "booked", tool_call_id="1")


# --- Waiting -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("takes_s", "after_ms", "fillers"), [(0.5, 1000, 0), (3, 1000, 1), (8, 1000, 1), (4, 2500, 1), (3, 2500, 0)]
)
async def test_a_filler_is_said_once_when_a_tool_is_slow(autojump_clock, takes_s, after_ms, fillers):
    book = Book(takes_s=takes_s, filler="Just a second.", filler_after_ms=after_ms)
    call = call_with(book.tool, answers=[asking("Let me see.", BOOK_MONDAY), "Booked."], stt=["monday"])
    await spoken_to(call, wait_ms=12000)
    said = [turn.said for turn in call.turns]
    assert said == ["Hello.", "Let me see.", *["Just a second."] * fillers, "Booked."]
    if fillers:
        heard = [event.at_s for event in call.told(ReplyStarted)]
        spoken = heard[1] + 0.06 * len("Let me see.")
        assert heard[2] == pytest.approx(spoken + after_ms / 1000, abs=0.1)


async def test_a_caller_who_waits_for_a_tool_is_not_idle(autojump_clock):
    book = Book(takes_s=8)
    limits = LimitsSettings(idle_prompt_s=2, no_audio_s=600)
    call = call_with(book.tool, answers=[asking("", BOOK_MONDAY), "Booked."], stt=["monday"], limits=limits)
    await spoken_to(call, wait_ms=9500)
    assert [turn.trigger for turn in call.turns] == ["announcement", "utterance", "tool_results"]


# --- The end ------------------------------------------------------------------------------------------------------


async def test_a_tool_may_be_called_with_the_end_of_the_call(autojump_clock):
    """The caller hears the goodbye and is let go; the booking is made, and is in the record before the end."""
    book = Book(takes_s=5)
    call = call_with(book.tool, answers=[asking("Goodbye.", BOOK_MONDAY, ToolCall("2", "hang_up"))], stt=["monday"])
    gone = []

    async def caller():
        await call.transport.be_silent(1000)
        await call.transport.say(600)
        await call.transport.be_silent(10000)

    original = call.transport.hang_up

    async def hang_up():
        gone.append(trio.current_time())
        await original()

    call.transport.hang_up = hang_up
    ended = await call.hold(caller)
    assert ended.outcome == "agent_hung_up"
    assert len(book.ended) == 1
    assert len(gone) == 1
    assert gone[0] < book.ended[0] - 3
    last = [type(event) for event in call.events if not isinstance(event, ComponentUsed)][-2:]
    assert last == [ToolEnded, CallEnded]


async def test_keys_are_pressed_where_the_transport_can(autojump_clock):
    answers = [asking("", ToolCall("1", "send_dtmf", {"digits": "12#"})), "Done."]
    call = call_with(answers=answers, stt=["hello"], names=("send_dtmf",))
    call.transport = MemoryTransport(can=frozenset({"send_dtmf"}))
    await spoken_to(call)
    assert call.transport.pressed == ["12#"]
    assert call.llm.requests[-1].trigger == ToolResults({"1": "done"})


async def test_an_unknown_tool_is_refused_with_a_hint(autojump_clock):
    call = call_with(answers=[asking("", ToolCall("1", "launch")), "Sorry."], stt=["hello"])
    await spoken_to(call)
    (failed,) = call.told(ComponentFailed)
    assert isinstance(failed.error, ComponentError)
    assert "launch" in failed.error.message
    assert "tools" in failed.error.hint
    assert call.told(ToolStarted) == []
    assert call.conversation[-1] == ("", "Sorry.")
