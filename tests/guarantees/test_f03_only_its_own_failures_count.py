"""F03: the breaker that all calls share counts what is the component's own fault; one call tries it, not all."""

from __future__ import annotations

import errno
from contextlib import asynccontextmanager
from contextvars import ContextVar
from copy import copy

import pytest
import trio
from flaky import FlakyLlm, FlakyStt, FlakyTts, Telephone
from recording import RecordedSet, pipeline

from voicepipe import CallInfo, ComponentError, ComponentFailed, FailedOver, open_call
from voicepipe.components.events import ReplyDone, TextDelta

REFUSALS = {
    "too long": ComponentError("HTTP 400", retryable=False, too_long=True),
    "filtered": ComponentError("HTTP 400", retryable=False, fault="request"),
    "filtered, and a pause": ComponentError("HTTP 400", retryable=False, fault="request", retry_after_s=60),
    "no descriptors": OSError(errno.EMFILE, "Too many open files"),
}


class Refusing:
    """A component that refuses what naughty calls ask, and takes down when it was asked."""

    def __init__(self, component, refusal):
        self._component, self._refusal = component, refusal
        self.asked = []

    def __getattr__(self, name):
        return getattr(self._component, name)

    def open_stream(self, *args):
        return self._use(self._component.open_stream(*args))

    def respond(self, request):
        return self._use(self._component.respond(request))

    @asynccontextmanager
    async def _use(self, inner):
        self.asked.append(trio.current_time())
        if NAUGHTY.get() and (what := self._refusal()) is not None:
            raise what
        async with inner as stream:
            yield stream


NAUGHTY = ContextVar("naughty", default=False)
"""Whether this task's call asks what is refused: each call's tasks inherit it."""


def component(role):
    if role == "stt":
        return FlakyStt(["question"] * 99)
    return FlakyLlm(["fine."]) if role == "llm" else FlakyTts()


async def converse(pipelines, name, turns=2, *, naughty=False):
    """A call of some turns; its events."""
    phone, events = Telephone(info=CallInfo(name)), []
    NAUGHTY.set(naughty)

    async def caller():
        for _ in range(turns):
            await phone.be_silent(1500)
            await phone.say(400)
            await phone.be_silent(3000)
        await phone.hang_up_as_caller()

    with pipelines.pin() as snapshot:
        async with trio.open_nursery() as nursery, open_call(snapshot.active, phone, observer=events.append) as call:
            nursery.start_soon(caller)
            ended = await call.run()
    return ended, events, phone


def of(events, kind):
    return [event for event in events if isinstance(event, kind)]


@pytest.mark.parametrize("name", REFUSALS)
@pytest.mark.parametrize("role", ["stt", "llm", "tts"])
async def test_what_one_call_asked_is_no_other_call_s_affair(autojump_clock, tmp_path, role, name):
    recorded = RecordedSet(tmp_path)
    recorded.components = {f"{one} {letter}": component(one) for one in ("stt", "llm", "tts") for letter in "ab"}
    first = Refusing(component(role), lambda: copy(REFUSALS[name]))
    recorded.components[f"{role} a"] = first
    recorded.write(default=pipeline(**{role: ["a", "b"]}, greeting="hello."))
    async with recorded.serve() as pipelines:
        breaker = getattr(pipelines.current.active, role)[0].breaker
        for number in range(3):
            ended, events, phone = await converse(pipelines, f"naughty {number}", naughty=True)
            assert ended.outcome == "caller_hung_up"
            # The next alternative gets it, and answers.
            assert {event.rung for event in of(events, FailedOver)} <= {"alternate", "retry"}
            assert phone.heard.count("fine.") == 2
            assert {event.error.fault for event in of(events, ComponentFailed)} == (
                {"local"} if name == "no descriptors" else {"request"}
            )
            assert (breaker.state, breaker.failures) == ("closed", 0)
        asked = len(first.asked)
        ended, events, _ = await converse(pipelines, "innocent")
        assert (of(events, ComponentFailed), len(first.asked) > asked) == ([], True)
        assert breaker.excused > 0


