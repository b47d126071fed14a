"""The scripts of others are the released ones, and the list of them is complete."""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path

import reference_engine.pages

STATIC = Path(reference_engine.pages.__file__).with_name("static")


def test_the_scripts_of_others_are_as_they_were_released():
    listed = dict(
        re.findall(r"^\| `([^`]+)` .*`([0-9a-f]{64})` \|$", (STATIC / "THIRD_PARTY.md").read_text(), re.MULTILINE)
    )
    assert {name: sha256((STATIC / name).read_bytes()).hexdigest() for name in listed} == listed
    assert {path.name for path in STATIC.glob("*.min.js")} == set(listed)


def test_nothing_leads_elsewhere():
    """Pages work offline: no script, style or template names another host."""
    ours = [path for path in STATIC.parent.rglob("*") if path.suffix in {".html", ".css", ".js"}]
    assert len(ours) > 10
    for path in ours:
        assert not re.search(r"""(?:src|href|url\(|import|fetch)\W{0,3}(?:https?:)?//""", path.read_text()), path
