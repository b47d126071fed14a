"""Starts the process of which each reading of a configuration is a fork, and asks it for readings.

Theory of operation
===================

A reading needs a process of low priority, because parsing would delay the audio of calls, and a fresh one, because
adapters take part in it. Nearly all of the time of such a process is imports, so they are done once: in a *template*
process, which then forks for each reading (`template_process.py`). It is started by the first reading, so it
costs nothing where nothing is reloaded, and it ends by itself after `IDLE_S` without one.

A template is replaced, and the reading done by another, if

- the environment or the import path of this process has changed since, which modules may depend on;
- it says that packages were installed, upgraded or removed since it imported them;
- it has ended: it was idle, or somebody killed it, before a reading or during one.

Only a template that was started for a reading reads whatever it finds. If that one ends there is something wrong with
the code or the system, and `run` returns its status instead of an answer.

*Cancellation.* A reading that nobody waits for any more is killed by its parent, the template, as soon as this process
closes the socket for its state. `run` waits for that, but for `KILL_S` at most.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from array import array
from collections.abc import Mapping
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import trio
from attrs import define, field, frozen

from voicepipe.nurseries import open_hidden_nursery
from voicepipe.pipelines.template_process import ANYWAY, BEGUN, IF_FRESH

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

_PROGRAM = """
import os
os.nice(10)
try:
    open("/proc/self/autogroup", "w").write("10")
except OSError:
    pass
