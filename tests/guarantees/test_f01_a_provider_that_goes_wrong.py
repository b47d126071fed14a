"""F01: a provider that goes wrong, in whatever way, is failed over within its deadline.

Refused, timed out, stalled after any byte, half closed, rubbish, 401, 429, 5xx, and success with nothing: for each role
here by components that do just that. `tests/faults` has the same with real adapters and their providers' servers.
"""

from __future__ import annotations

from math import inf

import pytest
from flaky import FlakyLlm, FlakyStt, FlakyTts, Telephone, Trouble

from voicepipe import ComponentError, ComponentFailed, FailedOver
from voicepipe.components.events import ReplyDone, TextDelta
from voicepipe.config.call_settings import (
    BudgetsSettings,
    LanguageModelBudgets,
    SpeechToTextBudgets,
    TextToSpeechBudgets,
)
from voicepipe.testing.calls import RehearsedCall

BUDGETS = BudgetsSettings(
    stt=SpeechToTextBudgets(connect_ms=1000, first_transcript_ms=1000),
    llm=LanguageModelBudgets(first_token_ms=1000, gap_ms=1000),
    tts=TextToSpeechBudgets(connect_ms=1000, first_audio_ms=1000, gap_ms=1000),
)
REFUSED = ComponentError("HTTP 401", retryable=False)
BUSY = ComponentError("HTTP 429", retry_after_s=5)
BROKEN = ComponentError("HTTP 503")

SPEECH = {
    "refuses": Trouble("open", error=BROKEN),
    "401": Trouble("open", error=REFUSED),
    "429": Trouble("open", error=BUSY),
    "times out": Trouble("hang"),
    "stalls at once": Trouble("stall"),
    "stalls later": Trouble("stall", 240),
    "breaks": Trouble("fail", 240),
    "half-closes": Trouble("end"),
}
TEXT = {
    "refuses": BROKEN,
    "401": REFUSED,
    "429": BUSY,
    "times out": [inf],
    "stalls later": [TextDelta("we are open. we clo"), inf],
    "breaks": [TextDelta("we are open. we clo"), BROKEN],
    "half-closes": [TextDelta("we are open. we clo"), None],
    "succeeds with nothing": [ReplyDone("empty")],
}
CASES = (
    [("stt", name) for name in [*SPEECH, "succeeds with nothing"]]
    + [("llm", name) for name in TEXT]
    + [("tts", name) for name in SPEECH]
)
REPLY = "we are open. we close at three."


def components(role, name):
    """The three roles' lists: in one of them the first goes wrong whenever it is asked."""
    lists = {"stt": [FlakyStt(["when"] * 9)], "llm": [FlakyLlm([REPLY])], "tts": [FlakyTts()]}
    trouble = Trouble("empty") if name == "succeeds with nothing" else SPEECH.get(name)
    wrong = {
        "stt": lambda: FlakyStt(["when"] * 9, [trouble] * 9),
        "llm": lambda: FlakyLlm([TEXT[name]]),
        "tts": lambda: FlakyTts([trouble] * 9),
    }
    lists[role].insert(0, wrong[role]())
    return lists


@pytest.mark.parametrize(("role", "name"), CASES, ids=map(" ".join, CASES))
async def test_the_caller_waits_no_longer_than_its_budget_and_hears_it_all_once(autojump_clock, role, name):
    call = RehearsedCall(
        **components(role, name), transport=Telephone(), settings={"greeting": "hello.", "budgets": BUDGETS}
    )

    async def caller():
        await call.transport.be_silent(2500)
        await call.transport.say(600)
        await call.transport.be_silent(6000)
        await call.transport.hang_up_as_caller()

    ended = await call.hold(caller)
    assert ended.outcome == "caller_hung_up"
    assert call.conversation == [("", "hello."), ("when", REPLY)]
    waited = call.transport.heard_from(3.1) - 3.1
    assert waited <= 0.6 + 1.0 + 0.1  # the end of the turn, the budget
    assert "alternate" in {event.rung for event in call.told(FailedOver)}
    assert {event.role for event in call.told(ComponentFailed)} == {role}
    assert {event.error.component for event in call.told(ComponentFailed)} == {f"test_{role}"}
    heard = call.transport.heard
    if role != "tts" or name not in {"stalls later", "breaks"}:  # there a word is cut in two
        assert heard.replace(" ", "") == ("hello." + REPLY).replace(" ", "")
