"""The hub, on real sockets."""

import socket
from contextlib import ExitStack, asynccontextmanager, closing

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


@asynccontextmanager
async def served(callers, meanwhile=lambda: None):
    """Each has sent something. The body runs when each has had a turn, or when `meanwhile` says so between turns."""
    for caller in callers:
        caller.theirs.send(b"x")
    with closing(Hub()) as hub, trio.fail_after(LONG_S):
        for caller in callers:
            hub.add(caller, caller.mine)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hub.run)
            while not (meanwhile() or all(caller.got or caller.failures for caller in callers)):
                await trio.lowlevel.checkpoint()
            yield hub
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("count", [1, FEW, FEW + 1, AT_ONCE, AT_ONCE + 1, 3 * AT_ONCE])
async def test_everybody_has_a_turn(callers, count):
    all_of_them = callers(count)
    async with served(all_of_them):
        assert [caller.got for caller in all_of_them] == [[b"x"]] * count


@pytest.mark.parametrize("count", [2, 20])
async def test_what_one_raises_is_its_own(callers, count):
    broken, *others = callers(count)
    broken.does = lambda: 1 / 0
    async with served([broken, *others]):
        assert [type(error) for error in broken.failures] == [ZeroDivisionError]
        assert [caller.got for caller in others] == [[b"x"]] * (count - 1)


async def test_one_that_is_removed_in_a_turn_has_none_afterwards(callers):
    """However many send at once: who is not dealt with at once may be gone by then."""
    all_of_them = callers(2 * AT_ONCE)
    async with served(all_of_them, meanwhile=lambda: any(caller.got for caller in all_of_them)) as hub:
        late = [caller for caller in all_of_them if not caller.got]
        for caller in late:
            hub.remove(caller.mine)
            caller.mine.close()
        await trio.sleep(0.05)
        assert not any(caller.got or caller.failures for caller in late)


async def test_others_may_do_something_between_a_burst_s_turns(callers):
    all_of_them, seen = callers(3 * AT_ONCE), set()
    async with served(all_of_them, meanwhile=lambda: seen.add(sum(bool(caller.got) for caller in all_of_them))):
        assert {AT_ONCE, 2 * AT_ONCE} & seen
