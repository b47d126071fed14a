"""A call over chan_websocket, against a model that does what a real Asterisk did, on the virtual clock."""

from __future__ import annotations

import json

import pytest
import trio
import trio.testing
from attrs import define, field

from tests.transports.asterisk_peer import FRAME_S, open_asterisk
from tests.transports.chan_websocket_captures import CAPTURES, messages_of
from voicepipe.audio import AudioFormat
from voicepipe.errors import TransportError
from voicepipe.transports.asterisk_websocket.caller_details import DetailNames
from voicepipe.transports.asterisk_websocket.flow_control import MOST_AHEAD_S
from voicepipe.transports.asterisk_websocket.transport import EARLY_MESSAGES, GOODBYE_S, HANGUP_S
from voicepipe.transports.asterisk_websocket.wire_format import DtmfEnd, decode_event


@define(eq=False)
class Heard:
    """A sink that remembers what it got, with its time."""

    items: list = field(factory=list)
    ended: trio.Event = field(factory=trio.Event)
    marked: trio.Event = field(factory=trio.Event)

    def _note(self, item):
        assert not self.ended.is_set()
        self.items.append((trio.current_time(), item))

    def format_changed(self, audio):
        raise AssertionError("the format is known before the call")

    def audio(self, audio):
        self._note(bytes(audio))

    def dtmf(self, digit):
        self._note(digit)

    def heard(self, mark):
        self._note(mark)
        self.marked.set()

    def hung_up(self, reason):
        self._note(("ended", reason))
        self.ended.set()

    def of(self, kind):
        return [item for _, item in self.items if isinstance(item, kind)]


@pytest.fixture
async def heard(nursery):
    """`heard(transport)` runs it and returns the sink."""

    def start(transport):
        sink = Heard()
        nursery.start_soon(transport.run, sink)
        return sink

    yield start
    nursery.cancel_scope.cancel()


def frame(number, size=320):
    return bytes([number % 250 + 1]) * size


# --- Starting ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.stem)
async def test_captures_are_calls(autojump_clock, path, heard):
    """Every message that a real Asterisk sent, at its time."""
    messages = messages_of(path)
    async with open_asterisk(starts=False) as asterisk:
        sink, began = None, trio.current_time()
        for at, way, kind, what in messages:
            await trio.sleep_until(began + at / 1000)
            if way == "a2s" and kind != "close":
                asterisk.network.give(what if kind == "text" else bytes(what))
            if sink is None:
                assert await asterisk.transport.answer()
                sink = heard(asterisk.transport)
                await trio.testing.wait_all_tasks_blocked()
        sizes = [what for _, way, kind, what in messages if (way, kind) == ("a2s", "bin")]
        texts = [what for _, way, kind, what in messages if (way, kind) == ("a2s", "text")]
        digits = [event.digit for event in map(decode_event, texts) if isinstance(event, DtmfEnd)]
        assert [len(audio) for audio in sink.of(bytes)] == sizes
        assert sink.of(str) == digits
        assert asterisk.transport.info.transport_id.startswith("golden-")


async def test_nothing_is_sent_before_media_start_and_early_audio_is_kept(autojump_clock, heard):
    async with open_asterisk(starts=False) as asterisk:
        for number in range(EARLY_MESSAGES + 10):
            asterisk.network.give(frame(number))
        answered = []

        async def answer():
            answered.append(await asterisk.transport.answer())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer)
            await trio.sleep(1)
            assert not answered
            assert not asterisk.network.sent
            asterisk.start()
        assert answered == [True]
        asterisk.network.give(frame(EARLY_MESSAGES + 10))
        sink = heard(asterisk.transport)
        await trio.testing.wait_all_tasks_blocked()
        assert sink.of(bytes) == [frame(number) for number in range(10, EARLY_MESSAGES + 11)]


