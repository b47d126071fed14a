"""The sets of an engine on which its fleet decides."""

from __future__ import annotations

from pathlib import Path

from attrs import define

from reference_engine.fleet.bundle import packed
from reference_engine.fleet.documents import FleetVersion
from reference_engine.fleet.local_sets import FleetSets


@define
class OwnVersion:
    """A set that serves its own file, as far as a fleet asks it."""

    path: Path
    version: int | None

    async def serve(self, read, *, version, trigger):
        raise AssertionError("nothing may be served under a number that is used")


async def test_a_number_that_is_used_for_the_engines_own_file_is_not_the_fleets(tmp_path):
    path = tmp_path / "ai-agent.yaml"
    sets = FleetSets(tmp_path, ("main",), lambda _name: OwnVersion(path, 3), dict)
    bundle = packed(path, {path: b"pipelines: {}"})
    for number in (1, 3):
        outcome = await sets.apply("main", FleetVersion(version=number, id="x", bundle="b"), bundle, None)
        assert not outcome.serves
        assert f"has used the number {number}" in outcome.problems[0]
    assert not sets.decides("main")
