"""Runs in the process of which each reading of a configuration is a fork.

Theory of operation
===================

A reading takes a process of its own, so that what adapters leave behind, or break, ends with it. Most of the time of
such a process would be imports. So this process, the *template*, imports what readings need, and forks for each one.
It never reads a file for anybody itself: what it holds is code, with what imports make of it, and no setting or secret.

*Requests* come over a socket, with two descriptors each: of a connection to the reading, and of a socket for its state.
The template answers `begun` on the latter, and the reading's exit status when it has ended; a reading that was killed
has a negative one. If the other end is closed, the template kills the reading, with all processes that it has started.
Only a parent can do that safely: until it has waited for a process, nobody else gets its number.

*Freshness.* Packages may be installed or upgraded meanwhile. Where a request asks for that (`IF_FRESH`), the template
compares the files of all modules that it has loaded, and the metadata of all packages, with what they were when it
imported them. If something differs it answers `stale`, and its parent starts another one. `voicepipe`'s own code is
compared in each reading, by its contents: see `fingerprint`.

*Threads.* A fork has one thread only, and locks that others held stay locked in it. If a module has started a thread on
import, a reading is a process that imports everything anew (`posix_spawn`).

*The end.* The template ends when it has been idle for as long as its parent said, or when its parent is gone or has
closed the socket, after the last reading. A reading that is left alone, because the template was killed, ends after
`ALONE_S`.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from voicepipe.config.fingerprint import ImportedCode, code_on_disk

if TYPE_CHECKING:
    from types import FrameType

IF_FRESH, ANYWAY = b"if fresh", b"anyway"
"""Requests: the latter is for a template that has just been started."""

BEGUN, STALE = b"begun", b"stale"
"""Answers; a status follows the former."""

ALONE_S = 600
"""The longest life of a reading, in s: more than any parent waits for it."""

_EXAMPLE = b"""\
pipelines:
  default:
    stt: none
    llm: {type: none, model: "${MODEL}"}
    tts: none
    prompt: You are {caller}'s agent.
    turns: {end_of_turn_ms: 500}
