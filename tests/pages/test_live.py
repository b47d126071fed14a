"""Live updates: only changes are sent, at most twice a second, to a bounded number, and nothing while nobody looks."""

from __future__ import annotations

from itertools import pairwise

import pytest
import trio

from reference_engine.pages import live
from reference_engine.pages.live import BYTES_A_S, EVERY_S, HEARTBEAT_S, MAX_WATCHERS, MOST_S, REST, LiveParts


class Watcher:
    """A browser that looks at a page, through ASGI's two functions."""

    def __init__(self, nursery, live, *, reads=True):
        self.got, self.gone, self.ended = [], trio.Event(), trio.Event()
        self.allowed, self._reads, self._live = True, reads, live
        nursery.start_soon(self._watch)

    async def _watch(self):
        await self._live.answer(lambda: self.allowed)({"type": "http"}, self._receive, self._send)
        self.ended.set()

    async def _receive(self):
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message):
        if not self._reads and self.got:
            await trio.sleep_forever()
        self.got.append(message.get("body", b"").decode())

    @property
    def events(self):
        return "".join(self.got)


@pytest.fixture
def page():
    """What the parts are now, how often they were made, and the live page of them."""

    class Page:
        def __init__(self):
            self.now, self.made = {"calls": "none", "versions": "1"}, 0
            self.live = LiveParts(self.make)

        async def make(self):
            self.made += 1
            return dict(self.now)

    return Page()


async def test_all_is_sent_at_first_and_then_what_has_changed(page, nursery, autojump_clock):
    watcher = Watcher(nursery, page.live)
    await trio.sleep(EVERY_S / 2)
    assert watcher.events.count("event: ") == 2
    page.now["calls"] = "<tr>\n<td>one</td>\r\n</tr>"
    await trio.sleep(EVERY_S)
    assert watcher.got[-1] == "event: calls\ndata: <tr>\ndata: <td>one</td>\ndata: </tr>\n\n"
    sent = len(watcher.got)
    await trio.sleep(HEARTBEAT_S / 2)
    assert len(watcher.got) == sent
    await trio.sleep(HEARTBEAT_S)
    assert watcher.got[-1] == ":\n\n"
    watcher.gone.set()
    await watcher.ended.wait()
    made = page.made
    await trio.sleep(60)
    assert page.made == made, "nobody looks any more"
    assert page.live.watchers == 0


async def test_many_who_look_cost_as_much_as_one_and_too_many_are_refused(page, nursery, autojump_clock):
    watchers = [Watcher(nursery, page.live) for _ in range(MAX_WATCHERS)]
    await trio.sleep(10 * EVERY_S)
    assert page.made <= 12
    assert all(watcher.events.count("event: ") == 2 for watcher in watchers)
    assert page.live.answer(lambda: True).status_code == 503
    watchers[0].gone.set()
    await watchers[0].ended.wait()
    assert page.live.answer(lambda: True).status_code == 200


async def test_all_are_sent_what_was_encoded_once(page, nursery, autojump_clock, monkeypatch):
    encoded = []
    monkeypatch.setattr(live, "_event", lambda name, html: encoded.append(name) or f"event: {name} {html}".encode())
    watchers = [Watcher(nursery, page.live) for _ in range(8)]
    for number in range(5):
        page.now["calls"] = str(number)
        await trio.sleep(EVERY_S)
    assert encoded.count("calls") <= 6
    assert encoded.count("versions") == 1
    assert all(watcher.events.count("event: calls 4") == 1 for watcher in watchers)


@pytest.mark.parametrize(
    ("size", "takes_s", "pause_s"),
    [
        (100, 0.0, EVERY_S),
        (2 * int(BYTES_A_S), 0.0, 2.0),  # much to send: a telephone would not follow
        (100, 0.2, 0.2 * REST),  # much to make: other calls would wait
        (100, 60.0, 60.0),  # a machine that is overloaded
        (100 * int(BYTES_A_S), 0.0, MOST_S),
    ],
)
async def test_an_update_that_costs_much_comes_more_rarely(nursery, autojump_clock, size, takes_s, pause_s):
    made = []

    async def make():
        await trio.sleep(takes_s)
        made.append(trio.current_time())
        return {"calls": f"{len(made):0{size}}", "versions": "1" * size * 3}  # the second never changes

    watcher = Watcher(nursery, LiveParts(make))
    await trio.sleep(8 + 10 * pause_s)
    pauses = [after - before for before, after in pairwise(made)][1:]
    assert pauses
    assert all(pause_s <= pause <= pause_s + EVERY_S + 0.1 for pause in pauses)
    assert watcher.events.count("event: versions") == 1


async def test_a_browser_that_does_not_read_holds_nobody_up(page, nursery, autojump_clock):
    slow, quick = Watcher(nursery, page.live, reads=False), Watcher(nursery, page.live)
    for number in range(5):
        page.now["calls"] = str(number)
        await trio.sleep(EVERY_S)
    assert quick.events.count("event: calls") == 5
    assert len(slow.got) == 1


async def test_the_stream_ends_with_the_right_to_see_it(page, nursery, autojump_clock):
    watcher = Watcher(nursery, page.live)
    await trio.sleep(EVERY_S)
    watcher.allowed = False
    await watcher.ended.wait()
    assert watcher.got[-1] == "event: end\ndata:\n\n"
