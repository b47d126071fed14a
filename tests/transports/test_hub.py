"""The hub, on real sockets."""

import socket
from contextlib import ExitStack, asynccontextmanager, closing
from functools import partial

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
    at_most: int = 100
    got: list = field(factory=list)
    failures: list = field(factory=list)

    def receive(self):
        if self.does is not None:
            self.does()
        self.got.append(self.mine.recv(self.at_most))

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


def raising(error):
    """A function that raises it."""

    def does():
        raise error

    return does


@asynccontextmanager
async def served(callers, meanwhile=lambda: None, enough=None):
    """Each has sent something. The body runs when each has had a turn, or when `meanwhile` says so between turns.

    `enough`, if it is given, decides instead of both.
    """
    if enough is None:

        def enough():
            return meanwhile() or all(caller.got or caller.failures for caller in callers)

    for caller in callers:
        caller.theirs.send(b"x")
    with closing(Hub()) as hub, trio.fail_after(LONG_S):
        for caller in callers:
            hub.add(caller, caller.mine)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hub.run)
            while not enough():
                await trio.lowlevel.checkpoint()
            yield hub
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("count", [1, FEW, FEW + 1, AT_ONCE, AT_ONCE + 1, 3 * AT_ONCE])
async def test_everybody_has_a_turn(callers, count):
    all_of_them = callers(count)
    async with served(all_of_them):
        assert [caller.got for caller in all_of_them] == [[b"x"]] * count


@pytest.mark.parametrize("count", [FEW + 1, AT_ONCE + 1, 2 * AT_ONCE + 1, 3 * AT_ONCE])
async def test_those_that_always_have_something_leave_everybody_a_turn(callers, count):
    """A turn takes a part of what a socket has, so that all of them stay ready: nobody is ever two turns ahead."""
    all_of_them, ahead = callers(count), []
    for caller in all_of_them:
        caller.at_most = 1
        caller.theirs.send(b"more" * 20)

    def all_had_some():
        turns = [len(caller.got) for caller in all_of_them]
        ahead.append(max(turns) - min(turns))
        return min(turns) >= 10

    async with served(all_of_them, enough=all_had_some):
        assert max(ahead) <= 1


async def test_one_that_is_removed_by_another_has_no_turn_any_more(callers):
    """In the same chunk of turns, between which nothing else happens."""
    all_of_them = callers(FEW + 4)

    def remove_the_others(hub, caller):
        for other in all_of_them:
            if other is not caller and not other.got:
                hub.remove(other.mine)
                other.mine.close()

    with closing(Hub()) as hub:
        for caller in all_of_them:
            caller.does = partial(remove_the_others, hub, caller)
            hub.add(caller, caller.mine)
            caller.theirs.send(b"x")
        with trio.move_on_after(LONG_S):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(hub.run)
                while not any(caller.got for caller in all_of_them):
                    await trio.lowlevel.checkpoint()
                nursery.cancel_scope.cancel()
    assert sum(bool(caller.got) for caller in all_of_them) == 1
    assert not any(caller.failures for caller in all_of_them)


@pytest.mark.parametrize("raised", [ZeroDivisionError, OSError("gone"), SystemExit(3), ExceptionGroup("", [OSError()])])
@pytest.mark.parametrize("count", [2, 20])
async def test_what_one_raises_is_its_own(callers, count, raised):
    broken, *others = callers(count)
    broken.does = raising(raised)
    async with served([broken, *others]):
        assert [type(error) for error in broken.failures] == [raised if isinstance(raised, type) else type(raised)]
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
