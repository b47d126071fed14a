"""Deepgram's speech-to-text when things go wrong: breaks that nobody notices, silence, refusals, and their hints."""

from __future__ import annotations

import pytest
import trio
from attrs import evolve
from deepgram_streams import FLUX, KEY, OPTIONS, arrived, final, finals, open_line, rest, say
from vendors.deepgram_listen import LINE, DeepgramListen, silence, speech
from vendors.serving import BEFORE_HEAD, Fault, open_vendor

from voicepipe.adapters.deepgram.stt import stt
from voicepipe.components.events import EndOfTurn, Transcript, TurnResumed
from voicepipe.components.requests import Listen
from voicepipe.components.values import Secret
from voicepipe.errors import ComponentError

STORY = speech("one two three") + silence(600) + speech("four five") + silence(600) + speech("six") + silence(600)


@pytest.fixture
async def line(monkeypatch, resources):
    async with open_line(monkeypatch, resources) as line:
        yield line


# --- Breaks that are mended ------------------------------------------------------------------------------------------


async def told(line, options, *faults):
    line.server.faults.extend(faults)
    line.server.sessions.clear()
    async with line.open(options) as stream:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(say, stream, STORY)
            events = await arrived(stream, 6)
        await stream.finish()
        return events + await rest(stream)


def said(events):
    """What must be the same however often the connection breaks: finals, their words and ends."""
    return [
        (event.text, event.audio_end_ms, event.words)
        for event in events
        if isinstance(event, Transcript) and event.final
    ]


@pytest.mark.parametrize("kind", ["close", "reset", "half_close", "rubbish"])
@pytest.mark.parametrize("after", [2, 5, 9, 12])
@pytest.mark.parametrize("options", [OPTIONS, FLUX], ids=["nova", "flux"])
async def test_a_break_is_mended_and_nothing_is_lost_or_said_twice(autojump_clock, line, options, kind, after):
    undisturbed = said(await told(line, options))
    mended = said(await told(line, options, Fault(kind, after=after)))
    assert [one[0] for one in undisturbed if isinstance(one, tuple)] == ["One two three", "Four five", "Six"]
    # What was cut in two by the break may be cut elsewhere; the words are all there, each where it was.
    assert words(mended) == words(undisturbed)
    assert len(line.server.sessions) == 2


def words(said):
    return [
        (word.text.lower(), pytest.approx(word.start_ms, abs=10), pytest.approx(word.end_ms, abs=10))
        for one in said
        if isinstance(one, tuple)
        for word in one[2]
    ]


async def test_what_is_final_is_not_sent_again(autojump_clock, line):
    events = await told(line, OPTIONS, Fault("close", after=12))
    before, after = line.server.sessions
    assert STORY.startswith(bytes(before.audio))
    assert STORY.endswith(bytes(after.audio))
    assert LINE.ms_in(len(STORY) - len(after.audio)) in [
        event.audio_end_ms for event in events if isinstance(event, Transcript) and event.final
    ]


async def test_two_breaks_in_a_minute_are_mended_the_third_is_told(autojump_clock, line):
    line.server.faults.extend(Fault("close", after=1) for _ in range(3))
    async with line.open() as stream:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(say, stream, speech("one two three"))
            with pytest.raises(ComponentError, match="broke") as caught:
                await final(stream)
        assert caught.value.retryable
        with pytest.raises(ComponentError, match="broke"):
            await stream.receive()
        with pytest.raises(ComponentError, match="broke"):
            await stream.send(speech("four"))
    assert len(line.server.sessions) == 3


async def test_breaks_are_forgiven_after_a_minute(autojump_clock, line):
    line.server.faults.extend(Fault("close", after=after) for after in (3, 3, 400))
    async with line.open() as stream, trio.open_nursery() as nursery:
        nursery.start_soon(say, stream, STORY + silence(150_000) + STORY)
        assert finals(await arrived(stream, 200)) == ["One two three", "Four five", "Six"] * 2
    assert len(line.server.sessions) == 4