@pytest.mark.parametrize("name", ["opus", "g722", "gsm", "slin8"])
async def test_other_codecs_are_refused_with_a_hint(autojump_clock, name):
    async with open_asterisk(name, starts=False) as asterisk:
        asterisk.start()
        with pytest.raises(TransportError, match=r"in the dialplan, add c\(slin\)"):
            await asterisk.transport.answer()
        await asterisk.transport.hang_up()
        assert asterisk.network.close_code == 1000
        assert not asterisk.network.sent


@pytest.mark.parametrize(
    "text", ["MEDIA_XON", "STATUS queue_length:0", "hello", "{}", '{"event":"DTMF_END","digit":"1"}']
)
async def test_what_is_not_asterisk_is_refused(autojump_clock, text):
    async with open_asterisk(starts=False) as asterisk:
        asterisk.network.give(text)
        with pytest.raises(TransportError, match="let only Asterisk"):
            await asterisk.transport.answer()


async def test_a_connection_that_closes_without_media_start_is_no_call(autojump_clock):
    async with open_asterisk(starts=False) as asterisk:
        asterisk.network.give(frame(1))
        asterisk.network.break_off()
        assert not await asterisk.transport.answer()
        await asterisk.transport.hang_up()


@pytest.mark.parametrize(
    ("name", "audio"),
    [
        ("slin", AudioFormat(8000)),
        ("slin16", AudioFormat(16_000)),
        ("slin192", AudioFormat(192_000)),
        ("ulaw", AudioFormat(8000, "mulaw")),
        ("alaw", AudioFormat(8000, "alaw")),
    ],
)
async def test_each_format_is_played_as_it_was_written(autojump_clock, name, audio):
    async with open_asterisk(name) as asterisk:
        transport, size = asterisk.transport, audio.bytes_in(20)
        assert transport.audio == audio
        speech = b"".join(frame(number, size) for number in range(25))
        assert transport.write(speech[: 10 * size])
        assert transport.write(memoryview(speech)[10 * size : 24 * size])
        assert transport.write(speech[24 * size : -2])
        assert all(len(message) <= max(8000, size) for _, message in asterisk.network.sent)
        await trio.sleep(0.7)
        assert b"".join(audio for _, audio in asterisk.heard)[: len(speech) - 2] == speech[:-2]
        assert asterisk.heard[-1][1].endswith(audio.silence)
        assert asterisk.chan.dropped_bytes == 0


# --- Who is calling ------------------------------------------------------------------------------------------------

QUERY = {"caller": "15551230001", "did": "15559870002", "uuid": "4711", "pipeline": "sales"}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            {"as_json": False, "query": QUERY},
            ("15551230001", "15559870002", "4711", QUERY),
        ),
        ({"as_json": False}, ("", "", "chan-1", {})),
        (
            {"query": QUERY, "variables": {"_VP_CALLER": "1", "__VP_CALLED": "2", "VP_CHAN": "3.4", "TENANT": "acme"}},
            ("1", "2", "3.4", {"VP_CALLER": "1", "VP_CALLED": "2", "VP_CHAN": "3.4", "TENANT": "acme"}),
        ),
        (
            {"query": QUERY, "variables": {"OTHER": "1"}},
            ("15551230001", "15559870002", "4711", {**QUERY, "OTHER": "1"}),
        ),
        # The query may be that of whoever called before, if the channel has the details of this call.
        ({"query": QUERY, "variables": {"VP_CHAN": "3.4"}}, ("", "", "3.4", {"VP_CHAN": "3.4"})),
        ({"query": QUERY, "variables": {"_VP_CALLER": ""}}, ("", "", "chan-1", {"VP_CALLER": ""})),
        (
            {
                "query": QUERY,
                "variables": {"VP_CALLER": "1", "pipeline": "main"},
                "names": DetailNames(use_query="always"),
            },
            ("1", "15559870002", "4711", {**QUERY, "VP_CALLER": "1", "pipeline": "main"}),
        ),
        ({"query": QUERY, "as_json": False, "names": DetailNames(use_query="never")}, ("", "", "chan-1", {})),
        (
            {"variables": {"FROM": "1", "VP_CALLER": "2", "VP_CHAN": ""}, "names": DetailNames(caller=("_FROM",))},
            ("1", "", "chan-1", {"FROM": "1", "VP_CALLER": "2", "VP_CHAN": ""}),
        ),
    ],
    ids=["plain query", "plain", "variables", "JSON query", "another's query", "no number", "always", "never", "names"],
)
async def test_call_info(autojump_clock, options, expected):
    async with open_asterisk(channel_id="chan-1", **options) as asterisk:
        info = asterisk.transport.info
        assert (info.caller, info.called, info.transport_id, info.variables) == expected
        assert info.listener == "door"


