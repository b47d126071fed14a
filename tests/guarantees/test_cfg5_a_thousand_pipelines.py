"""CFG5: a file of 1,000 pipelines is checked, and reloaded under calls; `make bench-reload` prints how fast."""

from benchmarks.big_reload import reload_under_calls


async def test_cfg5_a_thousand_pipelines_are_reloaded_under_calls() -> None:
    checked_s, calm, busy = await reload_under_calls(1000, calls=2, seconds=3, reloads=2, progress=lambda _line: None)
    assert checked_s > 0
    assert calm.faults == busy.faults == []
    assert busy.applied >= 2
    assert busy.calls >= 2
