"""The script's format: matching, slots, progress, and every way to get it wrong."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicepipe.adapters.scripted.dialogue import Dialogue, DialogueState, ScriptedReply
from voicepipe.adapters.scripted.format import Intent, expand, fill, in_turn
from voicepipe.adapters.scripted.intent_matching import (
    MAX_CHARS,
    IntentMatcher,
    compile_pattern,
    repeats_a_repeat,
    spoken_words,
)
from voicepipe.adapters.scripted.llm import ScriptedModel, read_script
from voicepipe.adapters.scripted.slot_filling import surely_fills
from voicepipe.components.events import TextDelta
from voicepipe.components.requests import (
    CallStarted,
    Dtmf,
    Listen,
    Message,
    ReplyRequest,
    Silence,
    Told,
    ToolCall,
    ToolResults,
    Utterance,
)
from voicepipe.components.values import File

SLOTS = {
    "day": {"Monday": "on Monday", "tomorrow": "tomorrow", "day after tomorrow": "in two days"},
    "time": {"morning": "in the morning"},
}


def dialogue(text: str) -> Dialogue:
    return read_script(File(Path("/etc/talk.yaml"), text.encode(), Path("talk.yaml")))


def said(reply: ScriptedReply) -> str:
    return "".join(reply.text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Yes, please!", "yes please"),
        ("  I DON'T\tknow ", "i dont know"),
        ("don’t", "dont"),  # noqa: RUF001
        ("call-back at 9:30", "call back at 9 30"),
        ("Straße", "strasse"),
        ("नमस्ते, जी", "नमस्ते जी"),
        ("?!…", ""),
        ("x" * 600, "x" * MAX_CHARS),
    ],
)
def test_words_lose_case_and_punctuation(text, words):
    assert spoken_words(text) == words


def heard(**intent):
    return IntentMatcher(Intent(**intent), SLOTS)


def test_phrases_are_compared_with_their_marks():
    assert heard(phrases=("हो गया",)).length(spoken_words("हो गया।")) == 2
    assert heard(phrases=("हो गया",)).length(spoken_words("हाँ गया।")) == 0


def test_phrases_are_found_where_no_space_ends_a_word():
    assert heard(phrases=("两张票",)).length(spoken_words("我要 两张票, 谢谢。")) == 3
    assert heard(phrases=("两张票",)).length(spoken_words("我要三张票")) == 0
    assert heard(phrases=("ใช่",)).length(spoken_words("ไม่ใช่ครับ")) == 2
    assert heard(patterns=("我要.张.*",)).length(spoken_words("我要两张票")) == 5


def test_phrases_are_whole_words_in_order():
    book = heard(phrases=("book", "book it now"))
    assert book.length(spoken_words("Well, BOOK it now!")) == 3
    assert book.length("please book") == 1
    assert book.length("booking a bookcase") == 0
    assert book.length("it now") == 0
    assert book.length("") == 0


def test_patterns_begin_and_end_with_words_and_fill_slots():
    number = heard(patterns=(r"account (?P<account>\d+)( extension (?P<extension>\d+))?",))
    assert number.length("my account 4711 please") == 2
    assert number.slots("my account 4711 please") == {"account": "4711"}
    assert number.slots("account 4711 extension 12") == {"account": "4711", "extension": "12"}
    assert number.length("account 47a") == 0
    assert heard(patterns=("YES",)).length("yes") == 1
    assert heard(patterns=("a?",)).length("hello there") == 0


def test_patterns_fill_slots_even_where_a_phrase_is_longer():
    intent = heard(phrases=("i want my account",), patterns=(r"account (?P<account>\d+)",))
    assert intent.length("i want my account 12") == 4
    assert intent.slots("i want my account 12") == {"account": "12"}


@pytest.mark.parametrize(
    ("words", "slots"),
    [
        ("appointment on monday", {"day": "on Monday"}),
        ("not monday tomorrow", {"day": "tomorrow"}),
        ("the day after tomorrow in the morning", {"day": "in two days", "time": "in the morning"}),
        ("mondays", {}),
    ],
)
def test_the_last_mention_of_a_slot_counts_and_the_longer_of_two(words, slots):
    assert heard(phrases=("appointment",), slots=("day", "time")).slots(words) == slots


def test_templates():
    assert next(iter(expand("on {day} {time}", SLOTS))) == "on Monday morning"
    assert len(list(expand("{day} or {day}", SLOTS))) == 3
    assert fill("Booked {day} {time|}.", {"day": "on Monday"}) == "Booked on Monday."
    assert fill("{name|You} are next.", {}) == "You are next."
    assert fill("{name|} Hello.", {}) == "Hello."
    assert [in_turn(("a", "b"), count) for count in (0, 1, 2, 3)] == ["a", "a", "b", "b"]


def test_only_what_all_phrases_name_is_surely_filled():
    assert surely_fills(Intent(phrases=("{day}", "on {day} {time}"))) == {"day"}
    assert surely_fills(Intent(phrases=("{day}", "soon"))) == frozenset()
    assert surely_fills(Intent(phrases=("{day}",), patterns=("(?P<x>a)",))) == frozenset()


@pytest.mark.parametrize("pattern", ["(a+)+", "(?:a*b)*", "((a+)b){2,}", r"(?:\w+ ?)+", "(a{3,}|b)*"])
def test_patterns_that_could_take_for_ever_are_recognised(pattern):
    assert repeats_a_repeat(pattern)


@pytest.mark.parametrize("pattern", ["a+b+", "(?:one|two)+", r"(\(+)", "([(+*]x)+", r"[\w ]+", "(a+)?", "(a{2})+"])
def test_patterns_that_are_harmless_pass(pattern):
    assert not repeats_a_repeat(pattern)


def test_a_greedy_pattern_is_bounded_by_the_utterances_length():
    pattern = compile_pattern(r"from (?P<a>.+) to (?P<b>.+) at (?P<c>.+) sharp")
    words = spoken_words("from to at " * 1000)
    began = time.thread_time()
    assert pattern.search(words) is None
    assert time.thread_time() - began < 10  # of its own time; without the bound it would take years


SHOP = r"""
start: door
slots:
  day: {monday: on Monday, tomorrow: tomorrow}
