"""What the mutants leave behind, so that the tests can clean up after them."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from contextlib import contextmanager

_over = threading.Event()
_threads, _sockets, _processes = [], [], []


@contextmanager
def cleaned_up():
    """Ends whatever was left in the block."""
    _over.clear()
    try:
        yield
    finally:
        _over.set()
        for thread in _threads:
            thread.join()
        for one in _sockets:
            one.close()
        for process in _processes:
            process.kill()
            process.wait()
        for left in (_threads, _sockets, _processes):
            left.clear()


def leave_a_socket():
    _sockets.append(socket.socket())
    return _sockets[-1]


def leave_a_thread():
    _threads.append(threading.Thread(target=_over.wait))
    _threads[-1].start()


def leave_a_process():
    _processes.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]))


def block():
    """As a library does that waits for ever."""
    _over.wait()
