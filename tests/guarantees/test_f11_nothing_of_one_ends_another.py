"""F11: nothing that one call, one observer, one transport or one file does ends another call, a set or the engine.

Two calls share everything that calls share: clock, components, breakers, the hub. One of them does what it must not;
the other is compared with itself on a day on which nobody did.
"""

from __future__ import annotations

import logging

import pytest
import trio
from patience import LONG_S, until
from recording import RecordedSet, pipeline
from trio.testing import wait_all_tasks_blocked

from voicepipe import (
    Applied,
    CallEnded,
    CallInfo,
    CallRecorder,
    ComponentFailed,
    Rejected,
    ReplyDone,
    TextDelta,
    ToolCall,
    TransportError,
    open_audiosocket_listener,
    open_call,
    open_pipeline_set,
    open_runtime,
    tool,
)
from voicepipe.config.call_settings import KeyAction
from voicepipe.testing import (
    MemoryTransport,
    ScriptedLanguageModel,
    ScriptedSpeechToText,
    ToneTextToSpeech,
    open_test_pipeline,
)
from voicepipe.testing.audiosocket_caller import open_audiosocket_call

GREETING = "A greeting that takes some seconds to be said to whoever calls, so that much may happen meanwhile."

RAISED = {
    "defect": lambda: ValueError("a defect"),
    "system": lambda: OSError("the other side is gone"),
    "group": lambda: ExceptionGroup("several", [OSError("one"), ValueError("two")]),
    "exit": lambda: SystemExit(3),
    "ours": lambda: TransportError("it can't be played"),
}
raised = pytest.mark.parametrize("make", RAISED.values(), ids=RAISED)


class Clumsy(MemoryTransport):
    """A transport of somebody else, one method of which raises from its n-th use on."""

    def __init__(self, make, method, uses, **others):
        super().__init__(**others)
        self.make, self.method, self.left = make, method, uses

    def use(self, method):
        if method == self.method:
            self.left -= 1
            if self.left < 0:
                raise self.make()

    def write(self, audio):
        self.use("write")
        return super().write(audio)

    async def wait_writable(self):
        self.use("wait_writable")
        await super().wait_writable()

    async def run(self, sink):
        self.use("run")
        await super().run(sink)

    async def hang_up(self):
        self.use("hang_up")
        await super().hang_up()