from voicepipe.pipelines.template_process import main
main()
"""
# A low priority from the first import on: it runs when calls leave time. Not the lowest: beside another program that
# keeps the processors busy, a reload would take half a minute at 19, and takes a few seconds at 10. Where Linux shares
# the processor among sessions first (sched(7), autogroups), it is the helper's own session that has to be nice.
# Not `-m`: what it pickles would be of a module `__main__`, which is another one here.
TEMPLATE = (sys.executable, "-P", "-c", _PROGRAM)

IDLE_S = 300.0
"""The time after which a template ends if nothing is read, in s: it holds some 30 MB."""

KILL_S = 5.0
"""The longest wait for the end of a reading or a template that is killed, in s: it may hang in the kernel."""

_TRIES = 4
"""The most templates that a reading tries: others may be replaced under it."""


@frozen
class ReadingResult:
    """The result of a reading."""

    data: bytes
    """The output of the reading; empty if there was none."""
    status: int
    """The exit status of the reading, or of the template that ended before it; negative: the signal that killed it."""


@frozen
class _Surroundings:
    """What this process gives to a template when it starts."""

    command: tuple[str, ...]
    environ: Mapping[str, str]
    path: tuple[str, ...]


@define(eq=False)
class _TemplateProcess:
    """A template process."""

    surroundings: _Surroundings
    process: trio.Process
    requests: trio.socket.SocketType
    ended: trio.Event = field(factory=trio.Event)
    readings: int = 0
    is_idle: trio.Event = field(factory=trio.Event)
    """Set when the last of the readings has ended."""

    async def fork(self, request: bytes, ask: bytes) -> ReadingResult | None:
        """Returns what a reading answers; None if there is no reading, or the template ended during it."""
        self.readings += 1
        try:
            return await self._fork(request, ask)
        finally:
            self.readings -= 1
            if not self.readings:
                self.is_idle.set()
                self.is_idle = trio.Event()

    async def _fork(self, request: bytes, ask: bytes) -> ReadingResult | None:
        connection, their_connection = socket.socketpair()
        state, their_state = (
            trio.socket.from_stdlib_socket(one) for one in socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        )
        with state, trio.socket.from_stdlib_socket(connection) as ours:
            with their_connection, their_state:
                rights = array("i", (their_connection.fileno(), their_state.fileno()))
                try:
                    await self.requests.sendmsg([ask], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
                except (OSError, trio.ClosedResourceError):
                    return None
            if await _received(state) != BEGUN:
                return None
            data, status, has_ended = b"", b"", False

            async def wait_end(scope: trio.CancelScope) -> None:
                nonlocal status
                status = await _received(state)
                if not status:  # the reading may go on, with nobody to end it
                    scope.cancel()

            try:
                async with open_hidden_nursery() as nursery:
                    nursery.start_soon(wait_end, nursery.cancel_scope)
                    data = await _exchange(trio.SocketStream(ours), request)
                has_ended = True
            finally:
                if not has_ended:  # cancelled
                    with trio.CancelScope(shield=True, deadline=trio.current_time() + KILL_S):
                        state.shutdown(socket.SHUT_WR)
                        await _received(state)
            return ReadingResult(data, int(status)) if status else None


class ReadingTemplate:
    """The present template process, which is started when a reading needs it.

    Args:
        nursery: runs the task that waits for its end; cancelling it ends the process.

    """

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._starting = trio.Lock()
        self._template: _TemplateProcess | None = None

    @property
    def pid(self) -> int | None:
        """The id of the present process; None: there is none."""
        return None if self._template is None else self._template.process.pid

    async def run(self, request: bytes, directory: Path) -> ReadingResult:
        """Returns the answer of a process that reads; if cancelled, the process is killed.

        Args:
            request: the pickled `ReadRequest`.
            directory: the working directory, for relative entries of the import path.

        Raises:
            OSError: no process can be started.

        """
        surroundings = _Surroundings(TEMPLATE, dict(os.environ), tuple(str(directory / path) for path in sys.path))
        for tries_left in reversed(range(_TRIES)):
            template, is_new = await self._present(surroundings)
            answer = await template.fork(request, ANYWAY if is_new or not tries_left else IF_FRESH)
            if answer is not None:
                return answer
            self._discard(template)
            if is_new:
                break
        await template.ended.wait()
        return ReadingResult(b"", template.process.returncode or 0)

    async def _present(self, surroundings: _Surroundings) -> tuple[_TemplateProcess, bool]:
        """Returns the template, and whether it was started for this."""
        async with self._starting:
            if self._template is not None and self._template.surroundings != surroundings:
                self._discard(self._template)
            if self._template is not None:
                return self._template, False
            started: _TemplateProcess = await self._nursery.start(self._keep, surroundings)
            self._template = started
            return started, True

    def _discard(self, template: _TemplateProcess) -> None:
        """Sends no more requests to a template; it ends after the readings that it has begun."""
        template.requests.close()
        if self._template is template:
            self._template = None

    async def _keep(self, surroundings: _Surroundings, task_status: trio.TaskStatus[_TemplateProcess]) -> None:
        """Runs a template until it ends."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with trio.socket.from_stdlib_socket(ours) as requests:
            with theirs:
                process = await trio.lowlevel.open_process(
                    [*surroundings.command, str(theirs.fileno()), str(IDLE_S)],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,  # a traceback may quote a secret
                    start_new_session=True,  # a Ctrl-C at the terminal is not for it
                    env={**surroundings.environ, "PYTHONPATH": os.pathsep.join(surroundings.path)},
                    cwd="/",  # ours may have been removed, and Python does not start in a removed directory
                )
            template = _TemplateProcess(surroundings, process, requests)
            try:
                task_status.started(template)
                await process.wait()
            finally:
                self._discard(template)
                with trio.CancelScope(shield=True):
                    with trio.move_on_after(KILL_S):
                        if template.readings:  # it has to kill them
                            await template.is_idle.wait()
                    process.kill()
                    await process.wait()
                template.ended.set()


@asynccontextmanager
async def open_reading_template() -> AsyncIterator[ReadingTemplate]:
    """Gives a template of its own to a program that has no runtime; leaving the context ends its process."""
    async with open_hidden_nursery() as nursery:
        yield ReadingTemplate(nursery)
        nursery.cancel_scope.cancel()


async def _exchange(stream: trio.SocketStream, request: bytes) -> bytes:
    """Sends a request, and returns all that is answered."""
    answered = bytearray()
    with suppress(trio.BrokenResourceError):  # the process has ended, and its status says more
        await stream.send_all(request)
        await stream.send_eof()
    with suppress(trio.BrokenResourceError):
        async for data in stream:
            answered += data
    return bytes(answered)


async def _received(state: trio.socket.SocketType) -> bytes:
    """Returns the next message; nothing if the template has gone."""
    try:
        return await state.recv(64)
    except OSError:
        return b""