@pytest.mark.parametrize(
    ("faults", "message", "retryable"),
    [
        ([Fault("refuse"), Fault("refuse")], "can't be reached", True),
        ([Fault("status", status=401, body={"err_code": "INVALID_AUTH"})], "HTTP 401", False),
        ([Fault("status", status=429, headers={"retry-after": "9"})], "HTTP 429", True),
        ([Fault("status", status=503), Fault("status", status=503)], "HTTP 503", True),
        ([Fault("stall", after=BEFORE_HEAD)] * 2, "did not take the connection within", True),
    ],
)
async def test_a_break_that_can_not_be_mended_is_told(autojump_clock, line, faults, message, retryable):
    line.server.faults.extend([Fault("close", after=1), *faults])
    async with line.open() as stream:
        await say(stream, speech("one") + silence(200))
        began = trio.current_time()
        with pytest.raises(ComponentError, match=message) as caught:
            await final(stream)
        assert trio.current_time() - began <= OPTIONS.connect_timeout_s
    assert caught.value.retryable is retryable
    # Of handshakes that are not answered one uses the whole time up.
    assert len(line.server.requests) == 1 + sum(fault.kind == "status" for fault in faults) + ("within" in message)


async def test_an_utterance_that_was_being_ended_is_ended_after_the_break(autojump_clock, line):
    line.server.faults.append(Fault("close", after=2))  # and not the answer to Finalize
    async with line.open(evolve(OPTIONS, endpointing_ms=0)) as stream:
        await say(stream, speech("one two") + silence(40))
        await stream.end_utterance()
        await say(stream, silence(500))
        heard = await final(stream)
        assert (heard.text, heard.audio_end_ms) == ("One two", 440)
    assert line.server.sessions[1].said[0] == "Finalize"


async def test_a_guess_of_the_lost_connection_is_taken_back(autojump_clock, line):
    line.server.faults.append(Fault("close", after=4))  # Connected, StartOfTurn, Update, EagerEndOfTurn
    async with line.open(evolve(FLUX, eager_eot_threshold=0.5, eot_threshold=1.0)) as stream:
        await say(stream, speech("one") + silence(1000))
        events = await arrived(stream)
    assert [event for event in events if isinstance(event, EndOfTurn | TurnResumed)] == [
        EndOfTurn(eager=True),
        TurnResumed(),
        EndOfTurn(eager=True),
    ]


async def test_a_break_while_finishing(autojump_clock, line):
    line.server.faults.append(Fault("half_close", after=1))
    async with line.open() as stream:
        await say(stream, speech("one two"))
        await stream.finish()
        assert finals(await rest(stream)) == ["One two"]


# --- Silence ---------------------------------------------------------------------------------------------------------


ON_HOLD_S = 101
"""25 times the keep-alive's interval, and a second: what is due at the very end would be a matter of chance."""


@pytest.mark.parametrize("options", [OPTIONS, FLUX], ids=["nova", "flux"])
async def test_a_call_on_hold_keeps_its_connection(autojump_clock, line, options):
    async with line.open(options) as stream:
        await trio.sleep(ON_HOLD_S)
        await say(stream, silence(300) + speech("one") + silence(600))
        heard = await final(stream)
        assert (heard.text, heard.words[0].start_ms) == ("One", 300)
        await trio.sleep(ON_HOLD_S)
        await say(stream, speech("two") + silence(600))
        heard = await final(stream)
        assert (heard.text, heard.words[0].start_ms) == ("Two", 1100)
    (session,) = line.server.sessions
    padding = len(session.audio) - len(silence(1900))
    if options is OPTIONS:
        assert set(session.said) == {"KeepAlive"}
        assert len(session.said) == 50
        assert padding == LINE.bytes_in(100)  # without any audio at all, KeepAlive is not enough
    else:
        assert session.said == []
        assert padding == LINE.bytes_in(50 * 100)


async def test_nothing_more_is_sent_while_audio_flows(autojump_clock, line):
    async with line.open() as stream:
        await say(stream, silence(20_000))
    assert line.server.sessions[0].said == []