class Held:
    """Two calls on one pipeline, and what became of them."""

    def __init__(self):
        self.events = {"A": [], "B": []}
        self.raised, self.calls = {}, {}
        self.stt = ScriptedSpeechToText()
        self.pipeline = None

    def component_faults(self):
        told = [event for of in self.events.values() for event in of if isinstance(event, ComponentFailed)]
        opened = (self.pipeline.stt[0], self.pipeline.llm[0], self.pipeline.tts[0])
        return told, [one.breaker.failures for one in opened]

    def ending(self, name):
        (ended,) = [event for event in self.events[name] if isinstance(event, CallEnded)]
        return ended.outcome, ended.detail

    async def hold(self, a, b, *, seconds=3.0, during=None, observer=None):
        """A and B call at the same moment; after so long the caller of each hangs up."""
        keys = {"1": KeyAction(say="The second thing.")}
        llm = ScriptedLanguageModel(lambda _request: "I see.")
        async with (
            open_test_pipeline(self.stt, llm, ToneTextToSpeech(), greeting=GREETING, keys=keys) as self.pipeline,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(self._one, "A", a, observer or self.events["A"].append)
            nursery.start_soon(self._one, "B", b, self.events["B"].append)
            if during is not None:
                await during()
            await trio.sleep(seconds)
            for phone in a, b:
                nursery.start_soon(phone.hang_up_as_caller)
            await trio.sleep(10)
            nursery.cancel_scope.cancel()

    async def _one(self, name, phone, observer):
        try:
            async with open_call(self.pipeline, phone, observer=observer) as call:
                self.calls[name] = call
                await call.run()
        except Exception as error:  # noqa: BLE001 - what a program's own edge of a call would get
            self.raised[name] = error


def phone(name):
    return MemoryTransport(info=CallInfo(name))


async def on_a_good_day():
    held, other = Held(), phone("B")
    await held.hold(phone("A"), other)
    return other.written, held.ending("B")


# --- One transport -----------------------------------------------------------------------------------------------


@raised
@pytest.mark.parametrize(("method", "uses"), [("write", 0), ("write", 1), ("write", 20), ("run", 0), ("hang_up", 0)])
async def test_a_transport(autojump_clock, make, method, uses):
    """`write` is called by whoever brings the first frame of a reply, and by the ticker of all calls for the others."""
    written, ending = await on_a_good_day()
    held, clumsy, other = Held(), Clumsy(make, method, uses, info=CallInfo("A")), phone("B")
    await held.hold(clumsy, other)
    assert [frame for _at, frame in other.written] == [frame for _at, frame in written]
    later = [at - before for (at, _frame), (before, _frame) in zip(other.written, written, strict=True)]
    assert later == pytest.approx([later[0]] * len(later))
    assert held.ending("B") == ending
    assert held.component_faults() == ([], [0, 0, 0])
    if method != "hang_up":
        assert held.ending("A")[0] == "failed"
    if not isinstance(make(), TransportError):
        assert "A" in held.raised
    assert "B" not in held.raised


async def test_a_transport_that_takes_nothing_and_then_raises(autojump_clock):
    held, clumsy, other = Held(), Clumsy(RAISED["system"], "wait_writable", 0, info=CallInfo("A")), phone("B")
    clumsy.block()
    await held.hold(clumsy, other)
    assert held.ending("A") == ("failed", "OSError: the other side is gone")
    assert isinstance(held.raised["A"], OSError)
    assert len(other.written) > 150
    assert held.component_faults() == ([], [0, 0, 0])


async def test_a_transport_that_delivers_to_several_calls_from_one_task(autojump_clock):
    """As the hub does: the sink of a call does not raise, whatever is wrong in the call."""
    held, a, b = Held(), phone("A"), phone("B")

    async def during():
        await trio.sleep(1)
        a._sink.audio(b"\x01")  # half a sample: kept for the next frame
        a._sink.audio("no audio at all")
        b._sink.audio(bytes(320))
        a._sink.dtmf("1")
        b._sink.dtmf("1")

    await held.hold(a, b, during=during)
    assert held.ending("A")[0] == "failed"
    assert isinstance(held.raised["A"], TypeError)
    assert held.ending("B") == ("caller_hung_up", "the caller hung up")


# --- One call: a defect in whatever it does in a task that all calls share -----------------------------------------


@pytest.mark.parametrize("moment", ["a timer", "a drain", "a task"])
async def test_a_call(autojump_clock, moment):
    """Its timers ring in a task of all calls; who drains one call is about to drain the next."""
    held, a, b = Held(), phone("A"), phone("B")

    def fail(*_args):
        raise ZeroDivisionError("a defect of ours")

    async def fail_in_a_task():
        await trio.sleep(0.5)
        fail()

    async def during():
        await wait_all_tasks_blocked()
        call = held.calls["A"]
        if moment == "a timer":
            call.fire = fail
            held.pipeline.clock.timers.set(call, trio.current_time() + 1)
        elif moment == "a drain":
            call._turns.feed = fail
            call.drain()
        else:
            call._tasks.start_soon(fail_in_a_task)
            await trio.sleep(1)

    await held.hold(a, b, during=during)
    assert held.ending("A") == ("failed", "ZeroDivisionError: a defect of ours")
    assert isinstance(held.raised["A"], ZeroDivisionError)
    assert held.ending("B") == ("caller_hung_up", "the caller hung up")
    assert held.component_faults() == ([], [0, 0, 0])


async def test_a_call_on_a_listener(caplog):
    """Its handler raises, and so do those who are told of that and of what was no call."""
    told = []

    async def handler(transport):
        if not up:
            raise up_raises
        await transport.run(Sink())

    def tell(*args):
        told.append(args)
        raise KeyError("whoever is told")

    up, up_raises = True, None
    with trio.fail_after(LONG_S):
        async with (
            open_audiosocket_listener(port=0, on_crash=tell, on_refused=tell) as listener,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(listener.serve, handler)
            port = listener.address[1]
            async with open_audiosocket_call(port=port) as good:
                await until(lambda: listener.calls == 1)
                up = False
                for make in RAISED.values():
                    up_raises = make()
                    async with open_audiosocket_call(port=port) as bad:
                        await bad.hung_up.wait()
                async with await trio.open_tcp_stream("127.0.0.1", port) as rubbish:
                    await rubbish.send_all(b"GET / HTTP/1.1\r\n\r\n")
                    assert await rubbish.receive_some() in {b"\0\0\0", b""}
                assert not good.hung_up.is_set()
                assert listener.calls == 1
            listener.close()
    assert len(told) == len(RAISED) + 2  # the group has two
    (report,) = [record for record in caplog.records if record.name == "voicepipe.observers"]
    assert report.observer == f"{__name__}.test_a_call_on_a_listener.<locals>.tell"


class Sink:
    """Takes what a transport delivers."""

    def audio(self, audio):
        pass

    def dtmf(self, digit):
        pass

    def hung_up(self, reason):
        pass


# --- One observer -------------------------------------------------------------------------------------------------


@tool
async def look_up(day: str) -> str:
    """Looks something up.

    Args:
        day: which day.

    """
    return f"{day}: open"


def answer(request):
    """The first reply calls a tool."""
    if not any(message.role == "tool" for message in request.messages):
        return [TextDelta("Let me see. "), ToolCall("1", "look_up", {"day": "monday"}), ReplyDone()]
    return "It is open on Monday."


async def rich_call(observer):
    """A call in which nearly everything happens that there is to be told; what the model was asked, and the ending."""
    llm = ScriptedLanguageModel(answer)
    transport = phone("A")
    keys = {"1": KeyAction(say="One.")}

    async def caller():
        await transport.be_silent(1500)
        await transport.say(600)
        await transport.be_silent(4000)
        await transport.press("1")
        await transport.be_silent(500)
        await transport.say(600)
        await transport.be_silent(5000)
        await transport.hang_up_as_caller()

    stt, tts = ScriptedSpeechToText(["when are you open", "and what else"]), ToneTextToSpeech()
    async with (
        open_test_pipeline(
            stt, llm, tts, greeting="Hello.", keys=keys, functions=[look_up], tools=("look_up",)
        ) as opened,
        trio.open_nursery() as nursery,
    ):
        async with open_call(opened, transport, observer=observer) as call:
            nursery.start_soon(caller)
            ended = await call.run()
        nursery.cancel_scope.cancel()
    failures = [one.breaker.failures for one in (opened.stt[0], opened.llm[0], opened.tts[0])]
    return transport.written, [request.messages for request in llm.requests], (ended.outcome, ended.turns), failures


KINDS = (
    "CallBegan",
    "SpeechDetected",
    "Transcribed",
    "DtmfReceived",
    "ReplyStarted",
    "TurnEnded",
    "ToolStarted",
    "ToolEnded",
    "CallEnded",
)


@pytest.mark.parametrize("make", [make for name, make in RAISED.items() if name != "ours"])
@pytest.mark.parametrize("kind", [*KINDS, "every"])
async def test_an_observer_of_a_call(autojump_clock, caplog, kind, make):
    told, kinds = [], []

    def observe(event):
        kinds.append(type(event).__name__)
        if kind in {type(event).__name__, "every"}:
            raise make()

    undisturbed = await rich_call(told.append)
    began = trio.current_time()
    disturbed = await rich_call(observe)
    assert set(KINDS) <= {type(event).__name__ for event in told}
    assert kinds == [type(event).__name__ for event in told]
    assert [frame for _at, frame in disturbed[0]] == [frame for _at, frame in undisturbed[0]]
    assert disturbed[1:] == undisturbed[1:]
    assert disturbed[3] == [0, 0, 0]
    assert began > 0
    (report,) = [record for record in caplog.records if record.name == "voicepipe.observers"]
    assert report.levelno == logging.ERROR
    assert report.observer == f"{__name__}.test_an_observer_of_a_call.<locals>.observe"
    assert report.observer in report.getMessage()
    assert report.exc_info[1] is not None


async def test_a_thousand_events_of_calls_with_one_broken_observer_make_one_report(autojump_clock, caplog):
    def observe(event):
        raise LookupError(event.call_id)

    async with open_test_pipeline(
        ScriptedSpeechToText(), ScriptedLanguageModel(lambda _request: "I see."), ToneTextToSpeech(), greeting="Hello."
    ) as opened:
        for number in range(300):
            transport = phone(str(number))
            async with open_call(opened, transport, observer=observe) as call, trio.open_nursery() as nursery:
                nursery.start_soon(transport.hang_up_as_caller)
                await call.run()
    assert len([record for record in caplog.records if record.name == "voicepipe.observers"]) == 1


async def test_an_observer_of_a_set(tmp_path, caplog):
    recorded, told = RecordedSet(tmp_path), []

    def observe(event):
        told.append(type(event).__name__)
        raise ValueError("an observer of sets")

    async with recorded.serve(observer=observe) as pipelines:
        with pipelines.pin():
            assert isinstance(await recorded.rewrite(pipelines, default=pipeline(stt="b")), Applied)
            assert isinstance(await recorded.rewrite(pipelines, default=pipeline(stt="c")), Applied)
        await wait_all_tasks_blocked()
        assert recorded.open == {"stt c": 1, "llm a": 1, "tts a": 1}
        recorded.path.write_text("pipelines: [")
        await pipelines.reload()
        with pipelines.pin() as snapshot:
            assert snapshot.version == 3
    assert told == ["Applied", "Applied", "Retired", "Retired", "Rejected"]
    (report,) = [record for record in caplog.records if record.name == "voicepipe.observers"]
    assert report.observer == f"{__name__}.test_an_observer_of_a_set.<locals>.observe"


async def test_an_observer_of_components(tmp_path, caplog):
    """It is told from within a component's own task, and from within the call whose failure opened the breaker."""
    recorded, told = RecordedSet(tmp_path), []

    def observe(health):
        told.append((health.name, health.state))
        raise ValueError("an observer of components")

    async with open_runtime(observe) as runtime, recorded.serve(runtime=runtime) as pipelines:
        recorded.kill("tts a", OSError("reset"))
        await until(lambda: {state for _name, state in told} == {"open", "closed"})
        assert recorded.opened.count("tts a") == 2
        assert recorded.open == {"stt a": 1, "llm a": 1, "tts a": 1}
        assert pipelines.current.active.tts[0].breaker.state == "closed"
    assert {state for _name, state in told} == {"open", "closed"}
    (report,) = [record for record in caplog.records if record.name == "voicepipe.observers"]
    assert report.observer == f"{__name__}.test_an_observer_of_components.<locals>.observe"


# --- One file -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", ["pipelines: [", "", "\0", '{"pipelines": {"default": 3}}'])
async def test_a_file(tmp_path, content):
    """Of two sets in one runtime; calls of both are up."""
    directories = [tmp_path / name for name in ("one", "two")]
    for directory in directories:
        directory.mkdir()
    one, two = map(RecordedSet, directories)
    recorder = CallRecorder()
    async with (
        open_runtime() as runtime,
        one.serve(runtime=runtime, name="one") as first,
        open_pipeline_set(two.path, runtime=runtime, registry=two.registry, name="two") as second,
    ):
        with first.pin() as held, second.pin() as other:
            transport = phone("B")
            async with (
                open_call(other.active, transport, observer=recorder.observe) as call,
                trio.open_nursery() as nursery,
            ):
                nursery.start_soon(call.run)
                await wait_all_tasks_blocked()
                one.path.write_text(content)
                assert isinstance(await first.reload(), Rejected)
                assert first.current is held
                await wait_all_tasks_blocked()
                assert not transport.ended.is_set()
                await transport.hang_up_as_caller()
    assert recorder.record.outcome == "caller_hung_up"
