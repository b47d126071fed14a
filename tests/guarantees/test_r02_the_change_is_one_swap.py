"""R02: the change is one reference swap: no reader ever sees half of it."""

from __future__ import annotations

import trio
from recording import RecordedSet, pipeline


class Reader(trio.abc.Instrument):
    """Reads the set whenever a task has run, and so between any two awaits of a reload."""

    def __init__(self, pipelines):
        self._pipelines = pipelines
        self.seen = []

    def after_task_step(self, _task):
        snapshot = self._pipelines.current
        said = {
            opened.settings.options.id
            for one in snapshot.pipelines.values()
            for opened in (*one.stt, *one.llm, *one.tts)
        }
        versions = {one.version for one in snapshot.pipelines.values()} | {snapshot.version}
        digests = {one.digest for one in snapshot.pipelines.values()} | {snapshot.digest, snapshot.config.digest}
        serving = [record.version for record in self._pipelines.history if record.state == "serving"]
        self.seen.append((snapshot.active.name, frozenset(said), frozenset(versions), len(digests), tuple(serving)))


async def test_every_reader_sees_a_whole_version(tmp_path):
    recorded = RecordedSet(tmp_path)

    def write(number):
        whole = {"stt": number, "llm": number, "tts": number, "selectable": True}
        recorded.write(f"active_{number}", **{f"active_{number}": pipeline(**whole), "other": pipeline(**whole)})

    write("0")
    async with recorded.serve() as pipelines:
        reader = Reader(pipelines)
        trio.lowlevel.add_instrument(reader)
        for number in range(1, 20):
            write(str(number))
            await pipelines.reload()
        trio.lowlevel.remove_instrument(reader)
    assert len(reader.seen) > 100
    assert set(reader.seen) == {
        (f"active_{number}", frozenset({str(number)}), frozenset({number + 1}), 1, (number + 1,))
        for number in range(20)
    }
