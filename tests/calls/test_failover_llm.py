"""A language model that goes wrong in a call: the next one answers, or goes on after what was said."""

from __future__ import annotations

from math import inf

import pytest
import trio
from flaky import FlakyLlm, FlakyStt, FlakyTts, Telephone

from voicepipe.calls.events import ComponentFailed, FailedOver
from voicepipe.components.events import ReplyDone, TextDelta, ToolCall
from voicepipe.components.requests import Utterance
from voicepipe.config.call_settings import BudgetsSettings, LanguageModelBudgets, OnFailure
from voicepipe.errors import ComponentError
from voicepipe.testing.calls import RehearsedCall

BUDGETS = BudgetsSettings(llm=LanguageModelBudgets(first_token_ms=800, gap_ms=600))
BROKE = ComponentError("broke")
REFUSED = ComponentError("refused with status 401", retryable=False)
BUSY = ComponentError("refused with status 429", retry_after_s=60)
WHOLE = [TextDelta("the first sentence. "), TextDelta("the second one."), ReplyDone()]


def call_with(*llms, **settings):
    settings = {"greeting": "", "budgets": BUDGETS, "on_failure": OnFailure(say="sorry.", retries=0), **settings}
    return RehearsedCall(
        stt=FlakyStt([f"question {number}" for number in range(1, 9)]),
        llm=list(llms),
        tts=FlakyTts(),
        transport=Telephone(),
        settings=settings,
    )


async def converse(call, *, times=1, pause_ms=4500, says_ms=600):
    async def caller():
        await call.transport.be_silent(300)
        for _ in range(times):
            await call.transport.say(says_ms)
            await call.transport.be_silent(pause_ms)
        await call.transport.hang_up_as_caller()

    return await call.hold(caller)


def talk(call):
    """Turn by turn; an empty greeting is none."""
    return [turn for turn in call.conversation if any(turn)]


def rungs(call):
    return [(over.rung, over.component) for over in call.told(FailedOver)]


SILENT_FAULTS = {
    "refuses": REFUSED,
    "breaks at once": BROKE,
    "asks to be left alone": BUSY,
    "breaks before a word": [0.3, BROKE],
    "ends without a word": [None],
    "hangs": [inf],
    "succeeds with nothing": [ReplyDone("empty")],
    "says only spaces": [TextDelta("  \n"), ReplyDone()],
}


@pytest.mark.parametrize("name", SILENT_FAULTS)
async def test_before_a_word_the_next_one_answers_as_if_nothing_had_been(autojump_clock, name):
    first, second = FlakyLlm([SILENT_FAULTS[name]]), FlakyLlm([WHOLE])
    call = call_with(first, second)
    await converse(call)
    assert talk(call) == [("question 1", "the first sentence. the second one.")]
    assert call.transport.heard == "the first sentence.the second one."
    assert rungs(call) == [("alternate", "test_llm_2")]
    (request,) = second.requests
    assert (request.trigger.text, request.said) == ("question 1", "")
    assert request.messages == first.requests[0].messages


@pytest.mark.parametrize("name", SILENT_FAULTS)
async def test_the_answer_comes_within_the_budget(autojump_clock, name):
    call = call_with(FlakyLlm([SILENT_FAULTS[name]]), FlakyLlm([WHOLE]))
    await converse(call)
    spoken = 0.3 + 0.6
    waited = call.transport.heard_from(spoken) - spoken
    late = {"hangs": 0.8, "breaks before a word": 0.3}.get(name, 0.0)
    assert waited == pytest.approx(0.6 + late, abs=0.1)


BREAKS = {"breaks": BROKE, "ends": None, "stalls": inf, "is refused": REFUSED}


@pytest.mark.parametrize("how", BREAKS)
async def test_within_a_sentence_that_nobody_has_heard_it_is_said_by_the_next(autojump_clock, how):
    first = FlakyLlm([[TextDelta("the first sen"), BREAKS[how]]])
    second = FlakyLlm([WHOLE])
    call = call_with(first, second)
    await converse(call)
    assert call.transport.heard == "the first sentence.the second one."
    assert second.requests[0].said == ""
    assert rungs(call) == [("alternate", "test_llm_2")]


@pytest.mark.parametrize("how", BREAKS)
@pytest.mark.parametrize(
    ("goes_on", "heard"),
    [
        ("the second one, from another.", "the second one, from another."),
        ("the first sentence. the second one, from another.", "the second one, from another."),
        ("The first sentence! The second one, from another.", "the second one, from another."),
        ("The first sentence.", ""),
    ],
)
async def test_after_a_sentence_that_was_said_the_next_one_goes_on(autojump_clock, how, goes_on, heard):
    first = FlakyLlm([[TextDelta("the first sentence. the sec"), 0.5, BREAKS[how]]])
    second = FlakyLlm([[TextDelta(goes_on), ReplyDone()]])
    call = call_with(first, second)
    await converse(call)
    assert call.transport.heard == "the first sentence." + heard
    assert second.requests[0].said == "the first sentence."
    assert rungs(call) == [("alternate", "test_llm_2")]
    assert len(talk(call)) == 1
    ((question, said),) = talk(call)
    assert (question, said.lower()) == ("question 1", f"the first sentence. {heard}".rstrip())


