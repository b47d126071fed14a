"""What the tests of calls share."""

import pytest
import trio

from voicepipe.calls.replies.timed_playout import TimedPlayout
from voicepipe.clock.ticker import Ticker
from voicepipe.testing.transport import MemoryTransport


@pytest.fixture
def transport():
    return MemoryTransport()


@pytest.fixture
async def ticker(nursery):
    """A clock that runs; a test that wants virtual time asks for `autojump_clock` itself."""
    ticker = Ticker()
    nursery.start_soon(ticker.run)
    await trio.testing.wait_all_tasks_blocked()
    return ticker


@pytest.fixture
def playout(transport, ticker, nursery):
    return TimedPlayout(transport, ticker, 40, nursery)
