"""Transfers, consultations and calls that the agent makes, by ARI."""

from __future__ import annotations

import pytest
import trio
from ari_engine import CALLER, FRAME, a_call, open_engine, until
from vendors.asterisk_ari import open_asterisk

from voicepipe.errors import DialFailed, TransferFailed, TransportError
from voicepipe.transports.listener import Dialler, DialRequest

OFFICE = "Local/200@transfers/n"
MOBILE = "Local/300@outbound/n"


def media_of(asterisk):
    (media,) = [channel for channel in asterisk.channels.values() if channel.media]
    return media


async def is_quiet(asterisk, engine):
    """Until nothing of any call is left."""
    await until(lambda: not asterisk.channels and not asterisk.bridges and not engine.listener.calls)


@pytest.mark.parametrize("ends_first", ["caller", "target"])
async def test_a_transfer_connects_the_two_and_ends_with_either(ends_first):
    async with a_call() as (asterisk, engine, line):
        caller, media = asterisk.channels[CALLER], media_of(asterisk)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(line.transport.transfer, "200")
            await until(lambda: (target := asterisk.called(OFFICE)) and target.state == "Ringing")
            target = asterisk.called(OFFICE)
            assert caller.sounds == {"ring"}
            assert target.number == "15551230001"
            assert target.timeout == "30"
            assert target.variables == {"VOICEPIPE_CALLER": "15551230001", "VOICEPIPE_CALLED": "15559870001"}
            assert line.transport.write(FRAME), "the agent is still connected"
            await asterisk.answer_call(target.id)
        await line.over.wait()
        assert line.ending == "", "the end of this leg is no hang-up of the caller"
        await media.ended.wait()
        assert asterisk.talkers(CALLER) == {target.id}
        assert caller.sounds == set()
        await until(lambda: engine.listener.calls == 0)
        first, second = (caller, target) if ends_first == "caller" else (target, caller)
        await asterisk.hang_up(first.id)
        await second.ended.wait()
        await is_quiet(asterisk, engine)


async def test_the_caller_goes_on_in_the_dialplan_after_a_transfer_if_they_are_to():
    async with a_call(after="continue") as (asterisk, engine, line):
        asterisk.telephones[OFFICE] = "answer"
        caller = asterisk.channels[CALLER]
        await line.transport.transfer("200")
        await asterisk.hang_up(asterisk.called(OFFICE).id)
        await caller.ended.wait()
        assert caller.continued
        await is_quiet(asterisk, engine)


async def test_a_transfer_that_is_cancelled_stops_ringing_and_the_caller_is_back():
    async with a_call() as (asterisk, _, line):
        media = media_of(asterisk)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(line.transport.transfer, "200")
            await until(lambda: asterisk.called(OFFICE))
            nursery.cancel_scope.cancel()
        await until(lambda: not asterisk.called(OFFICE) and not asterisk.channels[CALLER].sounds)
        assert asterisk.talkers(CALLER) == {media.id}
        assert not line.ending


async def test_a_caller_who_hangs_up_while_it_rings_stops_the_ringing():
    async with a_call() as (asterisk, engine, line):
        async with trio.open_nursery() as nursery:

            async def transfer():
                with pytest.raises(TransferFailed, match="the caller hung up"):
                    await line.transport.transfer("200")

            nursery.start_soon(transfer)
            await until(lambda: (target := asterisk.called(OFFICE)) and target.state == "Ringing")
            await asterisk.hang_up(CALLER)
        assert line.ending.startswith("the caller hung up")
        await is_quiet(asterisk, engine)


async def test_a_target_that_hangs_up_at_once_brings_the_caller_back():
    async with a_call() as (asterisk, _, line):
        asterisk.telephones[OFFICE] = "answer"

        async def hang_up():
            if target := asterisk.called(OFFICE):
                asterisk.before.clear()
                await asterisk.hang_up(target.id)

        asterisk.before["POST addChannel"] = hang_up
        with pytest.raises(TransferFailed, match=r"hung up|Channel not found"):
            await line.transport.transfer("200")
        assert asterisk.talkers(CALLER) == {media_of(asterisk).id}


@pytest.mark.parametrize(
    ("target", "dialled"),
    [
        ("200", OFFICE),
        (" 2 0-0 ", "Local/20-0@transfers/n"),
        ("200&PJSIP/900@trunk", "Local/200PJSIP900trunk@transfers/n"),
    ],
)
async def test_a_target_is_no_dial_string(target, dialled):
    """It comes from a language model, which heard it from a caller."""
    async with a_call() as (asterisk, _, line):
        asterisk.telephones[dialled] = "busy"
        with pytest.raises(TransferFailed, match="busy"):
            await line.transport.transfer(target)