# --- Playing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("latency_s", [0.0, 0.03])
async def test_a_mark_is_reported_when_its_audio_was_played(autojump_clock, heard, as_json, latency_s):
    async with open_asterisk(as_json=as_json, latency_s=latency_s) as asterisk:
        sink = heard(asterisk.transport)
        began = trio.current_time()
        for number in range(10):
            assert asterisk.transport.write(frame(number) * 10)
            asterisk.transport.mark(number)
        await trio.sleep(2.5)
        assert sink.of(int) == list(range(10))
        for at, number in sink.items:
            assert at - began == pytest.approx(0.2 * (number + 1) + 2 * latency_s, abs=2 * FRAME_S)


async def test_clear_stops_at_once_and_what_is_written_after_it_is_played(autojump_clock, heard):
    async with open_asterisk() as asterisk:
        sink = heard(asterisk.transport)
        for number in range(10):
            asterisk.transport.write(frame(1) * 10)
            asterisk.transport.mark(number)
        await trio.sleep(0.505)
        played = len(asterisk.heard)
        asterisk.transport.clear()
        assert asterisk.transport.write(frame(2) * 10)
        asterisk.transport.mark(99)
        await trio.sleep(1)
        assert [audio for _, audio in asterisk.heard[played:]] == [frame(2)] * 10
        assert sink.of(int) == [0, 1, 99]


