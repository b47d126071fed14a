# ruff: noqa: INP001 - MkDocs finds hooks by their path, they are no package
"""The table of alerts, made from the file of rules that operators give to Prometheus."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

RULES = Path(__file__).parents[2] / "examples/deploy/prometheus/voicepipe.rules.yml"


def alerts_table(_: str = "") -> str:
    """A row for each alert: its name, when it fires, and what it means."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    rows = []
    for rule in (rule for group in groups for rule in group["rules"]):
        means = re.sub(r"\{\{ (?:\$labels\.)?\$?(\w+).*?\}\}", r"*\1*", rule["annotations"]["description"])
        after = f" for {rule['for']}" if "for" in rule else ""
        expression = " ".join(rule["expr"].split()).replace("|", "\\|")
        rows.append(f"| `{rule['alert']}` | `{expression}`{after} | {means} |")
    return "\n".join(["| alert | fires upon | what it means |", "| --- | --- | --- |", *rows])
