"""F04: with every alternative down the caller hears the apology, then what is configured: never dead air."""

from __future__ import annotations

import pytest
import trio
from flaky import FlakyLlm, FlakyStt, FlakyTts, Telephone, Trouble, read_back
from recording import RecordedSet, pipeline

from voicepipe import CallInfo, ComponentError, FailedOver, open_call

DOWN = ComponentError("HTTP 503")
THEN = {
    "dialplan": ("dialplan", "returned_to_dialplan"),
    "hang_up": ("hang_up", "failed"),
    "transfer": ({"transfer": "100"}, "transfer_requested"),
}
BUDGETS = {"stt": {"connect_ms": 500}, "llm": {"first_token_ms": 500}, "tts": {"connect_ms": 500}}


class Outage:
    """A set with two of each; those of one role all go down when the test says so."""

    def __init__(self, directory, role, then):
        self.recorded, self.events, self.phone = RecordedSet(directory), [], Telephone(info=CallInfo("1"))
        self.troubles = {"stt": [], "tts": []}
        self.llms = []
        for name in "ab":
            stt, tts, llm = FlakyStt(["question"] * 9), FlakyTts(second=name == "b"), FlakyLlm(["fine."])
            self.recorded.components |= {f"stt {name}": stt, f"tts {name}": tts, f"llm {name}": llm}
            self.troubles["stt"].append(stt.troubles)
            self.troubles["tts"].append(tts.troubles)
            self.llms.append(llm)
        lists = {one: ["a", "b"] for one in ("stt", "llm", "tts")}
        self.recorded.write(
            default=pipeline(**lists, greeting="hello.", on_failure={"say": "sorry.", "then": then}),
            sections={"budgets": BUDGETS},
        )
        self.role = role

    def strike(self):
        """From now on nothing of the role works."""
        for llm in self.llms if self.role == "llm" else ():
            llm.answers.clear()
            llm.answers.append(DOWN)
        for troubles in self.troubles.get(self.role, ()):
            troubles.extend([Trouble("open", error=DOWN)] * 99)

    async def call(self, *, strike_first):
        async with self.recorded.serve() as pipelines:
            if strike_first:
                self.strike()

            async def caller():
                await self.phone.be_silent(1500)
                self.strike()
                if self.role == "stt":
                    self.recorded.cut("stt a")
                    self.recorded.cut("stt b")
                await self.phone.say(600)
                await self.phone.be_silent(20_000)

            with pipelines.pin() as snapshot:
                async with trio.open_nursery() as nursery:
                    async with open_call(snapshot.active, self.phone, observer=self.events.append) as call:
                        nursery.start_soon(caller)
                        began = trio.current_time()
                        ended = await call.run()
                        lasted = trio.current_time() - began
                    nursery.cancel_scope.cancel()
        return ended, lasted


@pytest.mark.parametrize("then", THEN)
@pytest.mark.parametrize("role", ["stt", "llm", "tts"])
@pytest.mark.parametrize("strike_first", [True, False], ids=["from the start", "in the middle"])
async def test_an_apology_and_then_what_is_configured(autojump_clock, tmp_path, role, then, strike_first):
    configured, outcome = THEN[then]
    outage = Outage(tmp_path, role, configured)
    ended, lasted = await outage.call(strike_first=strike_first)
    assert ended.outcome == outcome
    assert outage.phone.transferred_to == ("100" if then == "transfer" else None)
    heard = read_back(outage.phone.said)
    assert heard.lower().endswith("sorry.")
    assert heard.lower().count("sorry.") == 1
    rungs = [event.rung for event in outage.events if isinstance(event, FailedOver)]
    assert rungs[-1] == "apology"
    assert rungs.count("apology") == 1
    # Dead air there is none: no longer than the end of a turn, and a budget.
    assert max(outage.phone.gaps, default=0.0) < 1.5 + 0.6 + 0.6 + 0.6 + 0.5
    assert lasted < 6


async def test_the_apology_is_heard_when_every_voice_is_gone_for_good(autojump_clock, tmp_path):
    """The components themselves are gone, not only their connections."""
    outage = Outage(tmp_path, "tts", "hang_up")
    async with outage.recorded.serve() as pipelines:
        for name in "ab":
            outage.recorded.opening[f"tts {name}"] = trio.sleep_forever
            outage.recorded.cut(f"tts {name}")
        await trio.sleep(0.1)
        with pipelines.pin() as snapshot:
            async with open_call(snapshot.active, outage.phone, observer=outage.events.append) as call:
                ended = await call.run()
    assert ended.outcome == "failed"
    assert read_back(outage.phone.said) == "sorry."
    assert ended.at_s < 2