intents:
  visit: {phrases: [visit, may i visit], slots: [day]}
  day: {phrases: ["{day}"]}
  account: {patterns: ['account (?P<account>\d+)']}
  digits: {patterns: ['(?P<account>\d{4})']}
  "yes": {phrases: ["yes"]}
  "no": {phrases: ["no"]}
  person: {phrases: [person]}
  hangman: {phrases: [hangman]}
  bye: {phrases: [bye]}
anywhere:
  on:
    bye: {say: Bye., hang_up: true}
    person: {go: desk}
  dtmf: {"0": {go: desk}, "12": {say: Twelve.}}
  otherwise: [{say: What?, again: true}, {say: Pardon?}, {say: I give up., transfer: "7"}]
  silence: [{say: Hello?}, {say: Still there?, again: true}]
  no_transfer: {say: Nobody is here.}
states:
  door:
    say: [Welcome. What can I do?, What can I do?, What now?]
    on:
      visit: {say: A visit., go: confirm}
      account: {say: "Account {account|that}."}
      digits: {say: "Number {account|that}."}
      hangman: {say: Never., go: door}
  ask: {say: Which day?, expect: ["on {day}"], on: {day: {go: confirm}}, otherwise: {say: A day please.}}
  confirm:
    needs: {day: ask}
    say: "A visit {day}?"
    expect: []
    on:
      day: {go: confirm}
      "yes": {go: done}
      "no": {say: "Not {day}.", forget: [day], go: door}
  done: {say: "See you {day}.", hang_up: true}
  desk: {say: One moment., transfer: "9"}
