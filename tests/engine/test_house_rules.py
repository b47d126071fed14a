"""What the engine may know of the SDK."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import reference_engine
import voicepipe

SOURCES = sorted(Path(reference_engine.__file__).parent.rglob("*.py"))


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_the_engine_uses_only_the_public_names_of_voicepipe(source):
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "voicepipe":
            assert node.module == "voicepipe"
            assert {name.name for name in node.names} <= {*voicepipe.__all__, "__version__"}
        elif isinstance(node, ast.Import):
            assert not any(name.name.split(".")[0] == "voicepipe" for name in node.names)
