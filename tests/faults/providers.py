"""A call on real adapters whose providers, in memory, go wrong: which fault, in which role, at which moment.

The providers are Deepgram's and OpenAI's, each twice: the one that is preferred and falls ill, and a spare one. All of
it runs on the virtual clock, so that times are exact and a call of ten seconds takes a fraction of one.
"""

from __future__ import annotations

import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from attrs import define, evolve, field, frozen
from vendors import deepgram_speak, tone
from vendors.deepgram_listen import DeepgramListen, silence, speech
from vendors.deepgram_speak import DeepgramSpeak
from vendors.openai_requests import KEY
from vendors.openai_server import OpenAIServer, Says
from vendors.serving import BEFORE_HEAD, Fault, open_memory_network

from voicepipe import (
    AudioFormat,
    CallEnded,
    CallEvent,
    ComponentFailed,
    FailedOver,
    TurnEnded,
    open_call,
    open_pipeline_set,
    open_runtime,
)
from voicepipe.testing.transport import MemoryTransport

LINE = AudioFormat(8000)
MS_A_CHAR = 60
"""How long the voices take for a character: as people do."""
ROLES = ("stt", "llm", "tts")

FAULTS = {
    "refuses": Fault("refuse"),
    "401": Fault("status", status=401, body={"err_code": "INVALID_AUTH", "err_msg": "Invalid credentials."}),
    "429": Fault("status", status=429, headers={"retry-after": "2"}, body={"error": {"message": "slow down"}}),
    "500": Fault("status", status=500, body="oops"),
    "stalls at once": Fault("stall", BEFORE_HEAD),
    "stalls after a piece": Fault("stall", 1),
    "stalls in the middle": Fault("stall", 3),
    "half-closes": Fault("half_close", 1),
    "resets": Fault("reset", 2),
    "sends rubbish": Fault("rubbish", 1),
    "is empty": Fault("empty"),
    "drips": Fault("drip", pause_s=0.0005),
}

MOMENTS = ("call start", "first turn", "mid-reply", "barge-in")

BUDGETS_S = {"stt": 1.0, "llm": 1.5, "tts": 1.0}
"""The longest of each role's, as the file below has them."""

YAML = """\
active_pipeline: default
budgets:
  stt: {connect_ms: 1000, first_transcript_ms: 1000}
  llm: {first_token_ms: 1500, gap_ms: 1000}
  tts: {connect_ms: 1000, first_audio_ms: 1000, gap_ms: 800}
components:
  stt: {type: deepgram, api_key: test-key, base_url: "http://stt.test"}
  spare_stt: {type: deepgram, api_key: test-key, base_url: "http://spare-stt.test"}
  llm: {type: openai, api_key: "${KEY}", model: gpt-4.1-mini, base_url: "http://llm.test/v1"}
  spare_llm: {type: openai, api_key: "${KEY}", model: gpt-4.1-mini, base_url: "http://spare-llm.test/v1"}
  tts: {type: deepgram, api_key: test-key, base_url: "http://tts.test"}
  spare_tts: {type: deepgram, api_key: test-key, base_url: "http://spare-tts.test"}
pipelines:
  default:
    stt: [stt, spare_stt]
    llm: [llm, spare_llm]
    tts: [tts, spare_tts]
    greeting: "Welcome to us."
    prompt: "You are a receptionist."
"""

GREETING = "Welcome to us."
LONG = "We open at nine. On Fridays we close at three. Is there anything else?"
SHORT = "That is all right. Goodbye to you."

FIRST, OVER, LAST = "yes two no", "five six", "seven eight"
"""What the caller says first, over the reply, and after it."""


class _Sick:
    """What all three kinds of servers need to fall ill while they talk."""

    def __init__(self) -> None:
        super().__init__()
        self.wires: list[Any] = []

    async def _serve(self, wire: Any) -> None:
        self.wires.append(wire)
        try:
            await super()._serve(wire)  # type: ignore[misc]
        finally:
            self.wires = [one for one in self.wires if one is not wire]

    def fall_ill(self, fault: Fault) -> None:
        """Goes wrong from now on, in what is going on too: a piece later, if the fault comes after some."""
        self.fault = fault
        for wire in tuple(self.wires):
            if fault.kind in {"refuse", "status"}:
                wire.stream.reset()
            elif fault.kind == "drip":
                wire.fault = fault
            else:
                wire.fault = evolve(fault, after=wire.sent + max(0, fault.after - 1))


