"""A component that fails on a call: an apology, then what is configured; nothing else comes out of the call."""

import weakref
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from attrs import evolve
from garbage import left_to_the_collector, ours

from voicepipe.calls.events import CallBegan, CallEnded, ComponentFailed, TurnEnded
from voicepipe.calls.turns.rules.closing import LAST_WORDS_S
from voicepipe.components.events import TextDelta
from voicepipe.config.call_settings import BudgetsSettings, LimitsSettings, OnFailure, TextToSpeechBudgets, TransferTo
from voicepipe.errors import ComponentError, TransportError
from voicepipe.testing.calls import RehearsedCall
from voicepipe.testing.components import ScriptedLanguageModel, ScriptedSpeechToText, ToneTextToSpeech
from voicepipe.testing.transport import MemoryTransport

SORRY = OnFailure(say="Sorry, that went wrong.", then="dialplan", retries=0)
FAILURES = [
    lambda: ComponentError("refused"),
    lambda: RuntimeError("boom"),
    lambda: SystemExit(1),
    lambda: ExceptionGroup("two", [OSError("a"), ValueError("b")]),
]
IDS = ["component error", "exception", "system exit", "group"]


class Failing:
    """A component's stream that fails: on entering, or at the first of one of its methods."""

    def __init__(self, inner, failure, at):
        self.inner, self.failure, self.at = inner, failure, at

    async def __aenter__(self):
        if self.at == "open":
            raise self.failure
        self.stream = await self.inner.__aenter__()
        return self

    async def __aexit__(self, *exc):
        return await self.inner.__aexit__(*exc)

    def __getattr__(self, name):
        if name == self.at:
            return self.fail
        return getattr(self.stream, name)

    async def fail(self, *args):
        await trio.lowlevel.checkpoint()
        raise self.failure


class FailingSpeechToText(ScriptedSpeechToText):
    failure, at = None, ""

    def open_stream(self, stream_input, listen):
        return Failing(super().open_stream(stream_input, listen), self.failure, self.at)


class FailingLanguageModel(ScriptedLanguageModel):
    failure, at = None, ""

    def respond(self, request):
        return Failing(super().respond(request), self.failure, self.at)


class FailingTextToSpeech(ToneTextToSpeech):
    """Fails as often as it is told, then works."""

    failure, at, times = None, "", 1

    def open_stream(self, output, language):
        inner = super().open_stream(output, language)
        if self.times == 0:
            return inner
        self.times -= 1
        return Failing(inner, self.failure, self.at)


def failing(role, failure, at, **options):
    component = {
        "stt": lambda: FailingSpeechToText(["hello"]),
        "llm": lambda: FailingLanguageModel(lambda _request: "Never said."),
        "tts": FailingTextToSpeech,
    }[role]()
    component.failure, component.at = failure, at
    for name, value in options.items():
        setattr(component, name, value)
    return component


def call_with(role, component, **settings):
    call = RehearsedCall(settings={"on_failure": SORRY, **settings})
    setattr(call, role, component)
    return call


def speaking_caller(call):
    async def caller():
        await call.transport.be_silent(200)
        await call.transport.say(600)
        await call.transport.be_silent(60_000)

    return caller


MOMENTS = [
    ("stt", "open"),
    ("stt", "send"),
    ("stt", "receive"),
    ("stt", "end_utterance"),
    ("llm", "open"),
    ("llm", "receive"),
    ("tts", "open"),
    ("tts", "send"),
    ("tts", "finish"),
    ("tts", "receive"),
]


@pytest.mark.parametrize("failure", FAILURES, ids=IDS)
@pytest.mark.parametrize(("role", "at"), MOMENTS)
async def test_the_caller_hears_the_apology_and_goes_back_to_the_dialplan(autojump_clock, role, at, failure):
    call = call_with(role, failing(role, failure(), at), greeting="" if role == "stt" else None)
    ended = await call.hold(speaking_caller(call))
    assert ended.outcome == "returned_to_dialplan"
    assert call.turns[-1].said == "Sorry, that went wrong."
    assert call.turns[-1].trigger == "announcement"
    (failed,) = call.told(ComponentFailed)
    assert (failed.role, failed.error.component, failed.error.role) == (role, f"test_{role}", role)
    assert str(failed.error) == ended.detail
    assert call.events[-1] is call.told(CallEnded)[0]
    assert (call.stt.open_streams, call.llm.open_streams, call.tts.open_streams) == (0, 0, 0)


@pytest.mark.parametrize("retries", [0, 1])
@pytest.mark.parametrize(("role", "at"), MOMENTS)
async def test_nothing_of_it_is_left_to_the_garbage_collector(autojump_clock, role, at, retries):
    """During an outage every call is such a call: what each left behind, a busy engine would soon have to look for."""
    opened = failing(role, ComponentError("refused"), at)
    with left_to_the_collector() as left:
        call = call_with(
            role, opened, on_failure=evolve(SORRY, retries=retries), greeting="" if role == "stt" else None
        )
        await call.hold(speaking_caller(call))
        assert call.told(ComponentFailed)
        held = weakref.ref(call.call)
        del call
        await trio.testing.wait_all_tasks_blocked()
        assert held() is None  # although the component has kept what it raised
        del opened
    assert ours(left) == []


