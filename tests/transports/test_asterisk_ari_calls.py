"""Calls by ARI: a Stasis application against a played Asterisk, over HTTP, its events and AudioSocket."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from ari_engine import CALLER, FRAME, MEDIA, Line, a_call, open_engine, until
from garbage import left_to_the_collector, ours
from vendors.asterisk_ari import open_asterisk

from voicepipe.components.values import Secret
from voicepipe.errors import CallRefused, DialFailed, TransportError
from voicepipe.testing.chan_websocket import ChanWebSocket
from voicepipe.transports.asterisk_ari import call, client
from voicepipe.transports.asterisk_ari.call_wishes import Replied
from voicepipe.transports.asterisk_ari.owed import OwedDeletions
from voicepipe.transports.asterisk_ari.requests import delete_request
from voicepipe.transports.listener import DialRequest
from voicepipe.wire.websocket import open_websocket


@pytest.mark.parametrize("media", MEDIA)
async def test_a_caller_is_answered_and_heard_and_nothing_is_left(media):
    async with a_call(**MEDIA[media]) as (asterisk, engine, line):
        channel = asterisk.channels[CALLER]
        assert channel.state == "Up"
        assert asterisk.log[:4] == [
            "POST answer 204",
            "POST externalMedia 200",
            "POST bridges/ID 200",
            "POST addChannel 204",
        ]
        assert line.transport.info.caller == "15551230001"
        assert line.transport.write(FRAME)
        (media,) = [other for other in asterisk.channels.values() if other.media]
        await until(lambda: media.media.heard == FRAME)
        assert asterisk.talkers(CALLER) == {media.id}
        assert engine.listener.calls == 1
        line.hang_up.set()
        await channel.ended.wait()
        await until(lambda: not asterisk.channels and not asterisk.bridges and not engine.listener.calls)
        assert line.ending == ""
        assert engine.refused == engine.crashed == []


@pytest.mark.parametrize("media", MEDIA)
async def test_a_caller_who_hangs_up_ends_the_call_and_nothing_is_left(media):
    """In the capture the media leg and the bridge outlive the caller."""
    async with a_call(**MEDIA[media]) as (asterisk, _, line):
        await asterisk.hang_up(CALLER, 16)
        await line.over.wait()
        assert line.ending == "the caller hung up (cause 16)"
        await until(lambda: not asterisk.channels and not asterisk.bridges)


@pytest.mark.parametrize("media", MEDIA)
@pytest.mark.parametrize("after", ["hangup", "continue"])
async def test_the_end_of_the_audio_ends_the_call(after, media):
    async with a_call(after=after, **MEDIA[media]) as (asterisk, engine, line):
        caller = asterisk.channels[CALLER]
        (media,) = [other for other in asterisk.channels.values() if other.media]
        await media.media.close()
        await line.over.wait()
        assert line.ending
        await until(lambda: not asterisk.channels and not asterisk.bridges and not engine.listener.calls)
        assert caller.continued or after == "hangup"


async def test_the_dialplan_goes_on_after_a_conversation_if_it_is_to():
    async with a_call(after="continue") as (asterisk, _, line):
        caller = asterisk.channels[CALLER]
        line.hang_up.set()
        await caller.ended.wait()
        assert caller.continued
        assert caller.variables["VOICEPIPE_STATUS"] == "ENDED"
        await until(lambda: not asterisk.channels and not asterisk.bridges)


async def test_numbers_arguments_and_variables_come_with_the_call():
    async with open_asterisk() as asterisk, open_engine(asterisk, variables=("CALLERID(dnid)", "NONE")) as engine:
        await asterisk.caller_comes(
            args=["pipeline=sales", "tenant=a=b", "7"],
            number="1555",
            caller_name="Anna Test",
            exten="1666",
            variables={"DID": "1777", "CALLERID(dnid)": "1888"},
        )
        info = (await engine.line()).transport.info
        assert (info.caller, info.called, info.pipeline, info.listener) == ("1555", "1666", "sales", "line")
        assert info.transport_id == CALLER
        assert dict(info.variables) == {
            "DID": "1777",
            "CALLERID(dnid)": "1888",
            "caller_name": "Anna Test",
            "tenant": "a=b",
            "3": "7",
        }


@pytest.mark.parametrize("media", MEDIA)
async def test_a_key_comes_once_though_both_sides_bring_it(media):
    async with a_call(**MEDIA[media]) as (asterisk, _, line):
        for digit in "1122#":
            await asterisk.press(CALLER, digit)
        await asterisk.press(CALLER, "9", with_media=False)  # as before Asterisk 22.4
        await until(lambda: len(line.digits) == 6)
        assert line.digits == "1122#9"


async def test_keys_are_sent_by_ari():
    async with a_call() as (asterisk, _, line):
        await line.transport.send_dtmf("12#")
        assert asterisk.channels[CALLER].dtmf == "12#"
        asterisk.answers["POST dtmf"] = (412, "Channel in invalid state")
        with pytest.raises(TransportError, match="invalid state"):
            await line.transport.send_dtmf("1")


FAILURES = [
    ("POST answer", 412, "Channel in invalid state"),
    ("POST externalMedia", 500, "An internal error prevented this request from being handled"),
    ("POST externalMedia", 400, "external_host must be a valid websocket_client connection id."),
    ("POST bridges/ID", 500, "Allocation failed"),
    ("POST addChannel", 409, "Bridge not in Stasis application"),
    ("POST addChannel", 422, "Channel not in Stasis application"),
]


@pytest.mark.parametrize(("request_", "status", "message"), FAILURES)
async def test_whatever_fails_midway_leaves_nothing_and_the_dialplan_goes_on(request_, status, message, monkeypatch):
    monkeypatch.setattr(call, "AGAIN_S", 0.001)
    async with open_asterisk() as asterisk, open_engine(asterisk) as engine:
        asterisk.answers[request_] = (status, message)
        await asterisk.caller_comes()
        caller = asterisk.channels[CALLER]
        with trio.fail_after(20):
            await caller.ended.wait()
            await until(lambda: not asterisk.channels and not asterisk.bridges and not engine.listener.calls)
        assert caller.continued
        assert caller.variables["VOICEPIPE_STATUS"] == "FAILED"
        (refused,) = engine.refused
        assert f"HTTP {status}, {message}" in refused
        assert not engine.lines


@pytest.mark.parametrize(
    "step", ["POST answer", "POST externalMedia", "POST bridges/ID", "POST addChannel", "DELETE channels/ID"]
)
async def test_a_caller_who_hangs_up_at_any_step_leaves_nothing(step):
    async with open_asterisk() as asterisk, open_engine(asterisk) as engine:
        happened = trio.Event()

        async def hang_up():
            await asterisk.hang_up(CALLER)
            happened.set()

        asterisk.before[step] = hang_up
        await asterisk.caller_comes()
        with trio.fail_after(20):
            if step.startswith("DELETE"):
                (await engine.line()).hang_up.set()
            await happened.wait()
            await until(lambda: not asterisk.channels and not asterisk.bridges and not engine.listener.calls)
        assert engine.crashed == []


async def test_channels_are_joined_once_the_media_channel_is_in_the_application():
    """The capture of the race has 422 for those who are too early, and a silent call."""
    async with open_asterisk() as asterisk, open_engine(asterisk) as engine:
        asterisk.slow_media = trio.Event()
        await asterisk.caller_comes()
        with trio.fail_after(20):
            await until(lambda: "POST externalMedia 200" in asterisk.log)
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert "POST addChannel" not in "".join(asterisk.log)
            asterisk.slow_media.set()
            await (await engine.line()).audible.wait()
        assert "POST addChannel 422" not in asterisk.log


async def test_audio_that_does_not_come_in_time_gives_the_caller_back():
    async with open_asterisk() as asterisk, open_engine(asterisk, setup_s=0.2) as engine:
        asterisk.slow_media = trio.Event()
        await asterisk.caller_comes()
        caller = asterisk.channels[CALLER]
        with trio.fail_after(20):
            await caller.ended.wait()
            await until(lambda: not asterisk.channels and engine.refused)
        assert caller.continued
        assert "its audio did not connect" in engine.refused[0]


async def test_an_ari_that_does_not_answer_is_not_waited_for():
    async with open_asterisk() as asterisk, open_engine(asterisk, timeout_s=0.2) as engine:
        asterisk.before["POST bridges/ID"] = trio.sleep_forever
        await asterisk.caller_comes()
        caller = asterisk.channels[CALLER]
        with trio.fail_after(20):
            await caller.ended.wait()
            await until(lambda: not asterisk.channels and not engine.listener.calls)
        assert caller.continued
        assert "did not answer within 0.2 s" in engine.refused[0]


@pytest.mark.parametrize("why", ["full", "paused", "closed"])
async def test_a_call_that_is_not_taken_goes_on_in_the_dialplan(why):
    async with a_call(max_connections=1) as (asterisk, engine, line):
        if why == "paused":
            engine.listener.pause()
        elif why == "closed":
            engine.listener.close()
        assert not engine.listener.is_listening
        await asterisk.caller_comes("2.2")
        other = asterisk.channels["2.2"]
        await other.ended.wait()
        assert other.continued
        assert other.state == "Ring", "it was not answered"
        assert other.variables["VOICEPIPE_STATUS"] == "REFUSED"
        assert len(engine.lines) == 1
        assert not line.ending


async def test_a_handler_refuses_its_call():
    async with open_asterisk() as asterisk, open_engine(asterisk) as engine:
        engine.raises = CallRefused()
        await asterisk.caller_comes()
        caller = asterisk.channels[CALLER]
        with trio.fail_after(20):
            await caller.ended.wait()
            await until(lambda: not asterisk.channels and not asterisk.bridges)
        assert caller.variables["VOICEPIPE_STATUS"] == "REFUSED"
        assert caller.continued
        assert engine.crashed == engine.refused == []


async def test_a_handler_that_crashes_ends_its_call_only():
    async with a_call() as (asterisk, engine, line):
        engine.raises = ZeroDivisionError()
        await asterisk.caller_comes("2.2")
        caller = asterisk.channels["2.2"]
        await until(lambda: engine.crashed and "2.2" not in asterisk.channels and len(asterisk.bridges) == 1)
        assert not line.ending
        assert caller.continued, "whoever talked to it still needs help"
        assert caller.variables["VOICEPIPE_STATUS"] == "FAILED"


async def test_a_connection_for_audio_that_no_call_awaits_is_refused():
    async with a_call(**MEDIA["audiosocket"]) as (_, engine, _):
        async with await trio.open_tcp_stream(*engine.media_address) as stranger:
            await stranger.send_all(bytes([1, 0, 16]) + bytes(16))
            while await stranger.receive_some():
                pass
        assert "no call awaits" in engine.refused[0]
        assert len(engine.lines) == 1


async def test_a_websocket_for_audio_that_no_call_awaits_is_refused():
    async with a_call() as (asterisk, engine, line):
        url, _ = asterisk.websocket_clients["voicepipe"]
        (media,) = [other for other in asterisk.channels.values() if other.media]
        for name in ("stranger", media.id):  # the second one knows a call's name, which is taken already
            async with open_websocket(url, headers={}) as websocket:
                await websocket.send(ChanWebSocket(channel_id=name).start())
                assert "HANGUP" in await websocket.recv()
        assert "no call awaits" in engine.refused[0]
        assert len(engine.lines) == 1
        assert not line.ending


async def test_the_audio_has_a_password_of_its_own():
    async with a_call(media_username="asterisk", media_password=Secret("media-secret")) as (asterisk, engine, _):
        url, _ = asterisk.websocket_clients["voicepipe"]
        asterisk.websocket_clients["voicepipe"] = url, "asterisk:wrong"
        await asterisk.caller_comes("2.2")
        caller = asterisk.channels["2.2"]
        await caller.ended.wait()
        assert caller.continued
        await until(lambda: len(engine.refused) == 2)
        assert "401" in "".join(engine.refused)
        assert "the media channel ended (cause 3" in "".join(engine.refused)


async def test_a_call_over_a_websocket_can_clear_and_mark():
    async with a_call() as (_, _, line):
        assert line.transport.pacing == "theirs"
        assert line.transport.can == {"clear", "mark", "transfer", "completes_transfer", "send_dtmf"}
        assert line.transport.write(FRAME)
        line.transport.mark(7)
        await until(lambda: line.marks == [7])
        line.transport.clear()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"password": Secret("not-the-secret")}, "HTTP 401"),
        ({"username": "nobody"}, "set username and password to a user of ari.conf"),
        ({"url": "/wrong"}, "url must end in /ari"),
    ],
)
async def test_what_keeps_us_out_of_ari_is_reported_and_tried_again(changes, told, monkeypatch):
    monkeypatch.setattr(client, "FIRST_PAUSE_S", 0.01)
    async with open_asterisk() as asterisk:
        if "url" in changes:
            changes = {"url": asterisk.url + changes["url"]}
        async with open_engine(asterisk, connects=False, **changes) as engine:
            with trio.fail_after(20):
                await until(lambda: engine.refused)
                await until(lambda: len(asterisk.requests) > 2)
            assert told in engine.refused[0]
            assert len(engine.refused) == 1
            assert "secret" not in engine.refused[0]
            assert not engine.listener.is_listening
            with pytest.raises(DialFailed, match="failed"):
                await engine.listener.dial(DialRequest("300"))


async def test_another_engine_of_the_same_name_is_reported():
    async with a_call() as (asterisk, engine, line), open_engine(asterisk) as other:
        await until(lambda: engine.refused)
        assert "another program has connected to ARI as application 'voicepipe'" in engine.refused[0]
        assert "give each engine its own `app`" in engine.refused[0]
        assert not line.ending
        assert other.refused == []


class StalledClient:
    """An ARI that takes a request and answers when it is told to."""

    def __init__(self):
        self.asked, self.status, self.answers = [], 204, trio.Event()

    async def request(self, request):
        self.asked.append(request.path)
        await self.answers.wait()
        return Replied(request.step, self.status)


async def test_no_deletion_is_lost_when_the_connection_breaks_meanwhile(autojump_clock):
    stalled, owed = StalledClient(), OwedDeletions()
    for name in ("a", "b"):
        owed.add(delete_request(name, "media"))
    with trio.move_on_after(1):
        await owed.pay(stalled)
    stalled.answers.set()
    stalled.status = 0
    await owed.pay(stalled)
    stalled.status = 404
    await owed.pay(stalled)
    await owed.pay(stalled)
    assert stalled.asked == ["/channels/a", "/channels/a", "/channels/a", "/channels/b"]


async def test_nothing_of_a_call_is_left_to_the_garbage_collector():
    async with open_asterisk() as asterisk, open_engine(asterisk) as engine:

        async def handle(transport):
            await transport.run(Line(transport))

        engine.handle_call = handle

        async def two_calls():
            for name, dies in (("2.1", False), ("2.2", True)):
                await asterisk.caller_comes(name)
                caller = asterisk.channels[name]
                await until(lambda caller=caller: caller.bridge is not None and len(caller.bridge.channels) == 2)
                if dies:
                    (media,) = [other for other in caller.bridge.channels if other.media]
                    await media.media.close()
                else:
                    await asterisk.hang_up(name)
                await until(lambda: not asterisk.channels and not engine.listener.calls)

        with trio.fail_after(30):
            await two_calls()  # imports and caches come to be
            with left_to_the_collector() as left:
                await two_calls()
        assert set(ours(left)) <= {"HttpExchange"}  # httpx's response and its stream refer to each other