class Ears(_Sick, DeepgramListen):
    """Deepgram's speech-to-text."""


def _reply(body: dict[str, Any]) -> Says:
    """All of the reply to what the caller said last, though some of it was said already: many models do that."""
    asked = [message["content"].lower() for message in body["messages"] if message["role"] == "user"]
    known = [phrase for text in asked for phrase in (FIRST, OVER, LAST) if phrase in text]
    return Says(LONG if known[-1] == FIRST else SHORT)


class Mind(_Sick, OpenAIServer):
    """OpenAI's Chat Completions, a word every 100 ms."""

    def __init__(self) -> None:
        super().__init__()
        self.reply = _reply

    async def answer(self, request: Any, response: Any) -> None:
        send = response.send

        async def send_slowly(data: Any) -> None:
            await trio.sleep(0.1)
            await send(data)

        if request.method == "POST":
            response.send = send_slowly
        await super().answer(request, response)


def slowly(text: str, audio: AudioFormat) -> bytes:
    """The text, spoken as fast as people do: the tests' tone takes a third of that."""
    return tone.speech(text * 3, audio)


class Voice(_Sick, DeepgramSpeak):
    """Deepgram's text-to-speech, a little faster than it is heard."""

    def __init__(self) -> None:
        super().__init__()
        self.pause_s = 0.015

    @property
    def said(self) -> list[str]:
        return [text for kind, text in self.heard if kind == "Speak"]


@define
class Clinic:
    """The pipeline with its providers."""

    pipeline: Any
    servers: dict[str, Any]
    """By host: `stt`, `spare-stt`, ..."""


@asynccontextmanager
async def open_clinic(clock: Any, directory: Path):
    """Opens it while time passes as it does, since opening uses threads, and stops the clock then."""
    (directory / "ai-agent.yaml").write_text(YAML)
    servers = {
        f"{spare}{role}": kind()
        for role, kind in zip(ROLES, (Ears, Mind, Voice), strict=True)
        for spare in ("", "spare-")
    }
    clock.autojump_threshold, clock.rate = float("inf"), 1.0
    patch = pytest.MonkeyPatch()
    patch.setattr(deepgram_speak, "speech", slowly)
    async with open_memory_network(patch) as network:
        for host, server in servers.items():
            network.listen(f"{host}.test", server)
        async with (
            open_runtime() as runtime,
            open_pipeline_set(directory / "ai-agent.yaml", environ={"KEY": KEY}, runtime=runtime) as pipelines,
        ):
            for server in servers.values():
                server.requests.clear()
                if isinstance(server, Voice):
                    server.heard.clear()
            clock.rate, clock.autojump_threshold = 0.0, 0.0
            yield Clinic(pipelines.current.active, servers)
            clock.autojump_threshold, clock.rate = float("inf"), 1.0
    patch.undo()


@frozen
class Result:
    """What became of a call."""

    events: tuple[CallEvent, ...]
    speech: tuple[tuple[float, float], ...]
    """When speech was heard: from and to, in s since the call began; pauses of less than 100 ms left out."""
    cues: dict[str, float]
    """When something was due: the caller was answered or had finished; `ill`: when the provider fell ill."""
    spare: tuple[str, ...]
    """What the spare voice was asked to speak."""
    over_s: float
    """How long the caller was spoken over by the reply after beginning to interrupt it."""

    @property
    def conversation(self) -> list[tuple[str, str]]:
        return [(turn.heard.lower(), turn.said) for turn in self.events if isinstance(turn, TurnEnded)]

    @property
    def outcome(self) -> str:
        return next(event.outcome for event in self.events if isinstance(event, CallEnded))

    @property
    def rungs(self) -> list[str]:
        return [f"{event.role} {event.rung}" for event in self.events if isinstance(event, FailedOver)]

    @property
    def reasons(self) -> list[str]:
        return [event.error.message for event in self.events if isinstance(event, ComponentFailed)]

    @property
    def ill_s(self) -> float:
        return self.cues["ill"]

    @property
    def waited_s(self) -> float:
        """The longest that the caller waited for something useful since the provider was ill: dead air."""
        waits = []
        for name, cue in self.cues.items():
            if name != "ill" and (begins := [start for start, _ in self.speech if start >= cue]):
                waits.append((begins[0], begins[0] - max(cue, self.ill_s)))
        for (_, end), (start, _) in zip(self.speech, self.speech[1:], strict=False):
            if not any(end <= cue + 0.02 and cue <= start for name, cue in self.cues.items() if name != "ill"):
                waits.append((start, start - max(end, self.ill_s)))  # within a reply
        return max((wait for start, wait in waits if start >= self.ill_s), default=0.0)

    @property
    def too_much_ms(self) -> float:
        """How much more speech was heard than what was said takes; negative: how much less."""
        said = " ".join(said for _, said in self.conversation)
        return sum(end - start for start, end in self.speech) * 1000 - len(said.replace(". ", ".")) * MS_A_CHAR


