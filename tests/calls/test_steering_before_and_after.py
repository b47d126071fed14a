"""Steering at both ends of a call: what is asked before it begins waits for that; its last words can be cut short."""

import pytest
import trio

from voicepipe.calls.events import CallBegan, CallEnded, CallSteered
from voicepipe.calls.open_call import Calls, open_call
from voicepipe.components.requests import Told
from voicepipe.config.call_settings import LimitsSettings
from voicepipe.errors import CallOver, TransportError
from voicepipe.testing.buffering_transport import BufferingTransport
from voicepipe.testing.calls import RehearsedCall
from voicepipe.testing.components import ScriptedLanguageModel
from voicepipe.testing.pipelines import open_test_pipeline
from voicepipe.testing.transport import MemoryTransport

LIMITS = LimitsSettings(idle_prompt_s=600, max_call_minutes=0.5, warning_s=10, warning="Ten seconds.", goodbye="Time.")


def greeting_call(**settings):
    return RehearsedCall(settings={"greeting": "Hello.", "limits": LIMITS, **settings})


async def held(call, before, *, hangs_up_s=60.0):
    """Holds the call; `before` is called with the call and a nursery when it is listed, a second before it runs."""
    calls = Calls()
    async with (
        open_test_pipeline(call.stt, call.llm, call.tts, **call.settings) as pipeline,
        trio.open_nursery() as nursery,
        open_call(pipeline, call.transport, observer=call.events.append, calls=calls) as made,
    ):
        (found,) = calls
        assert found is made
        before(found, nursery)
        await trio.sleep(1)
        assert call.events == []

        async def caller():
            with trio.move_on_after(hangs_up_s):
                await call.transport.be_silent(100_000)
            await call.transport.hang_up_as_caller()

        nursery.start_soon(caller)
        ended = await made.run()
        nursery.cancel_scope.cancel()
    assert isinstance(call.events[0], CallBegan)
    assert isinstance(call.events[-1], CallEnded)
    return ended


async def test_a_text_that_is_said_before_the_call_begins_comes_after_the_greeting(autojump_clock):
    call, outcomes = greeting_call(), []

    async def say(made):
        outcomes.append(await made.say("We close soon."))

    ended = await held(call, lambda made, nursery: nursery.start_soon(say, made))
    assert [turn.said for turn in call.turns] == ["Hello.", "We close soon.", "Ten seconds.", "Time."]
    assert (ended.outcome, outcomes[0].whole) == ("max_length", True)
    assert [event.action for event in call.told(CallSteered)] == ["say"]


async def test_a_goodbye_before_the_call_begins_is_its_first_words(autojump_clock):
    call = greeting_call()
    ended = await held(call, lambda made, _nursery: made.hang_up("We are closed."))
    assert ended.outcome == "agent_hung_up"
    assert [turn.said for turn in call.turns][-1] == "We are closed."
    assert isinstance(call.events[1], CallSteered)


async def test_a_call_that_is_ended_before_it_begins_begins_and_ends(autojump_clock):
    call = greeting_call()
    ended = await held(call, lambda made, _nursery: made.hang_up())
    assert (ended.outcome, ended.at_s) == ("agent_hung_up", pytest.approx(1, abs=1))
    assert [type(event) for event in call.events[:2]] == [CallBegan, CallSteered]


async def test_a_drain_before_the_call_begins_ends_it_after_the_greeting(autojump_clock):
    call = greeting_call()
    ended = await held(call, lambda made, _nursery: made.drain())
    assert ended.outcome == "drained"
    assert [turn.said for turn in call.turns] == ["Hello.", "Time."]


async def test_a_transfer_and_a_language_wait_for_the_beginning(autojump_clock):
    call = greeting_call()
    call.transport = MemoryTransport(can=frozenset({"transfer", "completes_transfer"}))

    def before(made, nursery):
        nursery.start_soon(made.transfer, "100")

    ended = await held(call, before)
    assert (ended.outcome, call.transport.transferred_to) == ("transferred", "100")
    assert [turn.said for turn in call.turns] == ["Hello."]


