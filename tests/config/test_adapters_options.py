"""What the options of the adapters that come with voicepipe may say, and what is reported of what they may not.

After a change of wording: `REGENERATE=1 pytest tests/config/test_adapters_options.py`, and read the diff.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from json_documents import read_as_editors_do
from jsonschema import Draft202012Validator

from voicepipe import installed
from voicepipe.config.describe.json_schema import json_schema
from voicepipe.config.load import load_config
from voicepipe.config.report import format_problems
from voicepipe.errors import ConfigError

CORPUS = Path(__file__).parent / "adapters"
GOOD = sorted((CORPUS / "good").glob("*.yaml"))
BAD = sorted((CORPUS / "bad").glob("*.yaml"))
ENVIRON = {"API_KEY": "sk-live-0123456789", "KEY_WITH_SPACE": "sk live 0123456789"}
LIBRARIES = {"deepgram": "deepgram", "openai": "openai", "elevenlabs": "httpx", "pocketsphinx": "pocketsphinx"}

pytestmark = pytest.mark.usefixtures("libraries")


@pytest.fixture
def libraries():
    """All of them: what is not installed is a problem of its own, in every file with `openai` in it."""
    for library in LIBRARIES.values():
        pytest.importorskip(library, reason="make setup")


def by_name(path):
    return path.stem


@pytest.mark.parametrize("path", GOOD, ids=by_name)
def test_it_loads(path):
    assert load_config(path, environ=ENVIRON).reachable


@pytest.mark.parametrize("path", BAD, ids=by_name)
def test_its_report(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    with pytest.raises(ConfigError) as caught:
        load_config(Path(path.name), environ=ENVIRON)
    report = format_problems(caught.value.problems)
    expected = path.with_suffix(".expected")
    if os.environ.get("REGENERATE"):
        expected.write_text(report, encoding="utf-8")
    assert report == expected.read_text(encoding="utf-8")
    assert ENVIRON["API_KEY"] not in report


def test_every_report_has_its_file():
    assert {path.stem for path in (CORPUS / "bad").glob("*.expected")} == {path.stem for path in BAD}


@pytest.mark.parametrize("path", GOOD, ids=by_name)
def test_the_schema_takes_it(path):
    Draft202012Validator(json_schema()).validate(read_as_editors_do(path))


@pytest.mark.parametrize("name", ["deepgram", "openai", "elevenlabs", "wyoming", "pocketsphinx"])
def test_there_are_some_of_each(name):
    for paths, least in ((GOOD, 1), (BAD, 3)):
        named = [path for path in paths if re.search(rf"type: {name}$", path.read_text(encoding="utf-8"), re.MULTILINE)]
        assert len(named) >= least
    assert installed().names().count(name) == 1