"""


@pytest.fixture(scope="module")
def shop():
    return dialogue(SHOP)


def talk(script, *triggers, tools=("hang_up", "transfer"), begin=True):
    """The replies to what happens in one call."""
    state, replies = None, []
    for trigger in (*([CallStarted()] if begin else []), *triggers):
        happened = Utterance(trigger) if isinstance(trigger, str) else trigger
        replies.append(script.answer(happened, state, tools))
        state = replies[-1].progress
    return replies


def test_a_script_answers_a_transfer_that_nobody_took(shop):
    (_, transferred, back) = talk(shop, "person", Told("nobody took it", "9"))
    assert (transferred.transfer, back.transfer) == ("9", None)
    assert "".join(back.text) == "Nobody is here."
    assert back.progress.state == "door"


def test_a_script_has_no_words_for_other_facts_and_goes_on_where_it_was(shop):
    (_, asked, told, understood) = talk(shop, "visit", Told("it rains"), "monday")
    assert (told.text, told.progress) == ((), asked.progress)
    assert "".join(understood.text) == "A visit on Monday?"


BOOKING = """
start: ask
slots: {day: {monday: Monday, friday: Friday}}
intents: {day: {phrases: ["{day}"]}, look: {phrases: [look]}}
anywhere:
  on: {look: {say: One moment., call: {look: {}}}}
  failed: {say: That did not work.}
states:
  ask:
    say: Which day?
    on: {day: {say: Let me see., call: {book: {day: "{day}", people: 2}}}}
    results: {book: {say: "Booked: {result}.", go: more}}
  more: {say: Anything else?}