async def test_the_conversation_holds_the_reply_once(autojump_clock):
    second = FlakyLlm([[TextDelta("the second one."), ReplyDone()], "and more."])
    call = call_with(FlakyLlm([[TextDelta("the first sentence. "), 1.0, BROKE], BUSY]), second)
    await converse(call, times=2)
    assert [(message.role, message.text) for message in second.requests[1].messages] == [
        ("caller", "question 1"),
        ("agent", "the first sentence. the second one."),
        ("caller", "question 2"),
    ]


async def test_a_model_s_state_is_kept_for_that_model_only(autojump_clock):
    first = FlakyLlm([[TextDelta("one."), ReplyDone(state="mine")], BROKE, [TextDelta("three."), ReplyDone()]])
    second = FlakyLlm([[TextDelta("two."), ReplyDone(state="the other's")]])
    call = call_with(first, second)
    await converse(call, times=3)
    assert [said for _, said in talk(call)] == ["one.", "two.", "three."]
    assert [request.state for request in first.requests] == [None, "mine", "mine"]
    assert [request.state for request in second.requests] == [None]


async def test_a_failure_that_may_pass_is_tried_again_at_once(autojump_clock):
    first = FlakyLlm([BROKE, WHOLE])
    call = call_with(first, FlakyLlm(["never asked."]), on_failure=OnFailure(retries=1))
    await converse(call)
    assert call.transport.heard == "the first sentence.the second one."
    assert rungs(call) == [("retry", "test_llm")]
    assert len(first.requests) == 2


async def test_what_breaks_off_with_tools_called_calls_them_once(autojump_clock):
    """Until a reply is whole its tools are not run: what another model makes of it counts."""
    first = FlakyLlm([[TextDelta("one moment. "), ToolCall("1", "transfer", {"target": "100"}), 0.2, BROKE]])
    second = FlakyLlm([[TextDelta("one moment. "), ToolCall("1", "transfer", {"target": "200"}), ReplyDone()]])
    call = call_with(first, second, tools=("transfer",))
    ended = await converse(call)
    assert (ended.outcome, call.transport.transferred_to) == ("transfer_requested", "200")
    assert call.transport.heard == "one moment."


async def test_barge_in_while_it_fails_over_asks_nobody_any_more(autojump_clock):
    """The reply is thrown away with the failover that it was in; the next turn is answered."""
    first = FlakyLlm([[inf], [inf]])
    second = FlakyLlm([[0.5, TextDelta("late."), ReplyDone()], "here i am."])
    call = call_with(first, second)
    call.stt = FlakyStt(["question 1", "are you there"])

    async def caller():
        phone = call.transport
        await phone.be_silent(300)
        await phone.say(600)
        await phone.be_silent(1700)  # the second one is asked by now, and has said nothing
        assert len(second.requests) == 1
        await phone.say(600)
        await phone.be_silent(4000)
        await phone.hang_up_as_caller()

    await call.hold(caller)
    assert "late." not in call.transport.heard
    assert talk(call)[-1] == ("question 1 are you there", "here i am.")
    assert len(second.requests) == 2


async def test_barge_in_during_what_the_first_one_said(autojump_clock):
    first = FlakyLlm([[TextDelta("a sentence that takes its time to be said. "), 30.0, BROKE], BUSY])
    second = FlakyLlm(["here i am."])
    call = call_with(first, second, budgets=BudgetsSettings(llm=LanguageModelBudgets(gap_ms=60_000)))
    call.stt = FlakyStt(["question 1", "stop"])
    await converse(call, times=2, pause_ms=1500)
    assert [request.trigger for request in second.requests] == [Utterance("stop")]
    assert call.transport.heard.endswith("here i am.")
    assert second.requests[0].messages[1].interrupted


async def test_a_call_whose_model_speaks_first(autojump_clock):
    call = call_with(FlakyLlm([[inf]]), FlakyLlm(["good morning."]), greeting=None)

    async def caller():
        await call.transport.be_silent(3000)
        await call.transport.hang_up_as_caller()

    await call.hold(caller)
    assert call.transport.heard == "good morning."
    assert call.transport.written[0][0] == pytest.approx(0.8, abs=0.05)


async def test_with_none_left_what_was_said_is_heard_and_then_the_apology(autojump_clock):
    first = FlakyLlm([[TextDelta("the first sentence. "), 0.3, REFUSED]])
    call = call_with(first, FlakyLlm([REFUSED]))
    ended = await converse(call)
    assert ended.outcome == "returned_to_dialplan"
    assert call.transport.heard == "the first sentence.sorry."
    assert rungs(call) == [("alternate", "test_llm_2"), ("apology", "")]
    assert [event.error.message for event in call.told(ComponentFailed)] == [REFUSED.message] * 2


async def test_one_that_is_left_alone_is_not_waited_for(autojump_clock):
    """The breaker is the process's: another call's failures count."""
    first, second = FlakyLlm([[inf]]), FlakyLlm([WHOLE])
    call = call_with(first, second)

    async def caller():
        call.call._parts.models._opened[0].breaker.open(BUSY, trio.current_time(), retry_at=inf)
        await call.transport.be_silent(300)
        await call.transport.say(600)
        await call.transport.be_silent(4000)
        await call.transport.hang_up_as_caller()

    await call.hold(caller)
    assert call.transport.heard_from(0.9) - 0.9 == pytest.approx(0.6, abs=0.1)
    assert first.requests == []
    assert rungs(call) == []
