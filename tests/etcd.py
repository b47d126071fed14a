"""An etcd of the tests' own on loopback; one for all tests of a process, each with a prefix of its own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from patience import LONG_S


class EtcdServer:
    """A server in a directory; it can be stopped, paused and started again.

    Args:
        directory: an empty one.
        program: where etcd is.
        arguments: further ones.

    """

    def __init__(self, directory: Path, program: str, *arguments: str, scheme: str = "http") -> None:
        self._directory, self._program, self._arguments = directory, program, arguments
        with socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", 0))
            two.bind(("127.0.0.1", 0))
            self._port, peer = one.getsockname()[1], two.getsockname()[1]
        self.url = f"{scheme}://127.0.0.1:{self._port}"
        self._peer = f"http://127.0.0.1:{peer}"
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        """Starts it; `wait` returns once it answers."""
        arguments = {
            "data-dir": self._directory / "data",
            "listen-client-urls": self.url,
            "advertise-client-urls": self.url,
            "listen-peer-urls": self._peer,
            "initial-advertise-peer-urls": self._peer,
            "initial-cluster": f"default={self._peer}",
            "logger": "zap",
            "log-outputs": self._directory / "log",
            "unsafe-no-fsync": "true",
        }
        del arguments["unsafe-no-fsync"]  # of 3.5
        command = [self._program, *(f"--{name}={value}" for name, value in arguments.items()), *self._arguments]
        environ = {"PATH": os.environ["PATH"], "GOMAXPROCS": "1"}
        self._process = subprocess.Popen(
            command, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def wait(self) -> None:
        """Returns once it answers."""
        until = time.monotonic() + LONG_S
        while True:
            try:
                if httpx.get(f"{self.url}/health", trust_env=False, verify=False).json()["health"] == "true":
                    return
            except (httpx.HTTPError, ValueError, KeyError):
                pass
            assert self._process is not None
            assert self._process.poll() is None, (self._directory / "log").read_text()[-2000:]
            assert time.monotonic() < until
            time.sleep(0.02)

    def pause(self) -> None:
        """Has it stand still, with its connections open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Ends the pause."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Ends it at once; its data stay."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def open_etcd_server(*arguments: str, scheme: str = "http"):
    """A server of its own, for a test that stops it; skips the test if etcd is not installed."""
    program = shutil.which("etcd")
    if program is None:
        pytest.skip("etcd is not installed: apt install etcd-server")
    with tempfile.TemporaryDirectory(prefix="etcd-", ignore_cleanup_errors=True) as directory:
        server = EtcdServer(Path(directory), program, *arguments, scheme=scheme)
        server.start()
        try:
            server.wait()
            yield server
        finally:
            server.kill()