"""


@pytest.fixture(scope="module")
def booking():
    return dialogue(BOOKING)


OWN = ("hang_up", "book", "look")


def test_a_tool_is_called_and_its_result_said(booking):
    _, calls, told = talk(booking, "on friday", ToolResults({"book-0": "number 7"}), tools=OWN)
    assert said(calls) == "Let me see."
    assert calls.call == ToolCall("book-0", "book", {"day": "Friday", "people": 2})
    assert calls.progress.state == "ask"
    assert (said(told), told.call, told.progress.state) == ("Booked: number 7. Anything else?", None, "more")


def test_each_tool_call_has_an_id_of_its_own(booking):
    *_, again = talk(booking, "on friday", "on monday", "look", tools=OWN)
    assert again.call == ToolCall("look-2", "look")
    *_, both = talk(booking, "on friday", "look", ToolResults({"book-0": "a", "look-1": "b"}), tools=OWN)
    assert said(both) == "b"


def test_a_result_that_nothing_is_said_of_is_said_as_it_is(booking):
    assert said(talk(booking, "look", ToolResults({"look-0": "Blue."}), tools=OWN)[-1]) == "Blue."


@pytest.mark.parametrize("result", ["error: no", "cancelled: the caller interrupted"])
def test_a_tool_that_failed_has_its_response(booking, result):
    failed = talk(booking, "monday", ToolResults({"book-0": result}, frozenset({"book-0"})), tools=OWN)[-1]
    assert (said(failed), failed.progress.state) == ("That did not work.", "ask")


def test_a_result_that_only_looks_like_an_error_is_one_of_a_tool_that_worked(booking):
    worked = talk(booking, "look", ToolResults({"look-0": "error: lamp 3, out of ink"}), tools=OWN)[-1]
    assert said(worked) == "error: lamp 3, out of ink"


def test_a_tool_that_the_call_does_not_have_is_not_called(booking):
    refused = talk(booking, "monday", tools=("hang_up",))[-1]
    assert (said(refused), refused.call) == ("That did not work.", None)


def test_results_of_another_models_tools_are_not_understood(booking):
    """That model has failed since, and the caller waits for a word."""
    other = talk(booking, ToolResults({"call_1": "x"}), tools=OWN)[-1]
    assert (said(other), other.call) == ("Which day?", None)


def test_a_state_says_its_texts_in_turn(shop):
    assert [said(reply) for reply in talk(shop, "hangman", "hangman", "hangman")] == [
        "Welcome. What can I do?",
        "Never. What can I do?",
        "Never. What now?",
        "Never. What now?",
    ]


def test_text_comes_in_sentences_that_join_to_the_whole(shop):
    assert shop.answer(CallStarted()).text == ("Welcome. ", "What can I do?")


def test_what_a_state_needs_is_asked_for(shop):
    _, first, second, third = talk(shop, "may i visit", "tomorrow", "yes")
    assert (said(first), first.progress.state) == ("A visit. Which day?", "ask")
    assert (said(second), second.progress.slots) == ("A visit tomorrow?", {"day": "tomorrow"})
    assert (said(third), third.hang_up) == ("See you tomorrow.", True)


def test_what_is_known_is_not_asked_for(shop):
    assert said(talk(shop, "may i visit on Monday?")[-1]) == "A visit. A visit on Monday?"


def test_what_is_forgotten_is_asked_for_again(shop):
    *_, no, again = talk(shop, "visit on monday", "no", "visit")
    assert (said(no), no.progress.slots) == ("Not on Monday. What can I do?", {})
    assert said(again) == "A visit. Which day?"


def test_otherwise_counts_misses_in_a_row(shop):
    replies = talk(shop, "x", "y", "account 4", "z", "x", "y", "z")[1:]
    assert [said(reply) for reply in replies] == [
        "What? What can I do?",
        "Pardon?",
        "Account 4.",
        "What? What now?",
        "Pardon?",
        "I give up.",
        "I give up.",
    ]
    assert replies[-1].transfer == "7"


def test_a_new_state_begins_with_no_misses(shop):
    replies = talk(shop, "x", "visit", "x", "x")
    assert [said(reply) for reply in replies[-2:]] == ["A day please."] * 2
    assert replies[2].progress.misses == 0


def test_silence_goes_by_its_own_count_and_is_no_miss(shop):
    _, miss, once, twice, later = talk(shop, "x", Silence(1), Silence(2), Silence(9))
    assert [said(once), said(twice), said(later)] == ["Hello?", "Still there? What now?", "Still there? What now?"]
    assert later.progress.misses == miss.progress.misses == 1


def test_keys_are_looked_up_whole_and_else_heard_like_words(shop):
    _, zero, twelve, number, other = talk(shop, Dtmf("0"), Dtmf("12"), Dtmf("4711"), Dtmf("*"))
    assert zero.transfer == "9"
    assert said(twelve) == "Twelve."
    assert (said(number), number.progress.slots) == ("Number 4711.", {"account": "4711"})
    assert said(other) == "What? What can I do?"


@pytest.mark.parametrize(
    ("words", "keys", "text", "account"),
    [
        ("my account", "77", "Account 77.", "77"),
        ("my account", "4711", "Number 4711.", "4711"),  # the keys alone say enough
        ("my account", "12", "Twelve.", None),  # and what a key is for, it is for
        ("", "77", "What? What can I do?", None),
        ("hm", "77", "What? What can I do?", None),
    ],
)
def test_keys_that_say_nothing_alone_are_heard_with_the_words_before(shop, words, keys, text, account):
    begun = shop.answer(CallStarted())
    reply = shop.answer(Dtmf(keys), begun.progress, words_before=words)
    assert (said(reply), reply.progress.slots.get("account")) == (text, account)


async def test_the_words_before_keys_are_those_that_nobody_has_replied_to(shop):
    def request(*messages):
        return ReplyRequest(Dtmf("77"), messages, state=shop.answer(CallStarted()).progress)

    async def text_of(asked):
        async with ScriptedModel(shop).respond(asked) as stream:
            events = [await stream.receive() for _ in range(2)]
        return "".join(event.text for event in events if isinstance(event, TextDelta))

    keys = Message("caller", "77", pressed=True)
    account = Message("caller", "my account")
    assert await text_of(request(account, keys)) == "Account 77."
    assert await text_of(request(account, keys, Message("caller", "please"))) == "Account 77."
    assert await text_of(request(account, Message("agent", "Yes?"), keys)) == "What? What can I do?"


def test_the_conversation_stays_where_it_is_while_it_ends(shop):
    """The caller may speak over the goodbye, and a transfer may fail."""
    *_, done, corrected = talk(shop, "visit monday", "yes", "tomorrow")
    assert done.hang_up
    assert said(corrected) == "A visit tomorrow?"


def test_a_transfer_that_the_call_can_not_have_is_replaced(shop):
    _, reply, next_reply = talk(shop, "person", "x", tools=("hang_up",))
    assert (said(reply), reply.transfer, reply.progress.state) == ("Nobody is here.", None, "door")
    assert said(next_reply) == "What? What can I do?"
    assert said(talk(shop, "x", "x", "x", tools=())[-1]) == "Nobody is here."


def test_a_transfer_that_failed_is_excused_once(shop):
    _, asked, failed, more = talk(shop, "person", ToolResults({"transfer-1": "busy"}), ToolResults({"hang_up-1": ""}))
    assert asked.transfer == "9"
    assert (said(failed), failed.transfer) == ("Nobody is here.", None)
    assert (more.text, more.progress, more.listen) == ((), failed.progress, None)


def test_expect_is_what_is_understood_here_and_more(shop):
    start, ask, confirm = talk(shop, "visit", "monday")
    assert start.listen == Listen()
    assert ask.listen == Listen(phrases=("on monday", "on tomorrow", "monday", "tomorrow", "bye", "person"))
    assert confirm.listen == Listen(phrases=("monday", "tomorrow", "yes", "no", "bye", "person"))


@pytest.mark.parametrize("state", [None, 7, {"state": "door"}, DialogueState("another script", "ask", misses=5)])
def test_a_call_without_progress_has_just_entered_the_start_state(shop, state):
    reply = shop.answer(Utterance("mumble"), state)
    assert (said(reply), reply.progress.misses) == ("What? What can I do?", 1)


def test_the_longest_phrase_wins_then_the_states_own_then_the_first():
    script = dialogue(r"""
