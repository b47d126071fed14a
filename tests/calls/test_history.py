"""What of a conversation a model is sent: the latest whole turns, in a table, by properties, and in whole calls."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicepipe import CallEnded, ComponentError, ComponentFailed, FailedOver, tool
from voicepipe.calls.history import MOST_SHORTENINGS, chars_of, latest, shorter
from voicepipe.components.breaker import Breaker
from voicepipe.components.events import ReplyDone
from voicepipe.components.requests import Dtmf, Message, ReplyRequest, Silence, ToolCall, ToolResults, Utterance
from voicepipe.config.history_settings import HistorySettings
from voicepipe.testing import RehearsedCall, ScriptedLanguageModel, ScriptedSpeechToText


def caller(text):
    return Message("caller", text)


def agent(text, *calls):
    return Message("agent", text, tool_calls=tuple(ToolCall(name, "look") for name in calls))


def returned(name):
    return Message("tool", f"result of {name}", tool_call_id=name)


TALK = (
    agent("hello"),  # 0
    caller("when"),  # 1
    agent("", "a"),  # 2
    returned("a"),  # 3
    agent("nine"),  # 4
    caller("and on monday"),  # 5
    agent("one moment", "b", "c"),  # 6
    returned("b"),  # 7
    returned("c"),  # 8
    agent("ten"),  # 9
    agent("are you there"),  # 10
    caller("thanks"),  # 11
)
THANKS = Utterance("thanks")


@pytest.mark.parametrize(
    ("max_turns", "trigger", "first"),
    [
        (0, THANKS, 0),
        (1, THANKS, 11),
        (2, THANKS, 10),
        (3, THANKS, 5),
        (4, THANKS, 1),
        (5, THANKS, 0),
        (1, Silence(1), 11),
        (1, Dtmf("1"), 11),
        (1, ToolResults({"c": "x"}), 5),
        (1, ToolResults({"a": "x"}), 1),
        (1, ToolResults({"unknown": "x"}), 11),
    ],
    ids=str,
)
def test_turns(max_turns, trigger, first):
    assert latest(TALK, trigger, max_chars=1e9, max_turns=max_turns) == TALK[first:]


@pytest.mark.parametrize("first", [0, 1, 5, 10, 11])
def test_characters(first):
    size = sum(map(chars_of, TALK[first:]))
    assert latest(TALK, THANKS, max_chars=size) == TALK[first:]
    assert len(latest(TALK, THANKS, max_chars=size - 1)) < len(TALK) - first or first == 11


def test_a_turn_that_is_too_long_by_itself_is_sent_whole():
    long = (caller("x" * 999), agent("", "a"), returned("a"))
    assert latest((*TALK[:-1], *long), ToolResults({"a": "r"}), max_chars=10) == long
    assert latest((), THANKS, max_chars=10) == ()


def pressed(keys):
    return Message("caller", keys, pressed=True)


@pytest.mark.parametrize("trigger", [Dtmf("4711"), Utterance("that is it"), ToolResults({})], ids=str)
def test_words_and_keys_that_get_one_reply_are_one_turn(trigger):
    turn = (caller("my number is"), pressed("4711"), caller("that is it"))
    for limits in ({"max_turns": 1, "max_chars": 1e9}, {"max_chars": 1}):
        assert latest((*TALK, agent("yes"), *turn), trigger, **limits) == turn
    later = (*turn, agent("thank you"), caller("and now"))
    assert latest((*TALK, agent("yes"), *later), Utterance("and now"), max_turns=2, max_chars=1e9) == later


def test_a_result_that_comes_late_keeps_its_call():
    """A filler, or the caller's next words, may stand between the two."""
    talk = (caller("book"), agent("", "a"), agent("one moment"), caller("well"), returned("a"), agent("done"))
    assert latest(talk, Silence(1), max_chars=1, max_turns=1) == talk


WORDS = st.text("ab ", max_size=30)


@st.composite
def conversations(draw):
    """Messages as a call makes them, results perhaps a little later than their calls."""
    messages, waiting = [], []
    for number in range(draw(st.integers(0, 25))):
        kind = draw(st.sampled_from(["caller", "agent", "calls", "returns"]))
        if kind == "calls":
            names = [f"{number}-{n}" for n in range(draw(st.integers(1, 3)))]
            messages.append(agent(draw(WORDS), *names))
            waiting += names
        elif kind == "returns" and waiting:
            messages.append(returned(waiting.pop(draw(st.integers(0, len(waiting) - 1)))))
        elif kind in {"caller", "agent"}:
            messages.append(Message(kind, draw(WORDS)))
    return tuple(messages)


@given(conversations(), st.integers(0, 400), st.integers(0, 6), st.sampled_from([THANKS, Silence(1), Dtmf("1")]))
def test_it_is_the_end_of_the_conversation_with_its_pairs_whole(messages, max_chars, max_turns, trigger):
    kept = latest(messages, trigger, max_chars=max_chars, max_turns=max_turns)
    assert kept == messages[len(messages) - len(kept) :]
    assert bool(kept) == bool(messages)
    called = {call.id for message in kept for call in message.tool_calls}
    assert {message.tool_call_id for message in kept if message.role == "tool"} <= called
    if messages and messages[-1].role == "caller":
        assert kept[-1] == messages[-1]
    again = latest(kept, trigger, max_chars=max_chars, max_turns=max_turns)
    assert again == kept