@define
class _Caller:
    """The caller, and what is to go wrong meanwhile."""

    phone: MemoryTransport
    clinic: Clinic
    role: str | None
    fault: Fault | None
    moment: str
    cues: dict[str, float] = field(factory=dict)
    began: float = 0.0
    interrupted_at: float | None = None

    def now(self) -> float:
        return trio.current_time() - self.began

    def fall_ill(self, moment: str) -> None:
        if moment == self.moment:
            self.cues["ill"] = self.now()
            if self.role is not None and self.fault is not None:
                self.clinic.servers[self.role].fall_ill(self.fault)

    async def call(self) -> None:
        phone = self.phone
        self.cues["answered"] = 0.0
        await self._until_quiet()
        self.fall_ill("first turn")
        await self._say(FIRST)
        await self._until_heard()
        await phone.be_silent(300)
        self.fall_ill("mid-reply")
        if self.moment == "barge-in":
            await phone.be_silent(900)
            await self._until_heard(since=trio.current_time() - 0.05)
            self.fall_ill("barge-in")
            self.interrupted_at = trio.current_time()
            await self._say(OVER)
        else:
            await self._until_quiet()
            await self._say(LAST)
        await self._until_heard()
        await self._until_quiet()
        await phone.hang_up_as_caller()

    async def _say(self, words: str) -> None:
        await self.phone.send(speech(words, LINE))
        self.cues[words] = self.now()

    async def _until_heard(self, since: float | None = None) -> None:
        since = trio.current_time() if since is None else since
        while not any(when >= since and any(frame) for when, frame in reversed(self.phone.written[-5:])):
            await self.phone.send(silence(20, LINE))

    async def _until_quiet(self, s: float = 3.5) -> None:
        """Nothing has been said for so long."""
        while True:
            last = next((when for when, frame in reversed(self.phone.written) if any(frame)), None)
            if last is not None and trio.current_time() - last >= s:
                return
            await self.phone.send(silence(20, LINE))


async def hold_call(clinic: Clinic, role: str | None = None, fault: Fault | None = None, moment: str = "") -> Result:
    """One call, in which a role's provider falls ill at a moment."""
    phone, events = MemoryTransport(LINE), []
    caller = _Caller(phone, clinic, role, fault, moment, began=trio.current_time())
    caller.fall_ill("call start")
    with trio.move_on_after(90):
        async with trio.open_nursery() as nursery:
            async with open_call(clinic.pipeline, phone, observer=events.append) as call:
                nursery.start_soon(caller.call)
                await call.run()
            nursery.cancel_scope.cancel()
    over_s = 0.0
    if caller.interrupted_at is not None:
        spoken_over = [when for when, _ in phone.written if caller.interrupted_at < when < caller.interrupted_at + 0.8]
        over_s = max(spoken_over, default=caller.interrupted_at) - caller.interrupted_at
    return Result(
        events=tuple(events),
        speech=_speech_of(phone, caller.began),
        cues=caller.cues,
        spare=tuple(clinic.servers["spare-tts"].said),
        over_s=over_s,
    )


def _speech_of(phone: MemoryTransport, began: float) -> tuple[tuple[float, float], ...]:
    """When the caller heard speech; what is written ahead of time is heard when it is due."""
    spans: list[list[float]] = []
    heard_until = 0.0
    for when, frame in phone.written:
        start = max(heard_until, when - began)
        heard_until = start + 0.02
        if not any(frame):
            continue
        if spans and start - spans[-1][1] < 0.1:
            spans[-1][1] = heard_until
        else:
            spans.append([start, heard_until])
    return tuple((start, end) for start, end in spans)


def run_cell(role: str | None, fault: str | None, moment: str) -> Result:
    """One cell of the matrix, from opening to closing."""
    clock = trio.testing.MockClock()

    async def main() -> Result:
        with tempfile.TemporaryDirectory() as directory:
            async with open_clinic(clock, Path(directory)) as clinic:
                return await hold_call(clinic, role, FAULTS[fault] if fault else None, moment)

    return trio.run(main, clock=clock)
