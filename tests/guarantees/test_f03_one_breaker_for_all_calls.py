"""F03: a circuit breaker is shared by all calls of a process; recovery is probed without any caller's content."""

from __future__ import annotations

from collections import Counter
from contextlib import asynccontextmanager

import pytest
import trio
from attrs import define, field
from flaky import FlakyLlm, FlakyStt, FlakyTts, Telephone
from recording import RecordedSet, pipeline

from voicepipe import CallInfo, ComponentError, FailedOver, open_call, open_runtime

OUTAGE_S = (5.0, 15.0)
CALLS = 50
TURNS = 4


@define(eq=False)
class Provider:
    """A provider with an outage, as its own side sees it."""

    component: object
    """What it is while it is well."""
    sick: bool = False
    requests: Counter = field(factory=Counter)
    """Of calls, by whether they came in the outage."""
    probes: list[float] = field(factory=list)
    probing: int = 0
    most_probing: int = 0

    def __getattr__(self, name):
        return getattr(self.component, name)

    async def probe(self):
        """Asks nothing but whether it is there; takes its time."""
        self.probes.append(trio.current_time())
        self.probing += 1
        self.most_probing = max(self.most_probing, self.probing)
        try:
            await trio.sleep(0.4)
            self._answer()
        finally:
            self.probing -= 1

    def _answer(self):
        if self.sick:
            raise ComponentError("HTTP 503")

    @asynccontextmanager
    async def _exchange(self, inner):
        self.requests["sick" if self.sick else "well"] += 1
        self._answer()
        async with inner as stream:
            yield stream

    def open_stream(self, *args):
        return self._exchange(self.component.open_stream(*args))

    def respond(self, request):
        return self._exchange(self.component.respond(request))

    async def have_an_outage(self):
        begins, ends = OUTAGE_S
        await trio.sleep(begins)
        self.sick = True
        await trio.sleep(ends - begins)
        self.sick = False


class Stt(FlakyStt):
    """Hears the same in every call."""

    @asynccontextmanager
    async def open_stream(self, *args):
        self.texts.extend(["question"] * TURNS)
        async with super().open_stream(*args) as stream:
            yield stream


def component(role):
    return {"stt": Stt, "llm": lambda: FlakyLlm(["fine."]), "tts": FlakyTts}[role]()


async def converse(number, pipelines, events):
    """A call with a turn every few seconds."""
    await trio.sleep(number * 0.2)
    phone = Telephone(info=CallInfo(str(number)))

    async def caller():
        for _ in range(TURNS):
            await phone.say(300)
            await phone.be_silent(700)
            await trio.sleep(5.5)
        await phone.hang_up_as_caller()

    with pipelines.pin() as snapshot:
        async with trio.open_nursery() as nursery, open_call(snapshot.active, phone, observer=events.append) as call:
            nursery.start_soon(caller)
            await call.run()
    return phone


@pytest.mark.parametrize("role", ["stt", "llm", "tts"])
async def test_fifty_calls_through_an_outage(autojump_clock, tmp_path, role):
    recorded, changes = RecordedSet(tmp_path), []
    provider = Provider(component(role))
    recorded.components = {f"{one} {name}": component(one) for one in ("stt", "llm", "tts") for name in "ab"}
    recorded.components[f"{role} a"] = provider
    recorded.write(
        default=pipeline(**{role: ["a", "b"]}, greeting="hello."), sections={"limits": {"idle_prompt_s": 60}}
    )
    events, phones = [], []

    async def one(number):
        phones.append(await converse(number, pipelines, events))

    began = trio.current_time()
    async with (
        open_runtime(lambda health: changes.append((trio.current_time() - began, health.state))) as runtime,
        recorded.serve(runtime=runtime) as pipelines,
    ):
        provider.probes.clear()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(provider.have_an_outage)
            for number in range(CALLS):
                nursery.start_soon(one, number)
        (health,) = [one for one in runtime.components if (one.role, one.name) == (role, "recorded")][:1]
        assert {one.state for one in runtime.components} == {"closed"}

    # Nobody heard an apology, and every turn was answered.
    assert [event.rung for event in events if isinstance(event, FailedOver) and event.rung == "apology"] == []
    assert {phone.heard.count("fine.") for phone in phones} == {TURNS}
    # The sick provider was left alone, but for one probe at a time, ever more rarely.
    assert provider.most_probing == 1
    opened_at = next(when for when, state in changes if state == "open")
    assert opened_at < OUTAGE_S[0] + 2
    assert provider.requests["sick"] <= 10
    in_outage = [when - began for when in provider.probes if when - began < OUTAGE_S[1]]
    assert 2 <= len(in_outage) <= 6
    # It was found again soon, and is used by all.
    closed_at = max(when for when, state in changes if state == "closed")
    assert OUTAGE_S[1] < closed_at < OUTAGE_S[1] + 12
    assert provider.requests["well"] >= CALLS - 2
    assert health.successes > 0


async def test_a_call_that_starts_then_does_not_wait_for_it(autojump_clock, tmp_path):
    """What one call has met, another need not."""
    recorded = RecordedSet(tmp_path)
    stalled = FlakyTts()
    recorded.components = {"tts a": stalled, "tts b": FlakyTts(second=True)}
    recorded.write(default=pipeline(tts=["a", "b"], greeting="hello."))
    async with recorded.serve() as pipelines:
        breaker = pipelines.current.active.tts[0].breaker
        breaker.open(ComponentError("HTTP 503"), trio.current_time(), retry_at=trio.current_time() + 30)
        phone, began, streams = Telephone(), trio.current_time(), stalled.streams

        async def caller():
            await trio.sleep(3)
            await phone.hang_up_as_caller()

        with pipelines.pin() as snapshot:
            async with trio.open_nursery() as nursery, open_call(snapshot.active, phone) as call:
                nursery.start_soon(caller)
                await call.run()
        assert phone.heard == "HELLO."
        assert phone.written[0][0] - began < 0.1
        assert stalled.streams == streams
