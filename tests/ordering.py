"""In which order files of tests are begun when several workers run them.

A file that takes long and begins last keeps one worker busy while the others have nothing to do. pytest-xdist begins
with the files that have most tests; but the longest have one or two, which wait for a real call, engine or process.
"""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).parent

LONGEST = (
    "guarantees/test_cfg5_a_thousand_pipelines.py",
    "test_cli_new_adapter.py",
    "conformance/test_kit_on_local_adapters.py",
    "conformance/test_kit_on_pocketsphinx.py",
    "conformance/test_mutants.py",
    "conformance/test_transports_kit.py",
    "guarantees/test_t01_every_transport_passes_the_kit.py",
    "conformance/test_kit.py",
    "conformance/test_kit_on_elevenlabs.py",
    "conformance/test_kit_on_deepgram_tts.py",
    "engine/test_several_sets.py",
    "guarantees/test_f05_past_capacity_a_call_is_refused_at_once.py",
    "guarantees/test_f06_a_stop_drains_and_a_second_one_ends_at_once.py",
    "guarantees/test_r26_systemd_is_told.py",
    "guarantees/test_f09_who_may_change_what.py",
    "docs/test_guide_to_adapters.py",
    "calls/test_telephone_audio.py",
    "engine/test_control.py",
    "pipelines/test_set_model.py",
    "docs/test_site.py",
    "guarantees/test_r20_a_set_that_is_removed.py",
    "guarantees/test_r07_a_reload_over_http.py",
    "guarantees/test_r13_a_drain_deadline_says_goodbye.py",
    "conformance/test_conformance_plugin.py",
    "guarantees/test_r04_check_exit_status.py",
    "examples/test_integrator.py",
    "engine/test_reload.py",
    "guarantees/test_f12_a_start_during_an_outage.py",
    "calls/test_ten_minutes.py",
)
"""Files that take more than ten seconds, about in the order of how long. What is not named comes after them."""

LAST = (
    "demo/test_demo_whole.py",
    "benchmarks/test_bench.py",
    "guarantees/test_r29_a_reload_every_second.py",
)
"""Files whose calls go on in real time while an engine reloads. They come when the others are done, so that the machine
is as busy with them as a telephone server would be."""


def longest_first(items: list) -> None:
    """Sorts tests in place, those of `LAST` to the end; those of a file stay together, in their order."""
    ranks = {TESTS / name: rank for rank, name in enumerate((*LONGEST, "", *LAST))}
    items.sort(key=lambda item: ranks.get(item.path, len(LONGEST)))