routes: [{when: {called: "+1800*"}, pipeline: default}]
logging: {level: INFO}
"""


@frozen
class _RunningReading:
    """A reading that goes on."""

    pid: int
    """Its process, and its process group."""
    state: socket.socket
    """Where its state goes."""


def main() -> None:
    """Serves requests from the socket whose descriptor is the first argument; the second is the idle time in s."""
    code = code_on_disk()  # before anything is imported that may be replaced meanwhile
    _prepare()
    connection = _ForkServer(socket.socket(fileno=int(sys.argv[1])), float(sys.argv[2])).serve()
    if connection is not None:
        _answer(connection, code)


def read_once() -> None:
    """Answers one request, over the connection whose descriptor is the first argument: a reading that is no fork."""
    code = code_on_disk()
    _answer(socket.socket(fileno=int(sys.argv[1])), code)


def _answer(connection: socket.socket, code: str) -> None:
    """Reads what is asked over a connection, and ends the process."""
    from voicepipe.config import reading_helper  # noqa: PLC0415

    signal.alarm(ALONE_S)
    with connection.makefile("rb") as asked:
        reading_helper.main(asked, connection.sendall, code)
    with suppress(OSError):  # a process that an adapter has started may have it too
        connection.shutdown(socket.SHUT_RDWR)
    os._exit(0)  # an adapter may have left threads behind, which would keep the process


def _prepare() -> None:
    """Imports what readings need, and fills the caches that all of them would fill."""
    from voicepipe.components.registry import installed  # noqa: PLC0415
    from voicepipe.config.fingerprint import adapters_on_disk  # noqa: PLC0415
    from voicepipe.config.reading_helper import ReadRequest, answer  # noqa: PLC0415

    adapters_on_disk(installed())
    example = Path("/example.yaml")
    answer(ReadRequest(example, {}, contents={example: _EXAMPLE}, directory=Path("/")))
    gc.freeze()  # a collection in a fork would write to the head of each object, and so copy all memory


class _ForkServer:
    """Forks for each request, in a process of one thread."""

    def __init__(self, requests: socket.socket, idle_s: float) -> None:
        os.set_inheritable(requests.fileno(), False)
        self._requests, self._idle_s = requests, idle_s
        self._open = True
        self._imported = ImportedCode()
        self._can_fork = len(list(Path("/proc/self/task").iterdir())) == 1
        self._running: dict[int, _RunningReading] = {}  # by the descriptor of its state
        self._woken, self._wake = socket.socketpair()  # readable when a reading has ended
        for end in (self._woken, self._wake):
            end.setblocking(False)
        signal.signal(signal.SIGCHLD, _nothing)
        signal.set_wakeup_fd(self._wake.fileno())
        self._poll = select.poll()
        self._poll.register(requests, select.POLLIN)
        self._poll.register(self._woken, select.POLLIN)

    def serve(self) -> socket.socket | None:
        """Returns the connection in a fork, and None at the end of the template."""
        while self._open or self._running:
            ready = self._poll.poll(None if self._running else self._idle_s * 1000)
            if not ready:
                break
            for descriptor, _ in ready:
                if descriptor == self._woken.fileno():
                    with suppress(BlockingIOError):
                        self._woken.recv(1024)
                elif descriptor in self._running:
                    self._kill(descriptor)
                elif (connection := self._take_request()) is not None:
                    return connection
            self._reap()
        return None

    def _take_request(self) -> socket.socket | None:
        asked, descriptors, _, _ = socket.recv_fds(self._requests, 64, 2, socket.MSG_CMSG_CLOEXEC)
        if not asked:
            self._open = False
            self._poll.unregister(self._requests)
            return None
        connection, state = (socket.socket(fileno=descriptor) for descriptor in descriptors)
        if asked == IF_FRESH and not self._imported.is_fresh():
            pid = None
        else:
            pid = self._begin(connection)
            if pid == 0:
                state.close()
                return connection
        connection.close()
        _tell(state, STALE if pid is None else BEGUN)
        if pid is None:
            state.close()
        else:
            self._running[state.fileno()] = _RunningReading(pid, state)
            self._poll.register(state, select.POLLIN)
        return None

    def _begin(self, connection: socket.socket) -> int | None:
        """Returns the process of a reading, 0 in that process; None if the system grants none."""
        try:
            pid = os.fork() if self._can_fork else _spawn(connection)
        except OSError:
            return None
        if pid:
            with suppress(OSError):  # it has ended, or has done so itself
                os.setpgid(pid, pid)
            return pid
        for reading in self._running.values():
            reading.state.close()
        for other in (self._requests, self._woken, self._wake):
            other.close()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        with suppress(OSError):  # its parent has done so
            os.setpgid(0, 0)
        return 0

    def _kill(self, descriptor: int) -> None:
        """Kills a reading that nobody waits for."""
        self._poll.unregister(descriptor)  # it is closed when the reading has ended
        with suppress(ProcessLookupError):
            os.killpg(self._running[descriptor].pid, signal.SIGKILL)

    def _reap(self) -> None:
        """Tells how readings have ended."""
        for descriptor, reading in list(self._running.items()):
            pid, status = os.waitpid(reading.pid, os.WNOHANG)
            if pid:
                del self._running[descriptor]
                with suppress(KeyError):  # it was killed
                    self._poll.unregister(descriptor)
                _tell(reading.state, b"%d" % os.waitstatus_to_exitcode(status))
                reading.state.close()


def _spawn(connection: socket.socket) -> int:
    """Returns the process of a reading that imports everything anew."""
    os.set_inheritable(connection.fileno(), True)
    program = "from voicepipe.pipelines.template_process import read_once; read_once()"
    command = [sys.executable, "-P", "-c", program, str(connection.fileno())]
    return os.posix_spawn(sys.executable, command, os.environ, setpgroup=0)


def _tell(state: socket.socket, what: bytes) -> None:
    with suppress(OSError):  # nobody listens any more
        state.send(what, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """Handles SIGCHLD, so that it wakes the loop."""