@pytest.mark.parametrize("at", ["open", "send", "receive", "finish"])
async def test_without_any_voice_the_call_still_ends(autojump_clock, at):
    call = call_with("tts", failing("tts", ComponentError("gone"), at, times=9))
    ended = await call.hold(speaking_caller(call))
    assert ended.outcome == "returned_to_dialplan"
    assert ended.at_s < 1
    assert [failed.role for failed in call.told(ComponentFailed)] == ["tts", "tts"]
    assert call.transport.ended.is_set()


@pytest.mark.parametrize(
    ("then", "outcome", "transferred_to"),
    [
        ("dialplan", "returned_to_dialplan", None),
        ("hang_up", "failed", None),
        (TransferTo("100"), "transfer_requested", "100"),
    ],
)
async def test_what_happens_then_is_configured(autojump_clock, then, outcome, transferred_to):
    call = call_with("llm", failing("llm", ComponentError("gone"), "open"), on_failure=OnFailure("Sorry.", then))
    ended = await call.hold(speaking_caller(call))
    assert (ended.outcome, call.transport.transferred_to) == (outcome, transferred_to)
    assert call.turns[-1].said == "Sorry."


async def test_a_reply_that_breaks_off_keeps_what_was_heard(autojump_clock):
    """A model's stream that just ends is no reply: the rest of it is missing."""
    call = call_with("llm", ScriptedLanguageModel(lambda _: [TextDelta("This was heard. "), 2.0]))
    ended = await call.hold(lambda: call.transport.be_silent(10_000))
    assert (ended.outcome, ended.detail) == ("returned_to_dialplan", "test_llm: ended before its reply did")
    assert [(turn.said, turn.interrupted) for turn in call.turns] == [
        ("This was heard.", False),
        ("Sorry, that went wrong.", False),
    ]


async def test_a_recogniser_that_fails_does_not_cut_the_apology_short(autojump_clock):
    """Both fail, one after the other: the apology for the first is heard to its end."""

    class Later(ScriptedSpeechToText):
        @asynccontextmanager
        async def open_stream(self, stream_input, listen):
            await trio.sleep(0.5)
            raise ComponentError("gone")
            yield

    call = call_with("llm", failing("llm", ComponentError("gone too"), "open"))
    call.stt = Later()
    ended = await call.hold(speaking_caller(call))
    assert [failed.role for failed in call.told(ComponentFailed)] == ["llm", "stt"]
    assert call.turns[-1].said == "Sorry, that went wrong."
    assert ended.detail == "test_llm: gone too"


async def test_a_recogniser_that_ends_by_itself_has_failed(autojump_clock):
    class Ending(ScriptedSpeechToText):
        @asynccontextmanager
        async def open_stream(self, stream_input, listen):
            async with super().open_stream(stream_input, listen) as stream:
                stream._inbox.end()
                yield stream

    call = call_with("stt", Ending(), greeting="")
    ended = await call.hold(speaking_caller(call))
    assert (ended.outcome, ended.detail) == ("returned_to_dialplan", "test_stt: ended while the call was on")


async def test_last_words_that_hang_do_not_keep_the_call(autojump_clock):
    class Hanging(ToneTextToSpeech):
        @asynccontextmanager
        async def open_stream(self, output, language):
            await trio.sleep_forever()
            yield

    call = RehearsedCall(
        tts=Hanging(),
        settings={
            "greeting": "Never said.",
            "limits": LimitsSettings(max_call_minutes=0.1),
            "budgets": BudgetsSettings(tts=TextToSpeechBudgets(connect_ms=3_600_000)),
        },
    )
    ended = await call.hold(speaking_caller(call))
    assert ended.outcome == "max_length"
    assert ended.at_s == pytest.approx(6 + LAST_WORDS_S)


async def test_a_telephone_that_breaks_its_protocol_ends_the_call(autojump_clock):
    class Broken(MemoryTransport):
        async def run(self, sink):
            await trio.sleep(1)
            raise TransportError("sent 160 bytes where 320 are a frame")

    call = RehearsedCall(transport=Broken(), settings={"greeting": "Good morning."})
    ended = await call.hold()
    assert (ended.outcome, ended.detail) == ("failed", "sent 160 bytes where 320 are a frame")


async def test_a_failure_is_told_once_and_in_its_place(autojump_clock):
    call = call_with("llm", failing("llm", ComponentError("gone"), "receive"))
    await call.hold(speaking_caller(call))
    kinds = [
        type(event) for event in call.events if isinstance(event, CallBegan | ComponentFailed | TurnEnded | CallEnded)
    ]
    assert kinds == [CallBegan, ComponentFailed, TurnEnded, TurnEnded, CallEnded]