async def test_facts_and_variables_are_there_from_the_first_request_on(autojump_clock):
    call = RehearsedCall(
        llm=ScriptedLanguageModel(lambda _request: "I see."), settings={"limits": LIMITS, "greeting": None}
    )

    def before(made, _nursery):
        made.tell("The caller is a customer.")
        made.set_variables({"tenant": "acme"})
        assert made.variables == {"tenant": "acme"}
        assert [message.text for message in made.conversation] == ["The caller is a customer."]

    await held(call, before, hangs_up_s=5)
    assert call.llm.requests[0].messages[-1].text == "The caller is a customer."
    assert [event.action for event in call.told(CallSteered)] == ["tell", "set_variables"]


async def test_a_fact_to_reply_to_is_replied_to_after_the_greeting(autojump_clock):
    call = greeting_call()
    await held(call, lambda made, _nursery: made.tell("It rains.", respond=True), hangs_up_s=10)
    assert [turn.said for turn in call.turns] == ["Hello.", "I see."]
    assert call.llm.requests[0].trigger == Told("It rains.")


async def test_whoever_waits_for_a_call_that_never_begins_learns_it(autojump_clock):
    refused = []

    async def say(made):
        with pytest.raises(CallOver):
            await made.say("Anything.")
        refused.append(True)

    call = greeting_call()
    async with trio.open_nursery() as nursery, open_test_pipeline(call.stt, call.llm, call.tts) as pipeline:
        async with open_call(pipeline, call.transport) as made:
            nursery.start_soon(say, made)
            await trio.sleep(1)
        await trio.sleep(0.1)
        assert refused == [True]


async def test_the_wait_for_last_words_is_ended_by_hanging_up_at_once(autojump_clock):
    """The far end has lost the marks: the line would stay open for seconds."""
    call = greeting_call()
    call.transport = BufferingTransport(report=lambda _mark: None)

    async def caller():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(call.transport.be_silent, 60_000)
            await trio.sleep(5)
            call.call.hang_up("Bye.")
            await trio.sleep(0.1)
            while call.call.ending is None:  # noqa: ASYNC110 - there is no event before `CallEnded`
                await trio.sleep(0.02)
            at.append(trio.current_time())
            call.call.hang_up("Once more.")
            await trio.sleep(0.5)
            call.call.hang_up()

    at = []
    ended = await call.hold(caller)
    assert ended.outcome == "agent_hung_up"
    assert trio.current_time() == pytest.approx(at[0] + 0.5, abs=0.1)
    assert [turn.said for turn in call.turns][-1] == "Bye."


class Gone(MemoryTransport):
    """A line that is gone when it is to be hung up."""

    async def hang_up(self):
        await super().hang_up()
        raise TransportError("the connection was lost")


async def test_a_line_that_is_gone_at_the_end_is_an_ordinary_end(autojump_clock):
    call = greeting_call()
    call.transport = Gone()

    async def caller():
        await call.transport.be_silent(3000)
        call.call.hang_up("Bye.")
        await call.transport.be_silent(10_000)

    ended = await call.hold(caller)
    assert ended.outcome == "agent_hung_up"


async def test_a_text_that_is_withdrawn_is_kept_no_longer(autojump_clock):
    call = greeting_call()

    async def caller():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(call.transport.be_silent, 10_000)
            await trio.sleep(0.1)  # in the greeting
            with trio.move_on_after(0.1):
                await call.call.say("Never.")
            assert call.call._steering._sayings._asked == {}
            await trio.sleep(8)
            await call.transport.hang_up_as_caller()
            nursery.cancel_scope.cancel()

    await call.hold(caller)
    assert [turn.said for turn in call.turns] == ["Hello."]


class Late(BufferingTransport):
    """Completes a transfer although it was given up meanwhile: the request was on its way."""

    hang_ups = 0

    async def transfer(self, target):
        with trio.CancelScope(shield=True):
            await trio.sleep(3)
            await super().transfer(target)

    async def hang_up(self):
        self.hang_ups += 1
        await super().hang_up()


async def test_a_transfer_that_was_given_up_too_late_is_one(autojump_clock):
    call = greeting_call()
    call.transport = Late(can=frozenset({"clear", "mark", "transfer", "completes_transfer"}))

    async def caller():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(call.transport.be_silent, 60_000)
            await trio.sleep(3)
            nursery.start_soon(call.call.transfer, "100")
            await trio.sleep(2.5)
            call.call.hang_up("We close now, and nobody can help you any more today. Goodbye.")
            await trio.sleep(10)

    ended = await call.hold(caller)
    assert (ended.outcome, ended.detail, call.transport.hang_ups) == ("transferred", "100", 0)
