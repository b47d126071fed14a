"""How long the turns of trio's loop are, how many steps of which tasks they have, and what those take."""

from __future__ import annotations

import time
from collections import Counter, defaultdict

import trio

NOTED_S = 0.001
"""Shorter turns of the loop are not noted."""


class LoopTurns(trio.abc.Instrument):
    """Notes the turns of trio's loop that kept everything else waiting for longer than `NOTED_S`, and counts all."""

    def __init__(self):
        self.pauses = []
        """When each ended, on `time.perf_counter`; how long it was in s; how much of that was CPU time of the loop."""
        self.turns, self.steps = Counter(), defaultdict(Counter)
        """In each second of `time.perf_counter`, how many turns of the loop there were, and steps of tasks by name."""
        self._steps = self.steps[0]
        self._began = time.perf_counter(), time.thread_time()

    def after_io_wait(self, timeout):
        """A turn begins."""
        self._began = time.perf_counter(), time.thread_time()

    def before_task_step(self, task):
        """A task goes on."""
        self._steps[task.name] += 1

    def before_io_wait(self, timeout):
        """The turn ends."""
        began, used = self._began
        now = time.perf_counter()
        self.turns[int(now)] += 1
        self._steps = self.steps[int(now)]
        if now - began > NOTED_S:
            self.pauses.append((now, now - began, time.thread_time() - used))

    def noted(self):
        """All of it, for JSON."""
        return {"pauses": self.pauses, "loop_turns": self.turns, "task_steps": self.steps}


class TaskTimes(LoopTurns):
    """Notes the CPU time of each step besides."""

    def __init__(self):
        super().__init__()
        self.cpu_s, self.longest_s = defaultdict(Counter), defaultdict(Counter)
        """In each second, by the names of tasks: all of it, and that of the longest step."""
        self._step_began = 0.0

    def before_task_step(self, task):
        """A task goes on."""
        self._steps[task.name] += 1
        self._step_began = time.thread_time()

    def after_task_step(self, task):
        """It waits again."""
        took, second = time.thread_time() - self._step_began, int(time.perf_counter())
        self.cpu_s[second][task.name] += took
        longest_s = self.longest_s[second]
        longest_s[task.name] = max(longest_s[task.name], took)

    def noted(self):
        """All of it, for JSON."""
        return {**super().noted(), "task_cpu_s": self.cpu_s, "task_longest_s": self.longest_s}
