"""The integrator's example: a conversation with nothing of the engine imported."""

import ast
import subprocess
import sys
import wave
from pathlib import Path

import pytest
from patience import LONG_S

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "wav_call.py"


def test_it_holds_a_conversation_with_a_recorded_caller(tmp_path: Path) -> None:
    pytest.importorskip("vosk", reason="the example's pipeline recognises with vosk: make setup")
    conversation = tmp_path / "conversation.wav"
    caller = ROOT / "tests/data/speech/two-turns-8k.wav"
    run = subprocess.run(
        [sys.executable, EXAMPLE, ROOT / "config/ai-agent.yaml", caller, conversation],
        capture_output=True,
        text=True,
        timeout=LONG_S,
        check=True,
    )
    assert "heard='hello i need support'" in run.stdout
    assert "heard='no thank you goodbye'" in run.stdout
    assert "outcome='agent_hung_up'" in run.stdout
    with wave.open(str(conversation)) as agent:
        assert agent.getframerate() == 8000
        assert 4 < agent.getnframes() / 8000 < 10


def test_it_uses_the_public_api_only() -> None:
    tree = ast.parse(EXAMPLE.read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported == {"sys", "wave", "typing", "trio", "voicepipe"}
