"""What is not for the caller in a model's text is taken out, however the text is cut; all else passes untouched."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicepipe.adapters.openai import control_text
from voicepipe.adapters.openai.control_text import CallerText, begins_as_thought

OPEN = "We open at nine."
CALL = '{"name": "book", "arguments": {"day": "mon"}}'

TEXTS = {
    # Thoughts
    "<think>The caller asks.</think>\n\nTen.": "Ten.",
    "\n<think>\n</think>\n\nTen.": "Ten.",
    f"<think>a</think>One moment. <think>secret</think>{OPEN}": f"One moment. {OPEN}",
    f"Sure.<think>secret</think>{OPEN}": f"Sure. {OPEN}",
    f"<think>x < y</think>{OPEN}": OPEN,
    f"<Think>secret</Think>{OPEN}": OPEN,
    f'<think type="deep">secret</think>{OPEN}': OPEN,
    f"<think/>{OPEN}": OPEN,
    f"<thinking>secret</thinking>{OPEN}": OPEN,
    f"<thought>secret</thought>{OPEN}": OPEN,
    f"<reasoning>secret</reasoning>{OPEN}": OPEN,
    f"<inner_thoughts>secret</inner_thoughts>{OPEN}": OPEN,
    f"<mm:think>secret</mm:think>{OPEN}": OPEN,
    f"<seed:think>secret</seed:think>{OPEN}": OPEN,
    f"[THINK]secret[/THINK]{OPEN}": OPEN,
    f"◁think▷secret◁/think▷{OPEN}": OPEN,
    f"<|begin_of_thought|>secret<|end_of_thought|><|begin_of_solution|>{OPEN}<|end_of_solution|>": OPEN,
    f"<|START_THINKING|>secret<|END_THINKING|><|START_RESPONSE|>{OPEN}<|END_RESPONSE|>": OPEN,
    f"<unused94>thought\nsecret<unused95>{OPEN}": OPEN,
    f"<|channel>thought\nsecret<channel|>{OPEN}": OPEN,
    f"<think>secret</think><answer>{OPEN}</answer>": OPEN,
    "<think>and so on": "",
    "One moment. <think>and so on": "One moment. ",
    "[THINK]and so on": "",
    # gpt-oss
    f"<|channel|>analysis<|message|>secret<|end|><|start|>assistant<|channel|>final<|message|>{OPEN}": OPEN,
    f"<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>commentary<|message|>b<|end|>"
    f"<|start|>assistant<|channel|>final<|message|>{OPEN}<|return|>": OPEN,
    f"<|start|>assistant<|channel|>final<|message|>{OPEN}<|end|>": OPEN,
    "<|channel|>analysis<|message|>and so on": "",
    f"analysisWe should be brief.assistantfinal{OPEN}": OPEN,
    f"assistantfinal{OPEN}": OPEN,
    "analysisWe should be brief.": "",
    # Control tokens
    f"{OPEN}<|im_end|>": OPEN,
    f"{OPEN}<|eot_id|>": OPEN,
    f"{OPEN}<|endoftext|>": OPEN,
    f"{OPEN}</s>": OPEN,
    f"<s>{OPEN}</s>": OPEN,
    f"{OPEN}<end_of_turn>\n": OPEN + "\n",
    f"{OPEN}<eos>": OPEN,
    f"{OPEN}<\uff5cend▁of▁sentence\uff5c>": OPEN,
    f"{OPEN}<0x0A>": OPEN,
    f"{OPEN}[/INST]": OPEN,
    f"<|im_start|>assistant\n{OPEN}<|im_end|>": OPEN,
    f"<|start_header_id|>assistant<|end_header_id|>\n\n{OPEN}": OPEN,
    f"<start_of_turn>model\n{OPEN}": OPEN,
    f"<|assistant|>{OPEN}": OPEN,
    f"<|im_start|>{OPEN}": OPEN,
    f"{OPEN}<|im_e": OPEN,
    f"{OPEN}</tool_ca": OPEN,
    # Somebody else's turn
    f"{OPEN}<|im_end|>\n<|im_start|>user\nThanks.<|im_end|>\n": OPEN + "\n",
    f"{OPEN}<|im_end|>\n<|im_start|>user\nThanks.<|im_end|>\n<|im_start|>assistant\nBye.": OPEN + "\nBye.",
    f"{OPEN}<|user|>Thanks.<|assistant|>Bye.": OPEN + " Bye.",
    f"{OPEN} [INST] Thanks. [/INST] Bye.": OPEN + "  Bye.",
    # Tool calls, and what they returned
    f"<tool_call>{CALL}</tool_call>": "",
    f"One moment. <tool_call>\n{CALL}\n</tool_call>\n": "One moment. \n",
    f"One moment.[TOOL_CALLS][{CALL}]": "One moment.",
    f"<|python_tag|>{CALL}<|eom_id|>": "",
    f"<|tool_calls_section_begin|>{CALL}<|tool_calls_section_end|>": "",
    f"<minimax:tool_call>{CALL}</minimax:tool_call>": "",
    "<function=book><parameter=day>mon</parameter></function>": "",
    f"<\uff5ctool▁calls▁begin\uff5c>book{CALL}<\uff5ctool▁calls▁end\uff5c>": "",
    f"<|channel|>commentary to=functions.book<|message|>{CALL}<|call|>": "",
    f"<tool_response>nine</tool_response>{OPEN}": OPEN,
    f"<TOOLCALL>[{CALL}]</TOOLCALL>{OPEN}": OPEN,
    f"<functioncall>{CALL}</functioncall>": "",
    f"<|FunctionCallBegin|>[{CALL}]<|FunctionCallEnd|>{OPEN}": OPEN,
    f"<|action_start|><|plugin|>{CALL}<|action_end|>{OPEN}": OPEN,
    f"functools[{CALL}]": "",
    CALL: "",
    f"[{CALL}]": "",
    f"```json\n{CALL}\n```": "",
}

UNTOUCHED = [
    OPEN,
    "",
    " ",
    "x < 5 and y > 3",
    "I <3 you",
    "5<6",
    "a<b",
    "<b>Ten</b>",
    "<br>",
    "Hello <John>, hi",
    "a <- b",
    "<thin",
    "[the caller]",
    "[1] First",
    "[TODO] nothing",
    "{not json}",
    "{",
    "[",
    "``",
    "analysis of your account",
    "functions of your account",
    "for you",
    "assistant",
    "I think <strongly> so",
    "Think of a number.",
    "Okay, the bill is ten pounds.",
    "The user manual",
    "Hmm, let me see.",
    "So, the surgery opens at nine.",
    "The caller before you",
    "1 <\n2",
    "好的\uff0c九点",
    "ends with <",
    "a | b || c",
    "$5 <--> $6",
]


def passed(*pieces):
    text = CallerText()
    return "".join([*map(text.feed, pieces), text.finish()])


def cut(text, cuts):
    return [text[start:end] for start, end in pairwise(sorted({0, len(text), *(at for at in cuts if at < len(text))}))]


CUTS = st.lists(st.integers(0, 400), max_size=6)


@pytest.mark.parametrize(("text", "spoken"), TEXTS.items())
def test_what_is_not_for_the_caller_is_taken_out(text, spoken):
    assert passed(text) == spoken
    assert passed(*text) == spoken
    assert {passed(text[:at], text[at:]) for at in range(len(text))} == {spoken}


@pytest.mark.parametrize("text", UNTOUCHED)
def test_all_else_passes_as_it_is(text):
    assert passed(text) == text
    assert passed(*text) == text
    assert {passed(text[:at], text[at:]) for at in range(len(text) + 1)} == {text}


@given(texts=st.lists(st.sampled_from([*TEXTS, *UNTOUCHED]), max_size=3), cuts=CUTS)
def test_how_text_is_cut_does_not_matter(texts, cuts):
    text = "".join(texts)
    assert passed(*cut(text, cuts)) == passed(text)


@pytest.mark.parametrize("text", [OPEN, "x < 5, so", "Hello <b>you</b>", "I <3 you, too"])
def test_words_are_held_back_no_longer_than_they_may_be_a_mark(text):
    for at in range(1, len(text) + 1):
        caller = CallerText()
        released = "".join(map(caller.feed, text[:at]))
        assert len(text[:at]) - len(released) <= max(len("We "), len("<b"), len("Hello"))
    assert released == text


@pytest.mark.parametrize(
    "pieces",
    [
        ["The caller asks for hours; be brief.", "</think>", OPEN],
        ["The caller asks", " about hours.", "</th", "ink>\n\n" + OPEN],
        ["Okay", ",", " so the", " user", " asks.", "\n</think>\n\n", OPEN],
        ['Alright, the user just said "hello".', " I should greet.\n</think>", "\n\n" + OPEN],
        ["hmm let me see</th", "ink>We open", " at nine."],
        ["好的\uff0c用户", "问", "</think>", OPEN],
        [f"Nobody knows how this begins.</think>{OPEN}"],
        ["</think>", OPEN],
        ["The caller asks.[/THINK]", OPEN],
    ],
)
def test_thoughts_that_only_end_are_taken_out_where_they_begin_like_some(pieces):
    text = CallerText()
    assert "".join([*map(text.feed, pieces), text.finish()]) == OPEN
    assert text.thought_first


def test_a_server_that_is_known_to_think_first_is_not_believed_before():
    text = CallerText(thinks_first=True)
    assert [text.feed("Nobody knows "), text.feed("this.</think>"), text.feed(OPEN)] == ["", "", OPEN]
    text = CallerText(thinks_first=True)
    assert [text.feed("We open "), text.feed("at nine."), text.finish()] == ["", "", OPEN]
    assert not text.thought_first


def test_nothing_is_held_back_where_thoughts_come_elsewhere():
    text = CallerText()
    text.speaks()
    assert text.feed("The user ") == "The user "


@pytest.mark.parametrize(
    ("text", "thinks"),
    [
        ("The user asks", True),
        ("Okay, so the caller", True),
        ("hmm", True),
        ("The use", None),
        ("Okay, ", None),
        ("", None),
        ("The surgery", False),
        ("Okay, great", False),
        ("The users of this", False),
        ("Our caller", True),
    ],
)
def test_how_thoughts_begin(text, thinks):
    assert begins_as_thought(text) is thinks


def test_tool_calls_in_the_text_are_kept():
    text = CallerText()
    text.feed(f"One moment. <tool_call>{CALL}</tool_call><tool_call>{CALL}</tool_call><tool_response>9</tool_response>")
    text.feed("[TOOL_CALLS]book[ARGS]{}")
    text.finish()
    assert text.calls == [f"<tool_call>{CALL}"] * 2 + ["[TOOL_CALLS]book[ARGS]{}"]


@given(
    texts=st.lists(st.sampled_from([*TEXTS, *UNTOUCHED, "Hello ", " there", "\n", "x < 5", "</think>"]), max_size=4),
    cuts=CUTS,
)
def test_text_without_marks_is_passed_on_as_text_with_them(texts, cuts):
    """The same comes of each piece if every piece is looked through for marks."""
    text = "".join(texts)
    cuts = sorted({0, len(text), *(at for at in cuts if at < len(text))})
    pieces = [text[start:end] for start, end in pairwise(cuts)]
    with pytest.MonkeyPatch.context() as patch:
        quick = CallerText()
        passed = [*map(quick.feed, pieces), quick.finish(), quick.calls]
        patch.setattr(control_text, "MAY_BEGIN", re.compile(""))
        thorough = CallerText()
        assert [*map(thorough.feed, pieces), thorough.finish(), thorough.calls] == passed
