"""R29: a reload every second under calls drops none and mixes no versions; the soak prints the frame gaps."""

from benchmarks.soak import soak


async def test_r29_no_call_is_dropped_and_no_version_mixed() -> None:
    calm, busy, before, after = await soak(calls=8, seconds=3, reloads=3, progress=lambda _line: None)
    assert calm.faults == busy.faults == []
    assert busy.applied >= 3
    assert busy.rejected >= 3
    assert min(calm.calls, busy.calls) >= 8
    assert len(busy.gaps_ms) > 100
    assert after.is_about(before), f"{before} became {after}"