async def test_a_target_without_a_number_is_refused():
    async with a_call() as (asterisk, _, line):
        with pytest.raises(TransferFailed, match="is no number"):
            await line.transport.transfer("& @")
        assert not [entry for entry in asterisk.log if entry.startswith("POST channels ")]


async def test_the_agent_speaks_with_the_target_first_and_then_connects_the_two():
    async with a_call() as (asterisk, engine, line):
        asterisk.telephones[OFFICE] = "answer"
        media = media_of(asterisk)
        await line.transport.consult("200")
        target = asterisk.called(OFFICE)
        await until(lambda: asterisk.talkers(target.id) == {media.id})
        assert asterisk.channels[CALLER].sounds == {"moh"}
        assert asterisk.talkers(CALLER) == set()
        await line.transport.transfer("200")
        await line.over.wait()
        await media.ended.wait()
        assert asterisk.talkers(CALLER) == {target.id}
        assert asterisk.channels[CALLER].sounds == set()
        await asterisk.hang_up(target.id)
        await is_quiet(asterisk, engine)


@pytest.mark.parametrize("who", ["agent", "target"])
async def test_a_consultation_that_comes_to_nothing_brings_the_caller_back(who):
    async with a_call() as (asterisk, _, line):
        asterisk.telephones[OFFICE] = "answer"
        media = media_of(asterisk)
        await line.transport.consult("200")
        target = asterisk.called(OFFICE)
        await until(lambda: asterisk.talkers(target.id) == {media.id})
        if who == "agent":
            await line.transport.return_to_caller()
        else:
            await asterisk.hang_up(target.id)
            with pytest.raises(TransferFailed, match="the other side hung up"):
                await line.transport.transfer("200")
            assert asterisk.called(OFFICE) is None, "nobody else is called instead"
        await until(lambda: asterisk.talkers(CALLER) == {media.id} and not asterisk.channels[CALLER].sounds)
        assert target.id not in asterisk.channels
        assert not line.ending


async def test_the_agent_calls_somebody():
    async with open_asterisk() as asterisk, open_engine(asterisk) as engine:
        assert isinstance(engine.listener, Dialler)
        request = DialRequest(
            "300", caller="15550000", variables={"case": "7"}, pipeline="recall", ring_s=20, speaks_first="caller"
        )
        asterisk.telephones[MOBILE] = "answer"
        with trio.fail_after(20):
            name = await engine.listener.dial(request)
            line = await engine.line()
            await line.audible.wait()
        called = asterisk.channels[name]
        assert called is asterisk.called(MOBILE)
        assert (called.number, called.timeout, called.variables) == ("15550000", "20", {"case": "7"})
        info = line.transport.info
        assert (info.called, info.caller, info.pipeline, info.speaks_first) == ("300", "15550000", "recall", "caller")
        assert (info.transport_id, dict(info.variables)) == (name, {"case": "7"})
        line.hang_up.set()
        with trio.fail_after(20):
            await is_quiet(asterisk, engine)
        assert not called.continued


@pytest.mark.parametrize(
    ("fate", "outcome"),
    [("busy", "busy"), ("rejected", "busy"), ("no answer", "no_answer"), ("unreachable", "failed")],
)
async def test_nobody_answers_a_call_of_the_agent(fate, outcome):
    async with open_asterisk() as asterisk, open_engine(asterisk) as engine:
        asterisk.telephones[MOBILE] = fate
        with trio.fail_after(20), pytest.raises(DialFailed) as failed:
            await engine.listener.dial(DialRequest("300"))
        assert failed.value.outcome == outcome
        await is_quiet(asterisk, engine)
        assert not engine.lines


async def test_a_call_of_the_agent_that_is_cancelled_stops_ringing():
    async with open_asterisk() as asterisk, open_engine(asterisk) as engine:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(engine.listener.dial, DialRequest("300"))
            await until(lambda: asterisk.called(MOBILE))
            nursery.cancel_scope.cancel()
        await is_quiet(asterisk, engine)


async def test_a_call_of_the_agent_whose_audio_fails_is_hung_up():
    async with open_asterisk() as asterisk, open_engine(asterisk) as engine:
        asterisk.telephones[MOBILE] = "answer"
        asterisk.answers["POST externalMedia"] = (500, "no such format")
        with trio.fail_after(20), pytest.raises(DialFailed, match="no such format") as failed:
            await engine.listener.dial(DialRequest("300"))
        assert failed.value.outcome == "failed"
        await is_quiet(asterisk, engine)


async def test_the_agent_calls_nobody_without_room_or_a_number():
    async with open_asterisk() as asterisk, open_engine(asterisk) as engine:
        with pytest.raises(DialFailed, match="is no number"):
            await engine.listener.dial(DialRequest("@"))
        engine.listener.pause()
        with pytest.raises(DialFailed, match="paused"):
            await engine.listener.dial(DialRequest("300"))
        assert not engine.listener.calls
        assert isinstance(DialFailed("failed", ""), TransportError)
