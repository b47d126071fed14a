"""The hub, on real sockets."""

import socket
from contextlib import ExitStack, closing

import pytest
import trio
from attrs import define, field
from patience import LONG_S

from voicepipe.transports.hub import AT_ONCE, FEW, Hub


@define(eq=False)
class Caller:
    """Receives what comes, in order; `does` happens at each turn."""

    mine: socket.socket
    theirs: socket.socket
    does: object = None
    got: list = field(factory=list)
    failures: list = field(factory=list)

    def receive(self):
        if self.does is not None:
            self.does()
        self.got.append(self.mine.recv(100))

    def fail(self, error):
        self.failures.append(error)
        self.mine.recv(100)


@pytest.fixture
def callers():
    with ExitStack() as sockets:

        def make(count):
            made = []
            for _ in range(count):
                mine, theirs = (sockets.enter_context(end) for end in socket.socketpair())
                mine.setblocking(False)
                made.append(Caller(mine, theirs))
            return made

        yield make


async def given_turns(hub, callers, nursery):
    for caller in callers:
        hub.add(caller, caller.mine)
    nursery.start_soon(hub.run)
    with trio.fail_after(LONG_S):
        while not all(caller.got or caller.failures for caller in callers):
            await trio.lowlevel.checkpoint()
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("count", [1, FEW, FEW + 1, AT_ONCE, AT_ONCE + 1, 3 * AT_ONCE])
async def test_everybody_has_a_turn(callers, count):
    all_of_them = callers(count)
    for number, caller in enumerate(all_of_them):
        caller.theirs.send(b"%d" % number)
    with closing(Hub()) as hub:
        async with trio.open_nursery() as nursery:
            await given_turns(hub, all_of_them, nursery)
    assert [caller.got for caller in all_of_them] == [[b"%d" % number] for number in range(count)]


@pytest.mark.parametrize("count", [2, 20])
async def test_what_one_raises_is_its_own(callers, count):
    broken, *others = callers(count)
    broken.does = lambda: 1 / 0
    for caller in broken, *others:
        caller.theirs.send(b"x")
    with closing(Hub()) as hub:
        async with trio.open_nursery() as nursery:
            await given_turns(hub, [broken, *others], nursery)
    assert [type(error) for error in broken.failures] == [ZeroDivisionError]
    assert [caller.got for caller in others] == [[b"x"]] * (count - 1)


async def test_one_that_is_removed_in_a_turn_has_none_afterwards(callers):
    """However many send at once: who is not dealt with at once may be gone by then."""
    all_of_them = callers(2 * AT_ONCE)
    for caller in all_of_them:
        caller.theirs.send(b"x")
    with closing(Hub()) as hub:
        for caller in all_of_them:
            hub.add(caller, caller.mine)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hub.run)
            with trio.fail_after(LONG_S):
                while not any(caller.got for caller in all_of_them):
                    await trio.lowlevel.checkpoint()
            late = [caller for caller in all_of_them if not caller.got]
            for caller in late:
                hub.remove(caller.mine)
                caller.mine.close()
            await trio.sleep(0.05)
            nursery.cancel_scope.cancel()
    assert not any(caller.got or caller.failures for caller in late)


async def test_others_may_do_something_between_a_burst_s_turns(callers):
    all_of_them, seen = callers(3 * AT_ONCE), []
    for caller in all_of_them:
        caller.theirs.send(b"x")
    with closing(Hub()) as hub:
        for caller in all_of_them:
            hub.add(caller, caller.mine)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hub.run)
            with trio.fail_after(LONG_S):
                while not seen or seen[-1] < len(all_of_them):
                    await trio.lowlevel.checkpoint()
                    seen.append(sum(bool(caller.got) for caller in all_of_them))
            nursery.cancel_scope.cancel()
    assert {AT_ONCE, 2 * AT_ONCE} & set(seen)
