"""A recorded pipeline set that reloads itself when its files change, with real files and a real watch."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from unittest.mock import patch

import structlog
import trio
from patience import LONG_S
from recording import RecordedSet

from reference_engine.watch import watching

QUIET_MS = 100
"""The quiet that a change is given here, so that tests are quick."""

SHORT_S = 0.6
"""How long to wait for what should not happen: several times that."""


class Silent:
    """A watch on a file system that has no events."""

    def __init__(self, *_, **__):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def watch(self, _most, _quiet, _timeout, stop):
        stop.wait()
        return "stop"


class Served:
    """A set as the engine has it watched."""

    def __init__(self, pipelines):
        self.name, self.reload = pipelines.name, pipelines.reload
        self.files = partial(watching.files_of, pipelines)


class WatchedSet(RecordedSet):
    """Tells its reloads one by one."""

    def __init__(self, directory):
        super().__init__(directory)
        self._send, self._outcomes = trio.open_memory_channel(100)
        self.poll_s, self._events = 3600.0, watching.RustNotify

    def without_events(self):
        """Has what changes found out by looking alone; to be said before it is watched."""
        self.poll_s, self._events = 0.05, Silent

    @asynccontextmanager
    async def watch(self, *, quiet_ms=QUIET_MS):
        """Serves the set and watches it; the reload that this begins with is over."""
        with (
            patch.multiple(watching, QUIET_MS=quiet_ms, POLL_S=self.poll_s, RustNotify=self._events),
            structlog.testing.capture_logs() as logs,
        ):
            async with self.serve(observer=self._observe) as pipelines, trio.open_nursery() as nursery:
                nursery.start_soon(watching.watch_set, Served(pipelines), structlog.get_logger())
                await self.outcome()
                yield pipelines
                nursery.cancel_scope.cancel()
        assert logs == []

    async def outcome(self):
        """The next reload's."""
        with trio.fail_after(LONG_S):
            return await self._outcomes.receive()

    async def outcome_that_is(self, kind):
        """The next of a kind: on a slow machine one change may lead to several, and a new watch leads to one more."""
        while not isinstance(outcome := await self.outcome(), kind):
            pass
        return outcome

    async def settled(self):
        """Returns once no further reload comes."""
        while True:
            with trio.move_on_after(SHORT_S) as quiet:
                await self._outcomes.receive()
            if quiet.cancelled_caught:
                return

    async def nothing(self):
        """Makes sure that no reload comes."""
        with trio.move_on_after(SHORT_S):
            raise AssertionError(await self._outcomes.receive())

    def _observe(self, event):
        self.events.append(event)
        if hasattr(event, "trigger"):
            assert event.trigger == "watch"
            self._send.send_nowait(event)
