"""Secrets of a version that opens, or was just retired: libraries may quote them when no set serves it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from recording import RecordedSet, pipeline

from reference_engine.sets.sets import conceal_all
from voicepipe import Applied, Rejected
from voicepipe.errors import ComponentError
from voicepipe.pipelines.runtime import open_runtime


class CurrentSettings:
    settings = SimpleNamespace(admin=None)


@pytest.fixture
def recorded(tmp_path):
    recorded = RecordedSet(tmp_path)
    recorded.environ["KEY"] = "alpha-1111-aa"
    recorded.write(default=pipeline(stt={"id": "a", "text": "${KEY}"}))
    return recorded


async def test_a_library_is_heard_without_secrets_while_a_version_opens_and_after_it_went(recorded):
    heard = []

    async with open_runtime() as runtime:
        sets = {}

        def log(said):
            heard.append(conceal_all(sets, CurrentSettings, runtime, said))

        async def opening():
            log(f"POST https://vendor.test?key={recorded.environ['KEY']}")

        recorded.opening["stt a"] = opening
        async with recorded.serve(runtime=runtime) as pipelines:
            sets["main"] = pipelines
            assert heard == ["POST https://vendor.test?key=${KEY}"]
            recorded.environ["KEY"] = "bravo-2222-bb"
            assert isinstance(await pipelines.reload(), Applied)
            recorded.environ["KEY"] = "gamma-3333-cc"

            async def refuse():
                await opening()
                raise ComponentError("away")

            recorded.opening["stt a"] = refuse
            assert isinstance(await pipelines.reload(), Rejected)
            log("late words of alpha-1111-aa, bravo-2222-bb and gamma-3333-cc")
    assert heard == [*["POST https://vendor.test?key=${KEY}"] * 3, "late words of ${KEY}, ${KEY} and ${KEY}"]
