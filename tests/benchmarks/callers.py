"""Many callers at once, from one process that does nothing else: `python callers.py PORT --calls 50 ...`.

Each caller sends a frame every 20 ms on an absolute clock, speaks a second in ten, and notes when each frame of
each reply comes. Prints one JSON object. It has no event loop and no library in it, so that it is never the one
that is late.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import select
import socket
import sys
import time
import wave
from argparse import ArgumentParser
from array import array
from pathlib import Path
from uuid import uuid4

FRAME_S = 0.02
AUDIO = b"\x10\x01\x40"
FRAME_BYTES = 3 + 320
HANGUP = b"\0\0\0"
CYCLE = 500
"""Frames in which a caller speaks once, for `SPOKEN` of them: 1 s in 10."""
SPOKEN = 50
REPLY_FRAMES = 400
LEAD_FRAMES = 2
"""Frames that playout writes at once when a reply begins, before it keeps to its schedule."""
MIN_SPEECH_FRAMES = 8
"""How many frames a caller must have spoken to interrupt: `min_speech_ms` is 160."""
AT_ONCE = 20
"""Calls that are set up at the same time."""
MOST_S = 60
"""For how long replies are waited for."""
COARSE_S, FINE_S = 0.002, 0.0002
clock = time.perf_counter


def voiced():
    """20 ms that voice activity detection takes for a vowel: a buzz of 160 Hz and its harmonics."""
    samples = (
        sum(math.sin(2 * math.pi * 160 * harmonic * n / 8000) / harmonic for harmonic in range(1, 20))
        for n in range(160)
    )
    return array("h", (int(4000 * sample) for sample in samples)).tobytes()


LOUD = AUDIO + voiced()
QUIET = AUDIO + array("h", (20, -20) * 80).tobytes()
SAID = [LOUD] * SPOKEN + [QUIET] * (CYCLE - SPOKEN)


def recorded(file):
    """The same cycle with a recording of somebody who speaks, 16-bit at 8 kHz."""
    with wave.open(str(file)) as speech:
        pcm = speech.readframes(160 * SPOKEN)
    frames = [AUDIO + pcm[at : at + 320].ljust(320, b"\0") for at in range(0, len(pcm), 320)]
    return frames + [QUIET] * (CYCLE - len(frames))


class Server:
    """What /proc says of the process under measurement."""

    def __init__(self, pid):
        self._process = Path("/proc", str(pid))

    def cpu_s(self):
        """CPU seconds so far, by part: the thread that holds the calls, all others, and each kind of helper process."""
        calls = int((self._process / "schedstat").read_text().split()[0]) / 1e9
        parts = {"calls": calls, "threads": _process_s(self._process.name) - calls}
        for child in (child for task in self._tasks(self._process) for child in _words(task / "children")):
            helper = Path("/proc", child)
            # Whose script it runs: that of `vosk`, or `espeak`.
            kind = next(
                (Path(word).parent.name for word in _words(helper / "cmdline", "\0") if word.endswith(".py")), "others"
            )
            parts[kind] = parts.get(kind, 0.0) + _process_s(child)
        return parts

    def _tasks(self, process):
        try:
            return list((process / "task").iterdir())
        except OSError:  # it has ended
            return []

    def rss_kb(self):
        return int(_words(self._process / "statm")[1]) * os.sysconf("SC_PAGE_SIZE") / 1024


def _process_s(pid):
    """CPU seconds of a process so far, those of threads that have ended among them."""
    try:
        return time.clock_gettime(~int(pid) << 3 | 2)  # what clock_getcpuclockid(3) gives for a process
    except OSError:  # it has ended
        return 0.0


def _words(path, separator=None):
    try:
        return path.read_text().split(separator)
    except OSError:  # it has ended
        return []


def connected(port):
    """A call that is up, over AudioSocket."""
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(b"\x01\0\x10" + uuid4().bytes)
    return connection


class Caller:
    __slots__ = ("arrivals", "barged_at", "echoed", "first", "number", "offset", "rest", "sent", "silent_at", "socket")

    def __init__(self, connection, number, calls):
        self.number = number
        self.offset = number * CYCLE // calls
        self.socket = connection
        self.socket.setblocking(False)
        self.rest = b""
        self.sent = 0
        self.echoed = 0
        self.arrivals = []  # of the reply that is on: (which frame, when)
        self.first = 0.0  # when the first frame is due
        self.silent_at = 0.0  # when the last spoken frame was due
        self.barged_at = 0.0  # when the first frame of a barge-in was due


class Callers:
    """The calls, and what comes of them."""

    caller, connected, framed = Caller, staticmethod(connected), staticmethod(bytes)

    def __init__(self, port, calls, *, echo=False, silent=False, speech=None):
        self.echo, self.silent = echo, silent
        messages = SAID if speech is None else recorded(speech)
        framed = {message: self.framed(message) for message in {LOUD, QUIET, *messages}}
        self.said, self.loud = [framed[message] for message in messages], framed[LOUD]
        self.numbered = speech is None  # whether the frames of a reply tell which they are
        self.all = [self.caller(self.connected(port), number, calls) for number in range(calls)]
        self.epoll = select.epoll()
        self.by_fd = {}
        for caller in self.all:
            self.epoll.register(caller.socket, select.EPOLLIN)
            self.by_fd[caller.socket.fileno()] = caller
        self.began = clock() + 0.1
        self.rounds = 0
        self.measuring = False
        self.measured = 0.0, 0.0  # when that was
        self.late_ms, self.own_late_ms, self.response_ms = [], [], []
        self.barge_in_ms, self.loud_ms = [], []
        self.faults, self.frames = [], 0

    def run(self, seconds):
        """So many seconds of calls; each caller has its own moment within 20 ms."""
        step = FRAME_S / len(self.all)
        for _ in range(round(seconds / FRAME_S)):
            due = self.began + self.rounds * FRAME_S
            self.rounds += 1
            for caller in self.all:
                due += step
                while (now := clock()) < due:
                    self.wait(due - now)
                self.send(caller, due, now)
            self.receive(0)

    def wait(self, seconds):
        """Receives for so long; epoll waits for whole milliseconds only, so what is shorter is slept in pieces."""
        if seconds >= COARSE_S:
            self.receive(seconds - COARSE_S)
        else:
            time.sleep(min(seconds, FINE_S))
            self.receive(0)

    def send(self, caller, due, now):
        if not self.silent:
            place = (caller.sent + caller.offset) % CYCLE
            message = self.said[place]
            if caller.barged_at:
                message = self.loud
            elif place == SPOKEN - 1:
                caller.silent_at = due
            try:
                caller.socket.send(message)
            except OSError as error:
                self.faults.append(f"call {caller.number}: {error!r}")
        if not caller.sent:
            caller.first = due
        caller.sent += 1
        if self.measuring:
            self.own_late_ms.append((now - due) * 1000)

    def receive(self, within):
        for fd, _ in self.epoll.poll(within):
            caller = self.by_fd[fd]
            try:
                data = caller.socket.recv(65536)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            if not data:
                self.epoll.unregister(fd)
                self.faults.append(f"call {caller.number} was dropped")
                continue
            self.take(caller, caller.rest + data if caller.rest else data, clock())

    def take(self, caller, data, now):
        at, size = 0, len(data)
        while size - at >= FRAME_BYTES:
            if data[at] != 0x10:
                self.faults.append(f"call {caller.number} got a frame of kind {data[at]}")
                return
            if self.echo:
                if self.measuring:
                    self.late_ms.append((now - caller.first - caller.echoed * FRAME_S) * 1000)
                caller.echoed += 1
            elif sample := data[at + 3] | data[at + 4] << 8:  # else silence that keeps the connection up
                self.hear(caller, sample - 1000, now)
            at += FRAME_BYTES
        caller.rest = data[at:]

    def hear(self, caller, frame, now):
        """A frame of a reply; the sample tells which."""
        self.frames += 1
        if not self.numbered:
            return
        if frame == 0:
            self.reply_over(caller)
            if caller.silent_at:
                if self.measuring:
                    self.response_ms.append((now - caller.silent_at) * 1000)
                caller.silent_at = 0.0
        elif caller.arrivals and caller.arrivals[-1][0] != frame - 1:
            before = caller.arrivals[-1][0]
            self.faults.append(f"call {caller.number}: frame {frame} after {before}")
        caller.arrivals.append((frame, now))

    def reply_over(self, caller):
        """How late its frames came: against the schedule that nine of ten keep or exceed."""
        if self.measuring and len(caller.arrivals) > 10 * LEAD_FRAMES:
            offsets = sorted(when - frame * FRAME_S for frame, when in caller.arrivals[LEAD_FRAMES:])
            on_time = offsets[len(offsets) // 10]
            self.late_ms += [max(0.0, offset - on_time) * 1000 for offset in offsets]
        caller.arrivals = []

    def measure(self, seconds, server, replies=0):
        """CPU seconds of the server per call-minute, and everything else that is noted meanwhile.

        It goes on until so many replies were heard, for a minute at most.
        """
        self.measuring = True
        before, began = server.cpu_s(), clock()
        self.run(seconds)
        while len(self.response_ms) < replies and clock() - began < MOST_S:
            self.run(0.1)
        used = {part: after - before.get(part, 0.0) for part, after in server.cpu_s().items()}
        took = clock() - began
        self.measured = began, began + took
        for caller in self.all:
            self.reply_over(caller)
        self.measuring = False
        call_minutes = len(self.all) * took / 60
        return {part: cpu_s / call_minutes for part, cpu_s in used.items()}, sum(used.values()) / took

    def barge_in(self):
        """All who are being spoken to speak; when the last frame comes, in ms.

        Counted from the first loud frame, and from the one with which they have spoken long enough to interrupt.
        """
        for caller in self.all:
            caller.arrivals = []
        self.run(1.5)
        for caller in self.all:
            if 50 < self.heard_frame(caller) < REPLY_FRAMES - 50:
                caller.barged_at = caller.first + caller.sent * FRAME_S
        self.run(0.6)
        for caller in self.all:
            if caller.barged_at:
                last = self.fell_silent_at(caller)
                self.loud_ms.append((last - caller.barged_at) * 1000)
                self.barge_in_ms.append((last - caller.barged_at - (MIN_SPEECH_FRAMES - 1) * FRAME_S) * 1000)

    def heard_frame(self, caller):
        """Which frame of a reply a caller hears now; 0 if none."""
        frame, when = caller.arrivals[-1] if caller.arrivals else (0, 0.0)
        return frame if clock() - when < 0.1 else 0

    def fell_silent_at(self, caller):
        """When the last frame came."""
        return caller.arrivals[-1][1]


def percentile(values, share):
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 3) if ordered else None


def hold(arguments, kind):
    """Calls for so long, with everything that is measured of them."""
    server = Server(arguments.pid)
    base_kb = server.rss_kb()
    callers = kind(arguments.port, arguments.calls, echo=arguments.echo, speech=arguments.speech)
    callers.run(arguments.warm_up)
    by_part, load = callers.measure(arguments.seconds, server, arguments.replies)
    active_kb = (server.rss_kb() - base_kb) / arguments.calls
    if not (arguments.echo or arguments.speech or arguments.polite):
        callers.barge_in()
    return {
        "cpu_s_per_call_min": sum(by_part.values()),
        "cpu_by_part": by_part,
        "load": load,
        "late_p50_ms": percentile(callers.late_ms, 0.5),
        "late_p99_ms": percentile(callers.late_ms, 0.99),
        "late_p999_ms": percentile(callers.late_ms, 0.999),
        "caller_response_p50_ms": percentile(callers.response_ms, 0.5),
        "caller_response_p99_ms": percentile(callers.response_ms, 0.99),
        "barge_in_p50_ms": percentile(callers.barge_in_ms, 0.5),
        "barge_in_p99_ms": percentile(callers.barge_in_ms, 0.99),
        "loud_to_silent_p50_ms": percentile(callers.loud_ms, 0.5),
        "loud_to_silent_p99_ms": percentile(callers.loud_ms, 0.99),
        "kb_per_active_call": active_kb,
        "callers_late_p99_ms": percentile(callers.own_late_ms, 0.99),
        "frames": callers.frames,
        "replies": len(callers.response_ms),
        "measured": dict(zip(("began", "ended"), callers.measured, strict=True)),
        "faults": callers.faults[:20],
    }


def idle(arguments, kind):
    """Memory of calls in which nothing has happened yet, and the CPU time of those in which nobody speaks."""
    server = Server(arguments.pid)
    base_kb = server.rss_kb()
    callers = kind(arguments.port, arguments.calls, echo=False, silent=True)
    for caller in callers.all:
        caller.socket.send(callers.framed(QUIET))
    callers.run(2.0)
    idle_kb = (server.rss_kb() - base_kb) / arguments.calls
    callers.silent, callers.said = (
        False,
        [callers.framed(QUIET)] * CYCLE,
    )  # as Asterisk sends it while a caller is silent
    callers.run(1.0)
    by_part, _load = callers.measure(arguments.seconds, server)
    used = sum(by_part.values())
    return {"kb_per_idle_call": idle_kb, "cpu_s_per_idle_call_min": used, "faults": callers.faults[:20]}


def set_up(arguments, kind):
    """How many calls a second are answered, `AT_ONCE` at a time: from connecting to the first audio of the greeting.

    With `--listening` a call is set up when it listens too: that file counts recognisers' connections, from which on
    all calls stay up until the last is.
    """
    epoll, waiting, began, done, started = select.epoll(), {}, clock(), 0, 0
    listening = Listening(arguments.listening) if arguments.listening else None
    answered = []
    while done < arguments.calls:
        while started - done < AT_ONCE and started < arguments.calls:
            connection = kind.connected(arguments.port)
            connection.sendall(kind.framed(QUIET))
            epoll.register(connection, select.EPOLLIN)
            waiting[connection.fileno()] = connection
            started += 1
        for fd, _ in epoll.poll(None if listening is None else COARSE_S):
            connection = waiting.pop(fd)
            if not connection.recv(65536):
                raise SystemExit("a call was dropped")
            epoll.unregister(fd)
            answered.append(connection)
            if listening is None:
                connection.close()
        done = len(answered) if listening is None else min(len(answered), listening.count())
        if clock() - began > MOST_S + arguments.calls:
            raise SystemExit(f"{done} of {arguments.calls} calls are set up, and no more")
    took = clock() - began
    for connection in answered:
        connection.close()
    return {"set_ups_a_second": arguments.calls / took}


class Listening:
    """How many recognisers' connections there have been, as vendors count them in a file of 8 bytes."""

    def __init__(self, file):
        with file.open("rb") as counted:
            self._bytes = mmap.mmap(counted.fileno(), 8, access=mmap.ACCESS_READ)
        self._before = self._all()

    def _all(self):
        return int.from_bytes(self._bytes[:8], "little")

    def count(self):
        """Since this was made."""
        return self._all() - self._before


def main(kind):
    """What is measured of calls of a kind, as JSON."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--pid", type=int, required=True, help="of the server")
    parser.add_argument("--calls", type=int, default=50)
    parser.add_argument("--warm-up", type=float, default=11.0, help="seconds before measuring")
    parser.add_argument("--seconds", type=float, default=20.0, help="of measuring")
    parser.add_argument("--replies", type=int, default=0, help="that are heard at least, however long that takes")
    parser.add_argument("--speech", type=Path, help="a recording that the callers play instead of a buzz")
    parser.add_argument("--listening", type=Path, help="a file that counts the connections of recognisers")
    parser.add_argument("--polite", action="store_true", help="nobody interrupts in the end")
    parser.add_argument("--echo", action="store_true", help="the server sends everything back")
    parser.add_argument("--what", choices=("hold", "idle", "set_up"), default="hold")
    chosen = parser.parse_args()
    json.dump({"hold": hold, "idle": idle, "set_up": set_up}[chosen.what](chosen, kind), sys.stdout)


if __name__ == "__main__":
    main(Callers)