async def test_nothing_is_due_while_nobody_speaks(autojump_clock, line):
    line.server.fault = Fault("empty", after=0)
    async with line.open() as stream:
        await say(stream, silence(60_000))
        assert await arrived(stream, 60) == []


@pytest.mark.parametrize("after", [0, 1, 2])
async def test_silence_after_speech_is_noticed(autojump_clock, line, after):
    line.server.fault = Fault("stall", after=after)
    async with line.open() as stream:
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(say, stream, silence(1000) + speech("one two three four"))
            with pytest.raises(ComponentError, match="nothing came for 10 s") as caught:
                await final(stream)
        assert 10.9 <= trio.current_time() - began <= 12.1
        with pytest.raises(ComponentError, match="nothing came"):
            await stream.send(speech("one"))
    assert caught.value.retryable
    assert line.server.connections == 1


async def test_without_partial_text_nothing_is_due_before_the_utterance_ends(autojump_clock, line):
    line.server.fault = Fault("stall", after=0)
    async with line.open(evolve(OPTIONS, interim_results=False)) as stream:
        await say(stream, speech("one two three four five six seven eight nine no") * 10)
        assert await arrived(stream) == []
        await stream.end_utterance()
        with pytest.raises(ComponentError, match="nothing came"):
            await stream.receive()


async def test_silence_about_an_utterance_is_no_empty_utterance(autojump_clock, line):
    """A server that has gone must not turn the caller's words into none: failing over hears them again."""
    line.server.fault = Fault("stall", after=0)
    async with line.open() as stream:
        await say(stream, speech("one two"))
        await stream.end_utterance()
        with pytest.raises(ComponentError, match="nothing came"):
            await final(stream)


@pytest.mark.parametrize("options", [OPTIONS, FLUX], ids=["nova", "flux"])
async def test_silence_at_the_end_is_noticed(autojump_clock, line, options):
    line.server.fault = Fault("stall", after=0)
    async with line.open(options) as stream:
        await stream.finish()
        with pytest.raises(ComponentError, match="nothing came"):
            await stream.receive()


async def test_success_with_nothing_is_none(autojump_clock, line):
    line.server.fault = Fault("empty", after=0)
    async with line.open() as stream:
        await say(stream, speech("one two"))
        await stream.finish()
        with pytest.raises(ComponentError, match="without an answer"):
            await rest(stream)


async def test_a_server_that_does_not_read_holds_the_sender_back(autojump_clock, line):
    line.network.listen("deepgram.test", Deaf(KEY))
    took = 0
    async with line.open() as stream:
        with trio.move_on_after(5):
            while took < 1000:
                await stream.send(silence(1000))
                took += 1
        await stream.finish()
        left = trio.current_time()
    assert took < 20
    assert trio.current_time() - left < 2


class Deaf(DeepgramListen):
    """Takes the connection, and no more."""

    async def converse(self, request, socket):
        await trio.sleep_forever()


# --- What Deepgram says is wrong -------------------------------------------------------------------------------------


class Hangs(DeepgramListen):
    """Hangs up with a code and a reason when it hears something, as often as it hears."""

    def __init__(self, code, reason):
        super().__init__(KEY)
        self.code, self.reason = code, reason

    async def converse(self, request, socket):
        await socket.receive()
        await socket.close(self.code, self.reason)


