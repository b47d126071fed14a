"""The tutorial's steps do what they say, one after the other."""

from __future__ import annotations

from shutil import copytree

from doc_pages import ROOT

from voicepipe import load_config


def test_the_line_of_step_5_is_one_that_is_in_service_after_step_4(tmp_path):
    copytree(ROOT / "config", tmp_path / "config")
    file = tmp_path / "config/ai-agent.yaml"
    step_4 = file.read_text(encoding="utf-8").replace("active_pipeline: default", "active_pipeline: after_hours")
    file.write_text(step_4, encoding="utf-8")
    before = load_config(file)
    page = (ROOT / "docs/tutorials/first-call.md").read_text(encoding="utf-8")
    assert "`config/scripts/after-hours.yaml`" in page
    script = tmp_path / "config/scripts/after-hours.yaml"
    text = script.read_text(encoding="utf-8")
    line = "You have reached us outside office hours."
    assert line in text[text.index("  closed:") :]
    script.write_text(text.replace(line, "Nobody is here."), encoding="utf-8")
    assert load_config(file).digest != before.digest
