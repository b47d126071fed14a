"""`reference-engine` as forks of one process that has imported it: a start costs a tenth of what imports take.

Hundreds of tests need an engine, or ask one by a command, and few of them are about how a process starts. Each program
is still a process of its own: with its arguments, directory, environment, descriptors, process number and end, from the
first line of `main` on. What is about the start itself, its imports and the signals meanwhile, begins afresh:
`engine_process.open_engine(fresh=True)`.

Run as a program, this file is the process that is forked. It is sent what to start over a socket, and ends when that is
closed. It has one thread, and descriptors of its own that no fork keeps.
"""

from __future__ import annotations

import atexit
import json
import os
import random
import select
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

import trio

CAN_FORK = hasattr(os, "pidfd_open") and hasattr(signal, "pidfd_send_signal")
"""Whether this system can: elsewhere than on Linux each program begins afresh."""

MOST_BYTES = 1 << 20
"""How much arguments and an environment may be."""


class ForkedProcess:
    """A program that runs, with what tests use of `trio.Process`."""

    def __init__(self, pid: int, pidfd: int, status: trio.SocketStream) -> None:
        self.pid = pid
        self.returncode: int | None = None
        """Its exit status, negative if a signal ended it; None: nobody has waited for its end."""
        self.stderr: trio.lowlevel.FdStream | None = None
        """What it writes to stderr, where that is read."""
        self._pidfd, self._status, self._waiting = pidfd, status, trio.Lock()

    def send_signal(self, number: int) -> None:
        """Sends a signal, if it has not ended."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    async def wait(self) -> int:
        """Returns its exit status when it has ended."""
        async with self._waiting:
            if self.returncode is None:
                self.returncode = int(await self._status.receive_some())
        return self.returncode

    async def aclose(self) -> None:
        """Lets go of it; it has to have ended."""
        os.close(self._pidfd)
        await self._status.aclose()


async def fork_program(arguments: list[str], *, cwd: Path, stdout: int, stderr: int) -> ForkedProcess:
    """Starts `reference-engine` with some arguments, in a directory and with descriptors; its stdin is empty."""
    ours, theirs = socket.socketpair()
    with theirs:
        told = json.dumps({"argv": arguments, "cwd": str(cwd), "environ": dict(os.environ)}).encode()
        socket.send_fds(_server(), [told], [stdout, stderr, theirs.fileno()])
    with trio.CancelScope(shield=True):  # else nobody would know of a process that has begun
        await trio.lowlevel.wait_readable(ours)
    pid, (pidfd,), _, _ = socket.recv_fds(ours, 32, 1)
    return ForkedProcess(int(pid), pidfd, trio.SocketStream(trio.socket.from_stdlib_socket(ours)))


@cache
def _server() -> socket.socket:
    """The socket of the process that is forked, which runs as long as this one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        command = [sys.executable, str(Path(__file__)), str(theirs.fileno())]
        subprocess.run(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, check=True)
    atexit.register(ours.close)
    return ours


def serve(requests: socket.socket) -> dict[str, object] | None:
    """Forks for each request. Returns the request in the fork, and None where the requests have ended."""
    running: dict[int, tuple[int, socket.socket]] = {}  # process number and where its status goes, by pidfd
    poll = select.poll()
    poll.register(requests, select.POLLIN)
    while True:
        for readable, _ in poll.poll():
            if readable != requests.fileno():
                pid, status = running.pop(readable)
                poll.unregister(readable)
                os.close(readable)
                with status:
                    status.send(str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())
                continue
            told, descriptors, _, _ = socket.recv_fds(requests, MOST_BYTES, 3)
            if not told:
                return None
            stdout, stderr, status_fd = descriptors
            status = socket.socket(fileno=status_fd)
            if (pid := os.fork()) == 0:
                for pidfd, (_, other) in running.items():
                    os.close(pidfd)
                    other.close()
                requests.close()
                status.close()
                for descriptor, number in ((os.open(os.devnull, os.O_RDONLY), 0), (stdout, 1), (stderr, 2)):
                    os.dup2(descriptor, number)
                    os.close(descriptor)
                return json.loads(told)
            os.close(stdout)
            os.close(stderr)
            pidfd = os.pidfd_open(pid)
            socket.send_fds(status, [str(pid).encode()], [pidfd])
            running[pidfd] = pid, status
            poll.register(pidfd, select.POLLIN)


def main() -> None:
    """Imports what engines and commands import, and becomes what is asked for.

    It is nobody's child: adapters' tests look whether their process has any.
    """
    if os.fork():
        os._exit(0)

    import reference_engine.cli  # noqa: PLC0415
    import reference_engine.commands.parser  # noqa: PLC0415
    import reference_engine.control.client  # noqa: PLC0415
    import reference_engine.records.completing  # noqa: PLC0415
    import reference_engine.records.writing  # noqa: PLC0415
    import reference_engine.reports.printing  # noqa: PLC0415
    import reference_engine.settings.checking  # noqa: PLC0415
    import reference_engine.starting  # noqa: PLC0415
    import voicepipe  # noqa: PLC0415

    voicepipe.installed()
    told = serve(socket.socket(fileno=int(sys.argv[1])))
    if told is None:
        return
    os.chdir(told["cwd"])
    os.environ.clear()
    os.environ.update(told["environ"])
    if not sys.flags.safe_path:
        sys.path[0] = told["cwd"]  # as for `python -m`
    sys.argv = ["reference-engine", *told["argv"]]
    random.seed()
    sys.exit(reference_engine.cli.main())


if __name__ == "__main__":
    main()