@given(conversations(), st.integers(0, MOST_SHORTENINGS))
def test_a_request_becomes_shorter_until_it_can_not(messages, begun):
    request = ReplyRequest(Silence(1), messages, "the prompt")
    for shortenings in range(begun, MOST_SHORTENINGS + 2):
        less = shorter(request, shortenings)
        if less is None:
            break
        assert len(less.messages) < len(request.messages)
        assert (less.prompt, less.trigger) == ("the prompt", request.trigger)
        request = less
    else:
        raise AssertionError("it never ends")


def too_long(request):
    return ComponentError("HTTP 400", retryable=False, too_long=True, hint="history")


def words_of(request):
    return sum(len(message.text.split()) for message in request.messages)


class Small:
    """A model that takes so many words of a conversation, and no more."""

    def __init__(self, most, **tools):
        self.most, self.taken, self.refused = most, [], 0

    def __call__(self, request):
        if words_of(request) > self.most:
            self.refused += 1
            raise too_long(request)
        self.taken.append(request)
        return "certainly, anything else that i can do for you"


QUESTION = "i would like to know about something else now please"


def a_call(*models, turns=20, **settings):
    return RehearsedCall(
        stt=ScriptedSpeechToText([QUESTION] * turns),
        llm=[ScriptedLanguageModel(model) for model in models],
        settings={"greeting": "hello.", "prompt": "be kind", **settings},
    )


async def hold(call, turns=20):
    async def caller_():
        await call.transport.be_silent(1500)
        for _ in range(turns):
            await call.transport.say(900)
            await call.transport.be_silent(4500)
        await call.transport.hang_up_as_caller()

    return await call.hold(caller_)


async def test_a_model_that_takes_less_is_sent_less_and_the_call_goes_on(autojump_clock):
    model = Small(100)
    call = a_call(model)
    ended: CallEnded = await hold(call)
    assert ended.outcome == "caller_hung_up"
    assert len(model.taken) == 20
    assert {request.prompt for request in model.taken} == {"be kind"}
    assert all(request.messages[-1].text == QUESTION for request in model.taken)
    # What it takes is remembered: not every turn runs into it again.
    assert 1 <= model.refused <= 4
    assert {event.error.fault for event in call.told(ComponentFailed)} == {"request"}
    assert {event.rung for event in call.told(FailedOver)} == {"retry"}


async def test_the_breaker_counts_none_of_it(autojump_clock, monkeypatch):
    counted = []
    monkeypatch.setattr(Breaker, "open", lambda self, error, now, **_: counted.append(error))
    await hold(a_call(Small(60), turns=12), 12)
    assert counted == []


async def test_history_bounds_what_is_sent_before_anybody_refuses(autojump_clock):
    model = Small(100)
    call = a_call(model, history=HistorySettings(max_turns=3))
    await hold(call)
    assert (model.refused, call.told(ComponentFailed)) == (0, [])
    assert max(sum(one.role == "caller" for one in request.messages) for request in model.taken) == 3
    model = Small(10_000)
    await hold(a_call(model, history=HistorySettings(max_chars=400)))
    assert max(sum(map(chars_of, request.messages)) for request in model.taken) <= 400


async def test_if_the_turn_alone_is_too_long_the_next_model_gets_the_whole(autojump_clock):
    small, large = Small(5), Small(10_000)
    call = a_call(small, large, turns=3)
    ended = await hold(call, 3)
    assert ended.outcome == "caller_hung_up"
    assert len(large.taken) == 3
    assert len(large.taken[-1].messages) > len(large.taken[0].messages)
    assert small.refused <= MOST_SHORTENINGS + 1  # and it is not asked again in this call


async def test_only_then_comes_the_apology(autojump_clock):
    small = Small(5)
    call = a_call(small, turns=3)
    ended = await hold(call, 3)
    assert ended.outcome == "returned_to_dialplan"
    assert call.told(FailedOver)[-1].rung == "apology"
    assert small.refused <= MOST_SHORTENINGS + 1


@tool
async def look(day: str) -> str:
    """Looks up.

    Args:
        day: which day

    """
    return f"{day}: " + "nine " * 20


async def test_results_are_sent_with_their_calls_however_much_is_left_out(autojump_clock):
    requests, number = [], iter(range(99))

    def model(request):
        requests.append(request)
        if words_of(request) > 90:
            raise too_long(request)
        if isinstance(request.trigger, ToolResults):
            return "nine."
        return [ToolCall(f"t{next(number)}", "look", {"day": "x"}), ReplyDone()]

    call = a_call(model, turns=8, tools=("look",), functions=(look,))
    ended = await hold(call, 8)
    assert ended.outcome == "caller_hung_up"
    assert any(words_of(request) > 90 for request in requests)
    for request in requests:
        called = {one.id for message in request.messages for one in message.tool_calls}
        assert {one.tool_call_id for one in request.messages if one.role == "tool"} <= called
        if isinstance(request.trigger, ToolResults):
            assert set(request.trigger.results) <= called


def test_a_role_that_no_message_has_is_refused_with_its_name_here():
    for role in ("user", "assistant", "system", ""):
        with pytest.raises(ValueError, match="caller, agent, tool, operator") as caught:
            Message(role, "hello")
        assert f"not {role!r}" in str(caught.value)
        assert "`user` is `caller` here, and its `assistant` is `agent`" in str(caught.value)
    assert [Message(role, "hello").role for role in ("caller", "agent", "tool", "operator")]
