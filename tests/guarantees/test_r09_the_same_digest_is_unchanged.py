"""R09: the same digest is `unchanged`: no new version, nothing reopened."""

from __future__ import annotations

import json
import os

import yaml
from recording import RecordedSet, pipeline

from voicepipe import Unchanged


async def test_however_it_is_written(tmp_path):
    recorded = RecordedSet(tmp_path)
    (tmp_path / "script.yaml").write_text("hello: there")
    recorded.write(default=pipeline(llm={"id": "a", "file": "script.yaml"}, prompt="Be brief."))
    content = json.loads(recorded.path.read_text())
    async with recorded.serve() as pipelines:
        first = pipelines.current
        attempts = list(recorded.attempts)
        for text in (
            recorded.path.read_text(),
            "# a comment\n" + json.dumps(content),
            yaml.safe_dump(content),
            yaml.safe_dump(dict(reversed(content.items())), default_flow_style=False, indent=4),
        ):
            recorded.path.write_text(text)
            os.utime(tmp_path / "script.yaml", (0, 0))
            outcome = await pipelines.reload()
            assert isinstance(outcome, Unchanged)
            assert (outcome.version, outcome.digest) == (1, first.digest)
        assert pipelines.current is first
        assert recorded.attempts == attempts
        assert recorded.closed == []
        assert len(pipelines.history) == 1


async def test_going_back_to_an_earlier_file_is_a_new_version(tmp_path):
    recorded = RecordedSet(tmp_path)
    async with recorded.serve() as pipelines:
        first = pipelines.current
        await recorded.rewrite(pipelines, default=pipeline(stt="b"))
        await recorded.rewrite(pipelines, default=pipeline())
        assert pipelines.current.version == 3
        assert pipelines.current.digest == first.digest
