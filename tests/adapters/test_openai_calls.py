"""Whole calls at random: whatever happens on one, each request that its models get is one that every server takes."""

from __future__ import annotations

import random

import pytest
import trio
from vendors.chat_rules import check_everywhere

from voicepipe import ComponentError, ToolError, tool
from voicepipe.adapters.openai import chat_completions as openai_chat
from voicepipe.adapters.openai.llm_options import OpenAIOptions
from voicepipe.components.events import ReplyDone, TextDelta
from voicepipe.components.requests import ToolCall, ToolResults, Utterance
from voicepipe.config.call_settings import BargeInSettings, DtmfSettings, KeyAction, LimitsSettings, TurnsSettings
from voicepipe.config.history_settings import HistorySettings
from voicepipe.testing import RehearsedCall, ScriptedLanguageModel, ScriptedSpeechToText

OPTIONS = OpenAIOptions(model="gpt-4.1-mini", base_url="http://127.0.0.1/v1")
LONG = "That is a long story, which takes a while to be told, and nobody knows how it ends."


@tool(filler="One moment, please.", timeout_s=4)
async def slow(day: str) -> str:
    """Takes its time.

    Args:
        day: which day

    """
    await trio.sleep({"a": 0.2, "b": 2.5, "c": 9.0}.get(day, 1.0))
    if day == "d":
        raise ToolError("Sunday is full.")
    return "" if day == "e" else f"{day} is free"


@tool(cancellable=True)
async def browse() -> str:
    """Is called off when the caller interrupts."""
    await trio.sleep(3)
    return "found"


class Model:
    """A model that says and calls anything, and fails at times."""

    def __init__(self, chance, fails):
        self.chance, self.fails, self.requests = chance, fails, []

    def __call__(self, request):
        self.requests.append(request)
        chance = self.chance
        if chance.random() < self.fails:
            raise ComponentError("is away", retryable=False)
        words = chance.choice(["Yes.", "One moment.", LONG, " "])
        number = chance.choice(["call_9f8e7d", "0", "abcDEF123", "x" * 50])
        calls = [
            chance.choice(
                [
                    ToolCall(f"{number}{index}", "slow", {"day": chance.choice("abcdef")}),
                    ToolCall(f"{number}{index}", "browse"),
                    ToolCall(number, "functions.book a table", {"at": 9.0}),
                ]
            )
            for index in range(chance.choice([0, 0, 0, 1, 1, 2, 3]))
        ]
        if words.isspace() and not calls and isinstance(request.trigger, Utterance):
            words = "Yes."
        ends = [] if chance.random() < self.fails else [ReplyDone()]  # or it breaks off
        return [TextDelta(words), *calls, *ends]


def a_call(seed):
    chance = random.Random(seed)
    models = [Model(chance, 0.1), Model(chance, 0.0)]
    call = RehearsedCall(
        stt=ScriptedSpeechToText(),
        llm=[ScriptedLanguageModel(model) for model in models],
        settings={
            "greeting": chance.choice([None, "Hello."]),
            "prompt": chance.choice(["", "Be brief."]),
            "tools": ("slow", "browse"),
            "functions": (slow, browse),
            "keys": {"9": KeyAction(say="We are open.")},
            "turns": TurnsSettings(
                preemptive=chance.random() < 0.3,
                dtmf=DtmfSettings(gap_ms=chance.choice([0, 800])),
                barge_in=BargeInSettings(resume_ms=chance.choice([0, 1200]), min_words=chance.choice([0, 0, 2])),
            ),
            "limits": LimitsSettings(idle_prompt_s=4, idle_prompts=5),
            "history": HistorySettings(max_turns=chance.choice([0, 0, 2, 5])),
        },
    )
    return call, models, chance


async def behave(call, chance):
    for number in range(14):
        match chance.choice(["say", "say", "say", "press", "nod", "wait"]):
            case "say":
                call.stt.texts.append(f"sentence {number} please")
                await call.transport.say(chance.choice([300, 700]))
            case "nod":
                call.stt.texts.append("uh-huh")
                await call.transport.say(300)
            case "press":
                for key in chance.choice(["1", "47", "9", "4711#", "#"]):
                    await call.transport.press(key)
                    await call.transport.be_silent(60)
            case "wait":
                await call.transport.be_silent(6000)
        await call.transport.be_silent(chance.choice([100, 900, 3000]))
    await call.transport.hang_up_as_caller()


@pytest.mark.parametrize("seed", range(6))
async def test_every_request_of_a_call_is_taken_everywhere(autojump_clock, seed):
    call, models, chance = a_call(seed)
    await call.hold(lambda: behave(call, chance))
    requests = [request for model in models for request in model.requests]
    assert len(requests) > 3
    for request in requests:
        check_everywhere(openai_chat.body_for(OPTIONS, request))
        last = openai_chat.body_for(OPTIONS, request)["messages"][-1]
        if isinstance(request.trigger, ToolResults) and not request.said:
            assert last["role"] == "tool" or "[the tools returned:" in last["content"]
