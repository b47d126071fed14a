"""An integrator's program of about fifty lines: its own transport, one Python tool, nothing of the engine."""

import ast
import subprocess
import sys
import wave
from pathlib import Path

import pytest
from patience import LONG_S

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "integrator.py"

FIRST_S = 2.4
"""Where in the recording the pause between the two things that the caller says is."""


@pytest.fixture
def recording(tmp_path):
    """The caller waits for the answer before the goodbye."""
    with wave.open(str(ROOT / "tests/data/speech/two-turns-8k.wav")) as file:
        params, speech = file.getparams(), file.readframes(file.getnframes())
    cut = int(FIRST_S * params.framerate) * params.sampwidth
    path = tmp_path / "caller.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams(params)
        file.writeframes(speech[:cut] + bytes(6 * params.framerate * params.sampwidth) + speech[cut:])
    return path


def test_it_holds_a_conversation_with_its_tool(recording):
    pytest.importorskip("vosk", reason="the example's pipeline recognises with vosk: make setup")
    run = subprocess.run(
        [sys.executable, EXAMPLE, recording], capture_output=True, text=True, timeout=LONG_S, check=True
    )
    assert "heard='hello i need support'" in run.stdout
    assert "name='support_hours', arguments={'product': 'all products'}" in run.stdout
    assert 'said="Somebody is there until five o\'clock, for all products."' in run.stdout
    assert "outcome='agent_hung_up'" in run.stdout


def test_it_is_short_and_uses_the_public_api_only():
    text = EXAMPLE.read_text()
    tree = ast.parse(text)
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported == {"sys", "wave", "pathlib", "typing", "trio", "voicepipe"}
    docs = [
        ast.get_docstring(node, clean=False)
        for node in ast.walk(tree)
        if isinstance(node, ast.AsyncFunctionDef | ast.ClassDef | ast.Module)
    ]
    code = len([line for line in text.splitlines() if line.strip()])
    assert code - sum(len([line for line in (doc or "").splitlines() if line.strip()]) for doc in docs) <= 60
