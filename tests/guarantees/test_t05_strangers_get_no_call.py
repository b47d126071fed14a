"""T05: who is not authenticated is refused before a call begins, in constant time, and bounded in number."""

from __future__ import annotations

import hmac
from base64 import b64encode
from contextlib import AsyncExitStack

import pytest
import trio
from kit_peers import KITS, TOKEN
from patience import until

from voicepipe.testing import transports
from voicepipe.testing.conformance import Check
from voicepipe.transports import websocket_serving
from voicepipe.transports.websocket_calls import BearerCalls, Upgrade

GUARDED = [name for name, kit in KITS.items() if kit.subject.stranger is not None]
REQUESTS = {
    "asterisk_websocket": lambda secret: (
        "/media",
        {"Authorization": "Basic " + b64encode(f"asterisk:{secret}".encode()).decode()},
    ),
    "media_stream": lambda secret: (f"/stream/checked/{secret}", {}),
    "media_stream in binary": lambda secret: (f"/stream/checked/{secret}", {}),
    "browser": lambda secret: ("/call", {"Authorization": f"Bearer {secret}"}),
}
SECRETS = {"asterisk_websocket": "secret-word"}


async def is_upgraded(name, listener, secret):
    path, headers = REQUESTS[name](secret)
    try:
        async with transports.open_websocket_peer(listener, path, headers):
            return True
    except transports.CallNotTaken:
        return False


def test_each_transport_that_has_a_secret_is_here():
    assert set(GUARDED) == set(REQUESTS)


@pytest.mark.parametrize("name", GUARDED)
async def test_t05_a_wrong_secret_gets_no_call_and_its_likeness_tells_nothing(name, monkeypatch):
    secret = SECRETS.get(name, TOKEN)
    wrong = ["x" + secret[1:], secret[:-1] + "x", secret[:-1], secret + "x", "x" * 200, "\u00e9"]
    compared = []

    def compare(one, other):
        compared.append((one, other))
        return hmac_compare(one, other)

    hmac_compare = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", compare)
    async with KITS[name].subject.opened() as bench:
        counts = []
        for given in wrong:
            compared.clear()
            path, headers = REQUESTS[name](given)
            if path.isascii() and all(value.isascii() for value in headers.values()):
                assert not await is_upgraded(name, bench.listener, given), given
                counts.append(len(compared))
        assert counts[0] == counts[1] >= 1  # that it begins with, or ends with, the secret
        assert bench.calls == []
        await until(lambda: len(bench.refused) == len(counts))
        assert not any(given in str(refused) for refused in bench.refused for given in wrong)
        assert await is_upgraded(name, bench.listener, secret)


@pytest.mark.parametrize(
    "given", ["", "Bearer", "Bearer ", f"bearer {TOKEN}", f"Bearer {TOKEN}x", "Bearer \u00e9", TOKEN]
)
def test_t05_transports_of_others_have_the_same_guard(given):
    """`BearerCalls` is what the guide to transports and its template stand on."""

    def asks(authorization):
        headers = {"authorization": authorization}
        return Upgrade(target="/", path="/", query={}, headers=headers, peer="127.0.0.1:1")

    calls = BearerCalls(TOKEN, lambda _request, _socket: pytest.fail("a stranger got a call"))
    refusal = calls.authorise(asks(given))
    assert refusal is not None
    assert refusal.status == 401
    assert calls.authorise(asks(f"Bearer {TOKEN}")) is None


@pytest.mark.parametrize("name", GUARDED)
async def test_t05_a_flood_of_silent_strangers_is_bounded_and_keeps_no_caller_out(name, monkeypatch):
    monkeypatch.setattr(websocket_serving, "UNKNOWN", 5)

    async def flood(subject):
        async with subject.opened() as bench, AsyncExitStack() as flood:
            silent = [await trio.open_tcp_stream(*bench.listener.address) for _ in range(12)]
            for stream in silent:
                await flood.enter_async_context(stream)
            async with bench.call() as (_peer, call):
                kept = []

                async def see(stream):
                    with trio.move_on_after(0.2) as scope:
                        await stream.receive_some()
                    if scope.cancelled_caught:
                        kept.append(stream)

                async with trio.open_nursery() as looking:
                    for stream in silent:
                        looking.start_soon(see, stream)
                assert len(kept) <= 5
                assert not call.over.is_set()

    await KITS[name].run(Check("flood", "", flood))
