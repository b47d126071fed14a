"""The benchmark runs, and its results have their shape; how good they are is no test's business."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).with_name("bench.py")


def test_two_calls(tmp_path):
    results = tmp_path / "results.json"
    subprocess.run([sys.executable, BENCH, "--quick", "--out", results], check=True, capture_output=True)
    measured = json.loads(results.read_text())
    assert set(measured) == {"machine", "echo", "voicepipe", "engine", "once"}
    (echo,), (row,), (engine,) = measured["echo"], measured["voicepipe"], measured["engine"]
    assert echo["n"] == row["n"] == engine["n"] == 2
    assert row["faults"] == echo["faults"] == engine["faults"] == []
    assert 0 <= engine["response_p50_ms"] <= engine["response_p99_ms"]
    assert row["ratio_to_echo"] > 0
    assert min(row["cpu_s_per_call_min"], echo["cpu_s_per_call_min"]) > 0
    assert 0 <= row["late_p50_ms"] <= row["late_p99_ms"] <= row["late_p999_ms"]
    assert row["response_p50_ms"] <= row["response_p99_ms"]
    assert set(measured["once"]) == {
        "import_ms",
        "import_of_all_ms",
        "base_mb",
        "kb_per_idle_call",
        "cpu_s_per_idle_call_min",
        "set_ups_a_second",
    }