start: a
intents:
  one: {phrases: [no thank you, same]}
  two: {phrases: ["no", same, equal]}
  three: {phrases: [no thank you goodbye, equal, same]}
anywhere: {on: {three: {say: three}}}
states: {a: {say: hello, on: {two: {say: two}, one: {say: one}}}}
""")
    for text, expected in {
        "no": "two",
        "no thank you": "one",
        "no thank you, goodbye": "three",
        "same": "two",
        "equal": "two",
    }.items():
        assert said(script.answer(Utterance(text))) == expected


def test_a_state_may_answer_differently_from_anywhere():
    script = dialogue("""
start: a
intents: {help: {phrases: [help]}}
anywhere: {on: {help: {say: general}}, dtmf: {"1": {say: first}, "2": {say: second}}, silence: {say: hey}}
states: {a: {say: hello, on: {help: {say: special}}, dtmf: {"1": {say: own}}, silence: {say: shh}}}
""")
    triggers = (Utterance("help"), Dtmf("1"), Dtmf("2"), Silence(1), Utterance("x"))
    assert [said(script.answer(trigger)) for trigger in triggers] == ["special", "own", "second", "shh", "hello"]


def test_an_announcement_may_be_all_there_is():
    script = dialogue("start: a\nstates: {a: {say: We are closed., hang_up: true}}")
    assert [(said(reply), reply.hang_up) for reply in talk(script, "hello?")] == [("We are closed.", True)] * 2


WORDS = ("visit", "may", "i", "monday", "tomorrow", "yes", "no", "person", "bye", "account", "4711", "x")
TRIGGERS = st.one_of(
    st.builds(Utterance, st.text(min_size=1)),
    st.builds(Utterance, st.lists(st.sampled_from(WORDS),
                                  min_size=1).map(" ".join)),
    st.builds(Dtmf, st.text("0123456789*#ABCD", min_size=1, max_size=5)),
    st.builds(Silence, st.integers(1, 5)),
    st.just(ToolResults({"transfer-0": "failed"})),
    st.just(CallStarted()),
)  # fmt: skip


@given(st.lists(st.tuples(TRIGGERS, st.booleans()), max_size=8))
def test_whatever_happens_is_answered(shop, happenings):
    state = None
    for trigger, can_transfer in happenings:
        reply = shop.answer(trigger, state, ("transfer",) if can_transfer else ())
        assert reply == shop.answer(trigger, state, ("transfer",) if can_transfer else ())
        assert said(reply).strip() == said(reply)
        assert said(reply) or isinstance(trigger, ToolResults)
        assert "{" not in said(reply)
        assert "  " not in said(reply)
        assert "A visit?" not in said(reply)
        assert "you." not in said(reply)
        assert can_transfer or reply.transfer is None
        state = reply.progress
