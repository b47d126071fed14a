"""The files of a version in one piece."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from reference_engine.fleet import bundle
from reference_engine.fleet.bundle import MOST_BYTES, BundleError, digest_of, packed, unpacked

FILE = Path("/srv/agents/ai-agent.yaml")


def test_files_lie_about_the_engines_own_yaml_file():
    sources = {
        FILE: b"pipelines: {}",
        Path("/srv/agents/prompts/sales.md"): b"Sell.",
        Path("/srv/shared/prompt.md"): b"Shared.",
        Path("/etc/voicepipe/prompt.md"): b"Absolute.",
    }
    files = unpacked(packed(FILE, sources), Path("/opt/engine/main.yaml"))
    assert files[Path("/opt/engine/main.yaml")] == b"pipelines: {}"
    assert files[Path("/opt/engine/prompts/sales.md")] == b"Sell."
    assert files[Path("/opt/shared/prompt.md")] == b"Shared."
    assert files[Path("/etc/voicepipe/prompt.md")] == b"Absolute."


def test_the_same_files_are_the_same_bundle():
    one = {FILE: b"a", FILE.parent / "p.md": b"b"}
    other = dict(reversed(one.items()))
    assert digest_of(packed(FILE, one)) == digest_of(packed(FILE, other))
    moved = Path("/home/me/ai-agent.yaml")
    assert packed(FILE, one) == packed(moved, {moved: b"a", moved.parent / "p.md": b"b"})
    assert digest_of(packed(FILE, one)) != digest_of(packed(FILE, one | {FILE: b"c"}))


def test_what_etcd_does_not_take_is_refused_with_the_size_and_a_way_out():
    noise = random.Random(1).randbytes(MOST_BYTES)
    with pytest.raises(BundleError) as raised:
        packed(FILE, {FILE: b"a", FILE.parent / "hold.wav": noise})
    assert f"hold.wav ({MOST_BYTES:,} bytes)" in str(raised.value)
    assert "1,500,000" in str(raised.value)
    assert "8 kHz mono" in str(raised.value)
    packed(FILE, {FILE: b"a", FILE.parent / "text.md": bytes(3 * MOST_BYTES)})  # it is small when it is packed


@pytest.mark.parametrize("content", [b"", b"PK", b"{}", packed(FILE, {FILE: b"a"})[:-3]])
def test_what_is_no_bundle_is_refused(content):
    with pytest.raises(BundleError):
        unpacked(content, FILE)


def test_a_bundle_that_unpacks_to_too_much_is_refused(monkeypatch):
    bomb = packed(FILE, {FILE: b"a", FILE.parent / "zeros": bytes(1 << 20)})
    monkeypatch.setattr(bundle, "MOST_UNPACKED", 1 << 20)
    with pytest.raises(BundleError, match="1 MiB"):
        unpacked(bomb, FILE)
