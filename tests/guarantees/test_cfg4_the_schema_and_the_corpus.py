"""CFG4: the JSON Schema accepts every good file, and rejects every structurally bad one of the corpus."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
from config_adapters import REGISTRY
from json_documents import read_as_editors_do
from jsonschema import Draft202012Validator

from voicepipe.config.describe.json_schema import json_schema
from voicepipe.errors import ConfigError

ROOT = Path(__file__).parents[2]
CORPUS = ROOT / "tests/config"
GOOD = sorted((CORPUS / "good").glob("*.yaml"))
BAD = sorted((CORPUS / "bad").glob("*.yaml"))
SHOWN = [
    path
    for place in ("config", "examples")
    for path in sorted((ROOT / place).rglob("*.yaml"))
    if re.search(r"^pipelines:", path.read_text(encoding="utf-8"), re.MULTILINE)
]

BEYOND_A_SCHEMA = {
    "active-pipeline-unknown": "names a pipeline that is not there",
    "adapter-unknown": "a name alone may be a component's",
    "check-crashes": "found by the adapter's own check",
    "check-secret": "found by the adapter's own check",
    "component-circle": "follows names",
    "component-circle-unused": "follows names",
    "component-misspelt": "names a component that is not there",
    "component-of-another-role": "follows a name to a component's role",
    "directory-is-a-file": "looks at the file system",
    "directory-missing": "looks at the file system",
    "directory-name-too-long": "looks at the file system",
    "directory-not-a-model": "looks at the file system",
    "file-empty": "looks at the file system",
    "file-is-a-directory": "looks at the file system",
    "file-missing": "looks at the file system",
    "file-not-utf-8": "looks at the file system",
    "list-twice": "compares components with each other",
    "list-twice-by-name": "compares components with each other",
    "number-octal": "how a number is written, which YAML's own reading hides",
    "options-beside-list-component": "follows a name to a component that is a list",
    "recording-consent-without-text": "knows the languages that have a text",
    "recording-texts-unknown-values": "looks into texts",
    "route-dates": "how a date is written",
    "route-hours-all-week": "compares routes with each other",
    "route-hours-leave-nothing": "compares hours with each other",
    "route-hours-not-reached": "compares routes with each other",
    "route-not-reached": "compares routes with each other",
    "route-not-reached-behind-a-star": "compares routes with each other",
    "route-pipeline-from-the-environment": "what an environment variable holds",
    "route-pipeline-unknown": "names a pipeline that is not there",
    "route-twice": "compares routes with each other",
    "script-astray": "reads another file",
    "script-broken": "reads another file",
    "script-syntax": "reads another file",
    "secret-empty": "what an environment variable holds",
    "secret-file-missing": "looks at the file system",
    "secret-missing": "what an environment variable holds",
    "secret-not-a-choice": "what an environment variable holds",
    "secret-not-a-number": "what an environment variable holds",
    "secret-number-out-of-bounds": "what an environment variable holds",
    "secret-too-short-to-conceal": "what an environment variable holds",
    "secret-with-a-line-break": "what an environment variable holds",
    "sound-eight-bits": "reads another file",
    "sound-float": "reads another file",
    "sound-four-khz": "reads another file",
    "sound-missing": "looks at the file system",
    "sound-mp3": "reads another file",
    "sound-short": "reads another file",
    "sound-stereo": "reads another file",
    "split-pipeline-unknown": "names a pipeline that is not there",
    "timezone-unknown": "the time zones of this machine",
    "texts-unknown-value-in-a-prompt-file": "reads another file",
    "texts-unknown-values": "the names in a text",
    "tool-unknown-values": "the names in a text",
    "tool-header-odd": "how a header is written",
    "tool-header-with-a-line-break": "how a header is written",
    "tool-misspelt": "an integrator may have tools of any name",
    "tool-parameters-no-schema": "a schema of schemas, whose address editors would have to ask",
    "tool-parameters-refer-elsewhere": "follows references",
    "tool-unknown": "an integrator may have tools of any name",
    "tool-url-chooses-the-server": "how an address is written",
    "tool-url-no-address": "how an address is written",
    "tool-url-optional-argument": "compares an address with parameters",
    "tool-url-stray-brace": "how an address is written",
    "tool-url-unknown-argument": "compares an address with parameters",
    "tool-url-with-a-password": "how an address is written",
    "when-pattern-of-asterisk": "text that has another meaning than was meant",
    "when-pattern-of-separators": "text that has another meaning than was meant",
}
"""Files that are bad, but not in their structure: what would have to be known to find it."""


@cache
def validator():
    return Draft202012Validator(json_schema(REGISTRY))


def complaints(path):
    """What the schema has against a file; nothing else is looked at if an editor can't read it at all."""
    try:
        document = read_as_editors_do(path)
    except ConfigError as error:
        return [problem.message for problem in error.problems]
    return [error.message for error in validator().iter_errors(document)]


def test_the_schema_is_one():
    Draft202012Validator.check_schema(json_schema(REGISTRY))
    Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_good_files_are_accepted(path):
    assert complaints(path) == []


@pytest.mark.parametrize("path", SHOWN, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_we_show_is_accepted(path):
    assert list(Draft202012Validator(json_schema()).iter_errors(read_as_editors_do(path))) == []


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_structurally_bad_files_are_rejected(path):
    assert bool(complaints(path)) == (path.stem not in BEYOND_A_SCHEMA)


def test_every_exception_is_in_the_corpus():
    assert set(BEYOND_A_SCHEMA) <= {path.stem for path in BAD}
    assert len(GOOD) >= 7
    assert ROOT / "config/ai-agent.yaml" in SHOWN
