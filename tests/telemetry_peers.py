"""HTTP servers in threads, for webhooks and for spans, and a log."""

from __future__ import annotations

import gzip
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Empty, Queue
from threading import Event, Thread
from time import monotonic, sleep

from patience import LONG_S


class Log(list):
    """Keeps each record as level, name and fields."""

    def __getattr__(self, level):
        return lambda name, **fields: self.append((level, name, fields))

    def names(self):
        return [name for _, name, _ in self]


def until(condition):
    """Waits for what another thread does."""
    limit = monotonic() + LONG_S
    while not condition():
        assert monotonic() < limit, "it never came"
        sleep(0.01)


class Received:
    """The requests that a server gets, and its answers."""

    def __init__(self, port):
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.requests: Queue[tuple[str, dict[str, str], bytes]] = Queue()
        self.status, self.headers = 200, {}
        self.may_answer = Event()
        self.may_answer.set()

    def next(self):
        """The next request: its path, headers by lower-case name, and body."""
        return self.requests.get(timeout=LONG_S)

    def rest(self):
        found = []
        while True:
            try:
                found.append(self.requests.get_nowait())
            except Empty:
                return found


@contextmanager
def open_receiver(port=0):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            headers = {name.lower(): value for name, value in self.headers.items()}
            received.requests.put((self.path, headers, body))
            received.may_answer.wait(LONG_S)
            self.send_response(received.status)
            for name, value in {"content-length": "0", **received.headers}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    received = Received(server.server_address[1])
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield received
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