@pytest.mark.parametrize(
    ("code", "reason", "retryable", "hint", "connections"),
    [
        (1011, "Deepgram did not receive audio data. See https://dpgr.am/net0001", True, "keep_alive_s", 3),
        (1011, "NET-0000", True, "status.deepgram.com", 3),
        (1008, "DATA-0000", False, "encoding", 1),
        (1008, "Something else", False, "", 1),
        (1011, "", True, "", 3),
        (1000, "", True, "", 3),
    ],
)
async def test_closing_codes(autojump_clock, line, code, reason, retryable, hint, connections):
    server = Hangs(code, reason)
    line.network.listen("deepgram.test", server)
    async with line.open() as stream:
        await stream.send(speech("one"))
        with pytest.raises(ComponentError, match=f"closed with code {code}") as caught:
            await stream.receive()
    error = caught.value
    assert error.retryable is retryable
    assert hint in error.hint
    assert reason in error.answered
    assert server.connections == connections


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (
            Fault("status", status=401, body={"err_code": "INVALID_AUTH", "err_msg": "Invalid credentials."}),
            ("HTTP 401", False, "INVALID_AUTH: Invalid credentials.", "is ${DEEPGRAM_API_KEY} set for this account?"),
        ),
        (
            Fault("status", status=401, body={"err_code": "INSUFFICIENT_PERMISSIONS", "err_msg": "No."}),
            ("HTTP 401", False, "INSUFFICIENT_PERMISSIONS", "may not use this model"),
        ),
        (
            Fault("status", status=402, body={"err_code": "ASR_PAYMENT_REQUIRED", "err_msg": "Not enough credits."}),
            ("HTTP 402", False, "ASR_PAYMENT_REQUIRED", "no credit left"),
        ),
        (Fault("status", status=403), ("HTTP 403", False, "", "may not use this model")),
        (
            Fault("status", status=400, headers={"dg-error": "Bad Request", "dg-request-id": "42-42"}),
            ("HTTP 400", False, "(request 42-42) Bad Request", "option"),
        ),
        (Fault("status", status=404), ("HTTP 404", False, "", "base_url")),
        (Fault("status", status=500, body="<html>"), ("HTTP 500", True, "<html>", "")),
        (Fault("refuse"), ("can't be reached", True, "", "")),
        (Fault("close"), ("something other than a WebSocket", True, "", "")),
        (Fault("rubbish"), ("something other than a WebSocket", True, "", "")),
        (Fault("half_close"), ("something other than a WebSocket", True, "", "")),
    ],
    ids=str,
)
@pytest.mark.parametrize("over", ["tcp", "memory"])
async def test_refusals(resources, monkeypatch, over, fault, expected):
    message, retryable, answered, hint = expected
    server = DeepgramListen(KEY)
    server.fault = fault
    if over == "tcp":
        async with open_vendor(server) as address:
            error = await refusal(resources, evolve(OPTIONS, base_url=address.http))
    else:
        async with open_line(monkeypatch, resources) as line:
            line.server.fault = fault
            error = await refusal(resources, OPTIONS)
    assert message in error.message
    assert (error.retryable, answered in error.answered, hint in error.hint) == (retryable, True, True), str(error)
    assert KEY not in str(error)


async def refusal(resources, options):
    async with stt.open(options, resources) as component:
        with pytest.raises(ComponentError) as caught:
            async with component.open_stream(component.input_for(LINE), Listen()):
                pass
        with pytest.raises(ComponentError) as probed:
            await component.probe()
    assert (probed.value.retryable, probed.value.hint) == (caught.value.retryable, caught.value.hint)
    return caught.value


async def test_the_servers_own_refusals(autojump_clock, line):
    line.server.forbidden_models.add("nova-3")
    for options, status in [
        (evolve(OPTIONS, api_key=Secret("wrong")), "HTTP 401.*is api_key set"),
        (OPTIONS, "HTTP 403.*does not have access"),
        (evolve(OPTIONS, model="nova-9"), "HTTP 400.*No such model"),
    ]:
        with pytest.raises(ComponentError) as caught:
            async with line.open(options):
                pass
        assert caught.match(status.split(".*")[0])
        for part in status.split(".*"):
            assert part in str(caught.value)


async def test_too_many_streams(autojump_clock, line):
    line.server.fault = Fault("status", status=429, headers={"Retry-After": "7"})
    with pytest.raises(ComponentError, match="429") as caught:
        async with line.open():
            pass
    assert (caught.value.retryable, caught.value.retry_after_s) == (True, 7.0)


async def test_a_connection_that_nobody_takes(autojump_clock, line):
    line.network.latency_s = 3600
    with pytest.raises(ComponentError, match="did not take the connection within 5 s"):
        async with line.open():
            pass
    assert line.server.connections == 0


async def test_the_bodys_own_exception_comes_out_bare(autojump_clock, line):
    with pytest.raises(KeyError, match="mine"):
        async with line.open():
            raise KeyError("mine")
