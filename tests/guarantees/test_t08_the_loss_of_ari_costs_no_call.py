"""T08: the loss of ARI costs no call that is up, and leaves nothing behind.

An Asterisk is played (`vendors/asterisk_ari.py`): HTTP, events and audio over real sockets. What ARI does not tell
again, the engine reads when the connection is back.
"""

from __future__ import annotations

import pytest
import trio
from ari_engine import CALLER, FRAME, a_call, open_engine, until
from vendors.asterisk_ari import Bridge, Channel, open_asterisk

from voicepipe.errors import TransferFailed
from voicepipe.transports.asterisk_ari import client

OFFICE = "Local/200@transfers/n"
DEAD = "0123456789abcdef0123456789abcdef"
"""A call of an engine that died."""


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(client, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(client, "LONGEST_PAUSE_S", 0.02)


def media_of(asterisk):
    (media,) = [channel for channel in asterisk.channels.values() if channel.media]
    return media


async def lose_ari(asterisk, engine):
    await asterisk.go_away()
    await until(lambda: not engine.listener.is_listening)


async def find_ari(asterisk):
    asterisk.come_back()
    await asterisk.app_connected.wait()


async def rings(asterisk, engine):
    """Until the transfer's target rings, and the engine knows of it."""
    (call,) = engine.listener._by_call.values()
    await until(lambda: (target := asterisk.called(OFFICE)) and target.id in call.flow.present)
    await until(lambda: asterisk.called(OFFICE).state == "Ringing")


async def is_quiet(asterisk, engine):
    await until(lambda: not asterisk.channels and not asterisk.bridges and not engine.listener.calls)


async def test_a_call_goes_on_without_ari_and_after_it():
    async with a_call() as (asterisk, engine, line):
        media = media_of(asterisk)
        await lose_ari(asterisk, engine)
        heard = len(line.frames)
        await media.media.send(FRAME)
        await media.media.press("5")
        line.transport.write(FRAME)
        await until(lambda: line.frames[heard:] == [FRAME] and line.digits == "5" and media.media.heard == FRAME)
        with pytest.raises(TransferFailed, match="can't be reached"):
            await line.transport.transfer("200")
        await find_ari(asterisk)
        await until(lambda: engine.listener.is_listening)
        await asterisk.press(CALLER, "6")
        await until(lambda: line.digits == "56")
        assert len(engine.lines) == 1, "the call's events are not repeated"
        assert not line.ending
        assert len(engine.refused) == len(set(engine.refused)), "each reason is reported once"
        assert "no connection with ARI" in engine.refused[0]
        assert "calls that are up go on" in engine.refused[0]
        asterisk.telephones[OFFICE] = "answer"
        await line.transport.transfer("200")
        await asterisk.hang_up(CALLER)
        await is_quiet(asterisk, engine)


async def test_a_caller_who_hung_up_meanwhile_is_noticed():
    async with a_call() as (asterisk, engine, line):
        await lose_ari(asterisk, engine)
        await asterisk.hang_up(CALLER)
        assert not line.ending
        await find_ari(asterisk)
        await line.over.wait()
        assert line.ending == "the caller hung up (while ARI was away)"
        await is_quiet(asterisk, engine)


async def test_a_call_that_ended_meanwhile_is_deleted_once_ari_is_back():
    async with a_call() as (asterisk, engine, line):
        await lose_ari(asterisk, engine)
        line.hang_up.set()
        await until(lambda: engine.listener.calls == 0)
        assert CALLER in asterisk.channels, "nobody could tell Asterisk"
        await find_ari(asterisk)
        await is_quiet(asterisk, engine)
        assert len(engine.lines) == 1, "the caller is not taken for one who waits"


async def test_a_caller_who_came_as_ari_was_lost_is_taken_when_it_is_back():
    """Stasis() takes a caller as long as Asterisk believes in the connection; the event is lost."""
    async with a_call() as (asterisk, engine, _):
        await lose_ari(asterisk, engine)
        asterisk.channels["2.2"] = Channel(
            "2.2", "PJSIP/trunk-2", state="Ring", app="voicepipe", args=["pipeline=sales"], number="1666"
        )
        await find_ari(asterisk)
        await until(lambda: len(engine.lines) == 2)
        info = engine.lines[1].transport.info
        assert (info.transport_id, info.caller, info.pipeline) == ("2.2", "1666", "sales")


async def test_a_target_that_answered_or_went_away_meanwhile_is_noticed():
    async with a_call() as (asterisk, engine, line):
        async with trio.open_nursery() as nursery:

            async def transfer():
                with pytest.raises(TransferFailed, match="no answer"):
                    await line.transport.transfer("200")

            nursery.start_soon(transfer)
            await rings(asterisk, engine)
            await lose_ari(asterisk, engine)
            await asterisk.hang_up(asterisk.called(OFFICE).id)
            await find_ari(asterisk)
        assert asterisk.talkers(CALLER) == {media_of(asterisk).id}
        async with trio.open_nursery() as nursery:
            nursery.start_soon(line.transport.transfer, "200")
            await rings(asterisk, engine)
            await asterisk.go_away()
            target = asterisk.called(OFFICE)
            target.state, target.app = "Up", "voicepipe"
            await find_ari(asterisk)
        await until(lambda: asterisk.talkers(CALLER) == {target.id})


async def test_asterisk_restarts_under_a_call():
    async with a_call() as (asterisk, engine, line):
        await asterisk.restart()
        await line.over.wait()
        assert line.ending
        await asterisk.app_connected.wait()
        await is_quiet(asterisk, engine)
        await asterisk.caller_comes("2.2")
        await until(lambda: len(engine.lines) == 2)


def leave_behind(asterisk, *parts, with_caller=True):
    """What an engine that was killed leaves in Asterisk."""
    bridge = asterisk.bridges[f"voicepipe-{DEAD}-bridge"] = Bridge(f"voicepipe-{DEAD}-bridge")
    for part in parts:
        name = f"voicepipe-{DEAD}-{part}"
        asterisk.channels[name] = Channel(name, f"Local/{part}", app="voicepipe", is_made=True, bridge=bridge)
        bridge.channels.append(asterisk.channels[name])
    if with_caller:
        asterisk.channels[CALLER] = Channel(CALLER, "PJSIP/trunk", app="voicepipe", args=["vip"], bridge=bridge)
        bridge.channels.append(asterisk.channels[CALLER])


async def test_what_a_killed_engine_left_is_deleted_and_its_caller_is_taken_anew():
    async with open_asterisk() as asterisk:
        leave_behind(asterisk, "media")
        asterisk.bridges["someone-elses"] = Bridge("someone-elses")
        other = Channel("9.9", "PJSIP/other", app="another", bridge=asterisk.bridges["someone-elses"])
        asterisk.channels["9.9"] = other
        async with open_engine(asterisk) as engine:
            with trio.fail_after(20):
                line = await engine.line()
                await line.audible.wait()
            assert dict(line.transport.info.variables) == {"1": "vip"}
            assert not [name for name in (*asterisk.channels, *asterisk.bridges) if DEAD in name]
            assert asterisk.talkers(CALLER) == {media_of(asterisk).id}
            line.hang_up.set()
            with trio.fail_after(20):
                await until(lambda: set(asterisk.channels) == {"9.9"} and set(asterisk.bridges) == {"someone-elses"})


@pytest.mark.parametrize("parts", [("media", "target"), ("caller", "media"), ("target2",), ()])
async def test_what_a_killed_engine_left_without_its_caller_is_deleted(parts):
    async with open_asterisk() as asterisk:
        leave_behind(asterisk, *parts, with_caller=False)
        async with open_engine(asterisk) as engine:
            with trio.fail_after(20):
                await is_quiet(asterisk, engine)
            assert not engine.lines


@pytest.mark.parametrize("ends_first", ["caller", "target"])
async def test_a_transfer_that_a_killed_engine_connected_goes_on_and_is_deleted_in_the_end(ends_first):
    async with open_asterisk() as asterisk:
        leave_behind(asterisk, "target2")
        target = f"voicepipe-{DEAD}-target2"
        async with open_engine(asterisk) as engine:
            await until(lambda: engine.listener._by_call)
            assert asterisk.talkers(CALLER) == {target}
            assert not engine.lines
            with trio.fail_after(20):
                await asterisk.hang_up(CALLER if ends_first == "caller" else target)
                await is_quiet(asterisk, engine)
