"""CFG5: a file of 1,000 pipelines is checked, and reloaded under calls; `make bench-reload` prints how fast."""

from benchmarks.big_reload import pauses_line, reload_under_calls

from voicepipe.pipelines.gc_schedule import FEW


async def test_cfg5_a_thousand_pipelines_are_reloaded_under_calls() -> None:
    measured = await reload_under_calls(1000, calls=2, seconds=3, reloads=2, progress=lambda _line: None)
    assert measured.checked_s > 0
    assert measured.calm.faults == measured.busy.faults == []
    assert measured.busy.applied >= 2
    assert measured.busy.calls >= 2
    # How long they took is no test's business; that they were seen is, and how many objects they went over.
    for noted in (measured.calm_pauses, measured.busy_pauses):
        looks = [pause for pause in noted if pause.kind == "look"]
        assert looks
        assert max(look.size for look in looks) <= FEW
        assert pauses_line("", noted)
