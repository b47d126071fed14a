"""The alerts in `examples/deploy/prometheus` are about metrics that there are, and fire when they should."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from subprocess import run

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "examples/deploy/prometheus"
RULES = yaml.safe_load((PROMETHEUS / "voicepipe.rules.yml").read_text(encoding="utf-8"))["groups"][0]["rules"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_metrics_and_labels_of_an_alert_are_documented(rule):
    page = (ROOT / "docs/reference/engine.md").read_text(encoding="utf-8")
    documented = dict(re.findall(r"^\| `(voicepipe_\w+)` \| ([\w, ]*)\|", page, re.MULTILINE))
    metrics = {re.sub(r"_(bucket|count)$", "", name) for name in re.findall(r"voicepipe_\w+", rule["expr"])}
    assert metrics or rule["alert"] == "VoicepipeDown"
    assert metrics <= documented.keys()
    described = {label for text in rule["annotations"].values() for label in re.findall(r"\$labels\.(\w+)", text)}
    for metric in metrics:
        assert described <= {*documented[metric].strip().split(", "), "instance"}


def test_only_alerts_that_there_are_are_tried():
    tried = (PROMETHEUS / "voicepipe.rules.test.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"alertname: (\w+)", tried)) <= {rule["alert"] for rule in RULES}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="there is no promtool: apt install prometheus")
@pytest.mark.parametrize(
    "command",
    [
        ["check", "rules", "voicepipe.rules.yml"],
        ["test", "rules", "voicepipe.rules.test.yml"],
        ["check", "config", "prometheus.yml"],
    ],
    ids=" ".join,
)
def test_promtool_finds_nothing_wrong(command):
    checked = run(["promtool", *command], cwd=PROMETHEUS, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