async def test_no_frame_is_dropped_however_much_is_written(autojump_clock, heard):
    """A writer without any bound of its own: Asterisk never gets what it would drop, and plays everything in order."""
    async with open_asterisk(latency_s=0.05) as asterisk:
        heard(asterisk.transport)
        began = trio.current_time()
        for number in range(300):
            while not asterisk.transport.write(frame(number) * 10):
                await asterisk.transport.wait_writable()
            assert asterisk.chan.queued_frames < 900
        assert trio.current_time() - began == pytest.approx(60 - MOST_AHEAD_S, abs=1)
        await trio.sleep(MOST_AHEAD_S + 1)
        assert [audio for _, audio in asterisk.heard] == [frame(n // 10) for n in range(3000)]
        assert asterisk.chan.dropped_bytes == 0


async def test_a_pause_that_asterisk_asks_for_is_kept(autojump_clock, heard):
    async with open_asterisk() as asterisk:
        heard(asterisk.transport)
        asterisk.network.give('{"event":"MEDIA_XOFF","channel_id":"1"}')
        assert not asterisk.transport.write(frame(1))
        asterisk.transport.mark(1)  # commands go out all the same
        assert len(asterisk.commands) == 1
        with trio.move_on_after(5) as scope:
            await asterisk.transport.wait_writable()
        assert scope.cancelled_caught
        asterisk.network.give('{"event":"MEDIA_XON","channel_id":"1"}')
        await asterisk.transport.wait_writable()
        assert asterisk.transport.write(frame(1))


async def test_a_clear_ends_a_pause_since_the_queue_is_empty(autojump_clock, heard):
    async with open_asterisk(latency_s=0.01) as asterisk:
        heard(asterisk.transport)
        for _ in range(19):
            asterisk.chan.take(bytes(320 * 50))
        asterisk.network.deliver_events()
        await trio.sleep(0.1)
        assert not asterisk.transport.write(frame(1))
        asterisk.transport.clear()
        assert asterisk.transport.write(frame(1))
        await trio.sleep(0.1)
        assert asterisk.transport.write(frame(2))
        await trio.sleep(0.5)
        assert [audio for _, audio in asterisk.heard if any(audio)] == [frame(1), frame(2)]


async def test_waiting_ends_with_the_call(autojump_clock, heard):
    async with open_asterisk() as asterisk:
        sink = heard(asterisk.transport)
        asterisk.network.give('{"event":"MEDIA_XOFF","channel_id":"1"}')
        async with trio.open_nursery() as nursery:
            nursery.start_soon(asterisk.transport.wait_writable)
            await trio.sleep(1)
            asterisk.network.break_off()
        await sink.ended.wait()
        assert asterisk.transport.write(frame(1))
        asterisk.transport.clear()
        asterisk.transport.mark(1)
        assert not asterisk.network.sent


@pytest.mark.parametrize("clears", [False, True])
async def test_a_full_socket_keeps_audio_and_commands_in_order(autojump_clock, heard, clears):
    async with open_asterisk() as asterisk:
        sink = heard(asterisk.transport)
        await trio.testing.wait_all_tasks_blocked()
        asterisk.network.room = 1
        assert asterisk.transport.write(frame(1) * 5)
        asterisk.transport.mark(1)
        assert not asterisk.transport.write(frame(2) * 5)
        if clears:
            asterisk.transport.clear()
        asterisk.transport.mark(2)
        assert not asterisk.transport.write(frame(2) * 5)
        await trio.sleep(0.5)
        asterisk.network.make_room()
        await asterisk.transport.wait_writable()
        assert asterisk.transport.write(frame(2) * 5)
        await trio.sleep(0.5)
        assert [audio for _, audio in asterisk.heard] == [frame(1)] * 5 + [frame(2)] * 5
        # The mark of what was cleared was not sent any more; and it would not have mattered.
        assert sink.of(int) == ([2] if clears else [1, 2])


async def test_a_split_write_is_never_torn(autojump_clock, heard):
    """Of a write that is several messages the socket takes the first: the rest follows, before anything else."""
    async with open_asterisk("slin192") as asterisk:
        heard(asterisk.transport)
        await trio.testing.wait_all_tasks_blocked()
        asterisk.network.room = 1
        speech = b"".join(frame(number, 7680) for number in range(10))
        assert asterisk.transport.write(speech)
        assert not asterisk.transport.write(speech)
        asterisk.network.make_room()
        await trio.sleep(1)
        assert b"".join(audio for _, audio in asterisk.heard) == speech


# --- The caller's side ---------------------------------------------------------------------------------------------


async def test_keys_and_the_pause_in_audio_while_one_is_pressed(autojump_clock, heard):
    async with open_asterisk() as asterisk:
        sink = heard(asterisk.transport)
        for digit in "159#*0ADf":
            asterisk.network.give(frame(1))
            await trio.sleep(0.6)
            asterisk.network.give(asterisk.chan.digit(digit))
        assert sink.of(str) == list("159#*0AD")
        assert len(sink.of(bytes)) == 9


async def test_audio_that_a_stall_has_made_too_old_is_thrown_away(autojump_clock, heard, caplog):
    async with open_asterisk(channel_id="chan-1") as asterisk:
        sink = heard(asterisk.transport)
        await trio.testing.wait_all_tasks_blocked()
        for number in range(50):
            asterisk.network.give(frame(number))
            await trio.sleep(FRAME_S)
        await trio.sleep(45)
        for number in range(45 * 50):  # all that Asterisk sent meanwhile
            asterisk.network.give(frame(number))
        assert len(sink.of(bytes)) == 50
        await trio.sleep(FRAME_S)
        for number in range(5):
            asterisk.network.give(frame(number))
            await trio.sleep(FRAME_S)
        newest = [frame(number) for number in range(45 * 50 - 50, 45 * 50)] + [frame(number) for number in range(5)]
        assert sink.of(bytes)[50:] == newest
        assert caplog.messages == ["call chan-1: a stall delayed its audio, of which 44.0 s were dropped as too old"]


@pytest.mark.parametrize("pause_s", [0.5, 1.5, 6])
async def test_audio_after_a_pause_is_new(autojump_clock, heard, pause_s):
    """A muted telephone, or one that suppresses silence: no frame is lost, and none is a frame late but the first."""
    async with open_asterisk() as asterisk:
        sink, sent = heard(asterisk.transport), []
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(3):
            for _ in range(20):
                sent.append((trio.current_time(), frame(len(sent))))
                asterisk.network.give(sent[-1][1])
                await trio.sleep(FRAME_S)
            await trio.sleep(pause_s)
        assert sink.of(bytes) == [audio for _, audio in sent]
        assert max(at - when for (at, _), (when, _) in zip(sink.items, sent, strict=True)) < 1.1 * FRAME_S


async def test_short_stalls_lose_nothing(autojump_clock, heard):
    async with open_asterisk() as asterisk:
        sink = heard(asterisk.transport)
        await trio.testing.wait_all_tasks_blocked()
        for number in range(200):
            asterisk.network.give(frame(number))
            if number % 40 == 39:
                await trio.sleep(40 * FRAME_S)
        assert sink.of(bytes) == [frame(number) for number in range(200)]


async def test_what_was_held_is_delivered_before_the_end(autojump_clock, heard):
    async with open_asterisk() as asterisk:
        sink = heard(asterisk.transport)
        await trio.testing.wait_all_tasks_blocked()
        asterisk.network.give(frame(1))
        await trio.sleep(5)
        asterisk.network.give(frame(2))
        asterisk.network.break_off("gone")
        await sink.ended.wait()
        assert [item for _, item in sink.items] == [frame(1), frame(2), ("ended", "gone")]


START_AGAIN = '{"event":"MEDIA_START","format":"slin","optimal_frame_size":320,"ptime":20}'


@pytest.mark.parametrize("message", [bytes(321), bytes(40_000), "nonsense", "{", START_AGAIN], ids=lambda m: str(m[:9]))
async def test_garbage_ends_the_call_with_its_reason(autojump_clock, nursery, message):
    async with open_asterisk() as asterisk:
        asterisk.network.give(message)
        with pytest.raises(TransportError, match="let only Asterisk"):
            await asterisk.transport.run(Heard())


async def test_events_of_a_newer_asterisk_and_errors_are_no_reason_to_end(autojump_clock, heard, caplog):
    async with open_asterisk() as asterisk:
        sink = heard(asterisk.transport)
        await trio.testing.wait_all_tasks_blocked()
        for text in (
            "SOMETHING_NEW a:b",
            "MEDIA_MARK_PROCESSED mark-1",
            "ERROR channel_id:1 error_text:no",
            "QUEUE_DRAINED",
        ):
            asterisk.network.give(text)
        asterisk.network.give(b"")
        asterisk.network.give(frame(1))
        assert [item for _, item in sink.items] == [frame(1)]
        assert [message for message in caplog.messages if "could not carry out" in message]


# --- The end -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("as_json", [False, True])
async def test_hanging_up_waits_until_asterisk_closes(autojump_clock, heard, as_json):
    async with open_asterisk(as_json=as_json, latency_s=0.05) as asterisk:
        sink = heard(asterisk.transport)
        began = trio.current_time()
        await asterisk.transport.hang_up()
        assert trio.current_time() - began == pytest.approx(0.05)
        assert asterisk.commands == ['{"command":"HANGUP"}' if as_json else "HANGUP"]
        assert asterisk.chan.closed == 1000
        assert not sink.items
        await asterisk.transport.hang_up()
        await asterisk.transport.transfer("2001")


async def test_an_asterisk_that_does_not_close_is_closed(autojump_clock, heard):
    async with open_asterisk() as asterisk:
        heard(asterisk.transport)
        asterisk.network.room = 0
        began = trio.current_time()
        await asterisk.transport.hang_up()
        assert trio.current_time() - began < HANGUP_S + 0.6
        assert asterisk.network.close_code == 1000


async def test_a_connection_that_the_listener_has_closed_needs_no_goodbye(autojump_clock, heard):
    """A call is refused so: Asterisk will not answer any more, and is not waited for."""
    async with open_asterisk(latency_s=60) as asterisk:
        heard(asterisk.transport)
        await asterisk.network.close(1013)
        began = trio.current_time()
        await asterisk.transport.hang_up()
        assert trio.current_time() == began
        assert not asterisk.commands


async def test_a_hang_up_that_is_cancelled_is_sent_all_the_same(autojump_clock, heard, nursery):
    """The engine is stopped at the end of its patience: Asterisk learns that the call is over, nevertheless."""

    async def make_room_later():
        await trio.sleep(0.2)
        asterisk.network.make_room()

    async with open_asterisk(latency_s=0.1) as asterisk:
        heard(asterisk.transport)
        await trio.testing.wait_all_tasks_blocked()
        asterisk.network.room = 0
        nursery.start_soon(make_room_later)
        began = trio.current_time()
        with trio.move_on_after(0):
            await asterisk.transport.hang_up()
        assert trio.current_time() - began == pytest.approx(0.2)
        await trio.sleep(0.2)
        assert asterisk.commands == ['{"command":"HANGUP"}']
        assert asterisk.chan.closed == 1000


async def test_a_hang_up_that_is_cancelled_waits_no_longer_than_it_must(autojump_clock, heard):
    async with open_asterisk() as asterisk:
        heard(asterisk.transport)
        await trio.testing.wait_all_tasks_blocked()
        asterisk.network.room = 0
        began = trio.current_time()
        with trio.move_on_after(0):
            await asterisk.transport.hang_up()
        assert trio.current_time() - began == pytest.approx(GOODBYE_S)


async def test_two_who_hang_up_wait_for_the_same_end(autojump_clock, heard):
    async with open_asterisk(latency_s=0.3) as asterisk:
        heard(asterisk.transport)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(asterisk.transport.transfer, "2001")
            nursery.start_soon(asterisk.transport.hang_up)
        assert asterisk.chan.closed == 1000
        assert len(asterisk.commands) == 1


async def test_a_goodbye_is_heard_whole_when_its_mark_is_awaited(autojump_clock, heard):
    async with open_asterisk() as asterisk:
        sink = heard(asterisk.transport)
        asterisk.transport.write(frame(1) * 100)
        asterisk.transport.mark(1)
        await sink.marked.wait()
        await asterisk.transport.hang_up()
        assert len(asterisk.heard) == 100


async def test_the_caller_hangs_up(autojump_clock, heard):
    async with open_asterisk() as asterisk:
        sink = heard(asterisk.transport)
        asterisk.network.give(frame(1))
        await trio.testing.wait_all_tasks_blocked()
        asterisk.network.break_off("the caller hung up")
        await sink.ended.wait()
        assert [item for _, item in sink.items] == [frame(1), ("ended", "the caller hung up")]
        await asterisk.transport.hang_up()
        assert not asterisk.network.sent


async def test_what_a_sink_raises_ends_this_call(autojump_clock):
    class Broken(Heard):
        def audio(self, audio):
            raise ZeroDivisionError

    async with open_asterisk() as asterisk:
        asterisk.network.give(frame(1))
        asterisk.network.give(frame(2))
        with pytest.raises(ZeroDivisionError):
            await asterisk.transport.run(Broken())
        await asterisk.transport.hang_up()
        assert asterisk.chan.closed == 1000


async def test_a_transport_says_what_it_can_and_what_it_can_not(autojump_clock):
    async with open_asterisk() as asterisk:
        assert asterisk.transport.pacing == "theirs"
        assert asterisk.transport.can == {"clear", "mark", "transfer"}
        with pytest.raises(NotImplementedError):
            await asterisk.transport.send_dtmf("1")
        assert all(json.loads(text) for text in asterisk.commands)