async def test_a_call_does_not_ask_again_what_was_refused(autojump_clock, tmp_path):
    """The words that a filter did not like stay in the conversation: each turn would run into it anew."""
    recorded = RecordedSet(tmp_path)
    recorded.components = {"llm a": Refusing(FlakyLlm(["fine."]), lambda: copy(REFUSALS["filtered"]))}
    recorded.components |= {"llm b": FlakyLlm(["fine."]), "stt a": component("stt"), "tts a": component("tts")}
    recorded.write(default=pipeline(llm=["a", "b"], greeting="hello."))
    async with recorded.serve() as pipelines:
        _, events, phone = await converse(pipelines, "naughty", 4, naughty=True)
    assert phone.heard.count("fine.") == 4
    assert len(recorded.components["llm a"].asked) == 1
    assert len(of(events, ComponentFailed)) == 1


async def test_if_all_refuse_the_caller_hears_the_apology_and_each_was_asked_once(autojump_clock, tmp_path):
    recorded = RecordedSet(tmp_path)
    models = [Refusing(FlakyLlm(["fine."]), lambda: copy(REFUSALS["filtered"])) for _ in range(3)]
    recorded.components = {f"llm {letter}": model for letter, model in zip("abc", models, strict=True)}
    recorded.components |= {"stt a": component("stt"), "tts a": component("tts")}
    recorded.write(default=pipeline(llm=["a", "b", "c"], greeting="hello."))
    async with recorded.serve() as pipelines:
        _, events, _ = await converse(pipelines, "naughty", naughty=True)
        assert {one.breaker.state for one in pipelines.current.active.llm} == {"closed"}
    assert [len(model.asked) for model in models] == [1, 1, 1]
    assert of(events, FailedOver)[-1].rung == "apology"


async def test_a_text_that_was_refused_says_nothing_of_the_next(autojump_clock, tmp_path):
    """A voice is asked for another text each time."""
    once = [copy(REFUSALS["too long"])]
    recorded = RecordedSet(tmp_path)
    first = Refusing(FlakyTts(), lambda: once.pop() if once else None)
    recorded.components = {"tts a": first, "tts b": FlakyTts(second=True)}
    recorded.components |= {"llm a": FlakyLlm(["fine."]), "stt a": component("stt")}
    recorded.write(default=pipeline(tts=["a", "b"], greeting="hello."))
    async with recorded.serve() as pipelines:
        _, _, phone = await converse(pipelines, "naughty", naughty=True)
    assert phone.heard == "HELLO.fine.fine."


async def test_what_a_filter_stopped_in_the_middle_counts_against_nobody(autojump_clock, tmp_path):
    recorded = RecordedSet(tmp_path)
    filtered = [TextDelta("we are open. "), copy(REFUSALS["filtered"])]
    recorded.components = {"llm a": FlakyLlm([filtered]), "llm b": FlakyLlm(["and at three."])}
    recorded.components |= {"stt a": component("stt"), "tts a": component("tts")}
    recorded.write(default=pipeline(llm=["a", "b"], greeting="hello."))
    async with recorded.serve() as pipelines:
        _, _, phone = await converse(pipelines, "naughty")
        assert pipelines.current.active.llm[0].breaker.state == "closed"
    assert "we are open." in phone.heard
    assert "and at three." in phone.heard


class Slow(FlakyLlm):
    """Answers after a while, and counts who waits."""

    now = most = 0

    @asynccontextmanager
    async def respond(self, request):
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await trio.sleep(1.0)
            async with super().respond(request) as stream:
                yield stream
        finally:
            self.now -= 1


@pytest.mark.parametrize("recovers", [True, False])
async def test_of_many_calls_one_tries_a_component_that_has_no_probe(autojump_clock, tmp_path, recovers):
    recorded = RecordedSet(tmp_path)
    answers = [[TextDelta("fine."), ReplyDone()] if recovers else ComponentError("HTTP 500", retryable=False)]
    first = Slow(answers)
    recorded.components = {"llm a": first, "llm b": FlakyLlm(["fine."]), "tts a": component("tts")}
    recorded.components["stt a"] = component("stt")
    recorded.write(default=pipeline(llm=["a", "b"], greeting="hello."))
    async with recorded.serve() as pipelines:
        breaker = pipelines.current.active.llm[0].breaker
        breaker.open(ComponentError("HTTP 503"), trio.current_time())
        await trio.sleep(breaker.retry_at - trio.current_time() + 0.1)
        assert breaker.state == "half_open"
        results = []

        async def one(number):
            results.append(await converse(pipelines, str(number), turns=1))

        async with trio.open_nursery() as nursery:
            for number in range(8):
                nursery.start_soon(one, number)
        assert (first.most, len(first.requests)) == (1, 1)
        assert (breaker.state == "closed") == recovers
    assert {phone.heard for _, _, phone in results} == {"hello.fine."}
