"""CFG6: every YAML block of the documentation is a file that loads, or a fragment that fits where it says it belongs.

A block that is no whole file stands below `<!-- fragment: PATH -->`, with the place in a configuration where it fits:
`file` is the top level.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import pytest
from attrs import field, frozen, validators

from reference_engine.settings.loading import load_engine_settings
from voicepipe import Adapter, CaFile, Registry, Secret, installed, load_config

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "config").rglob("*.md")]
BLOCK = re.compile(
    r"(?:^ *<!-- fragment: (?P<fragment>[\w.]+) -->\n)?^(?P<space> *)```yaml[^\n]*\n(?P<text>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)
BLOCKS = [
    pytest.param(dedent(match["text"]), match["fragment"], id=f"{page.relative_to(ROOT)}-{number}")
    for page in PAGES
    for number, match in enumerate(BLOCK.finditer(page.read_text(encoding="utf-8")), 1)
]
WHOLE = {
    "pipelines": {
        "default": {
            "stt": "{type: vosk, model: models/tiny-en}",
            "llm": "{type: scripted, script: scripts/reception.yaml}",
            "tts": "espeak",
        }
    }
}


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """A directory with the files that the pages name, and a full model under the name of one."""
    config = tmp_path_factory.mktemp("pages") / "config"
    shutil.copytree(ROOT / "config", config)
    shutil.copytree(config / "models/tiny-en", config / "models/vosk-model-small-en-us-0.15")
    return config


@pytest.fixture(scope="module")
def registry():
    """The installed adapters, and the one that the guide makes."""
    guide = (ROOT / "docs/how-to/write-an-adapter.md").read_text(encoding="utf-8")
    source = re.search(r'^```python title="[^"]*: OllamaOptions"\n(.*?)^```$', guide, re.MULTILINE | re.DOTALL)
    made: dict[str, Any] = {"frozen": frozen, "field": field, "Secret": Secret, "CaFile": CaFile, **vars(validators)}
    exec(compile(source[1], "service.py", "exec", dont_inherit=True), made)
    return Registry([*installed(), Adapter("ollama", "llm", made["OllamaOptions"], open=_open)])


def _open(_options, _resources):
    raise NotImplementedError


def yaml_of(tree, over, path):
    """A whole file: the tree, with the fragment in place of what it has for its keys."""
    text = ""
    for key, value in tree.items():
        if isinstance(value, dict):
            here, _, rest = path.partition(".")
            text += f"{key}:\n" + indent(yaml_of(value, over if here == key else "", rest if here == key else ""), "  ")
        elif not (path == "" and re.search(rf"^{key}:", over, re.MULTILINE)):
            text += f"{key}: {value}\n"
    return text + (over if path == "" else "")


@pytest.mark.parametrize(("text", "fragment"), BLOCKS)
def test_block(text, fragment, config, registry):
    file = config / "page.yaml"
    if re.search(r"^states:", text, re.MULTILINE):
        (config / "page-script.yaml").write_text(text, encoding="utf-8")
        text, fragment = "llm: {type: scripted, script: page-script.yaml}\n", "pipelines.default"
    if fragment:
        text = yaml_of(WHOLE, text, "" if fragment == "file" else fragment)
    file.write_text(text, encoding="utf-8")
    variables = re.findall(r"\$\{(\w+)\}", text)
    if re.search(r"^pipeline_sets:", text, re.MULTILINE):
        secrets = dict.fromkeys(variables, f"whsec_{'QUJD' * 8}")  # which the secret of a webhook must be like
        assert load_engine_settings(file, environ={**os.environ, **secrets}).listeners
    else:
        environ = {**os.environ, **dict.fromkeys(variables, "a-value-for-tests")}
        assert load_config(file, registry=registry, environ=environ).reachable


def test_the_pages_have_blocks():
    assert len(BLOCKS) >= 10
