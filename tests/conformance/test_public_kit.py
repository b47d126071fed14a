"""What `voicepipe.testing` exports is what it promises to keep."""

from __future__ import annotations

import pydoc
import subprocess
import sys
from types import FunctionType

import pytest

from voicepipe import testing
from voicepipe.testing import conformance

VENDORS = {"vosk", "espeakng_loader", "openai", "deepgram", "numpy", "soxr", "httpx", "websockets", "pytest"}


@pytest.mark.parametrize("module", [testing, conformance])
def test_all_is_sorted_and_complete(module):
    exported = {name for name in vars(module) if not name.startswith("_")}
    modules = {name for name in exported if type(getattr(module, name)).__name__ == "module"} - {
        "conformance",
        "transports",
    }
    imported_for_use = {"Asking", "Hearing", "Speaking", "Subject", "TYPE_CHECKING", "Any", "fault_checks", "PROBING"}
    assert module.__all__ == sorted(module.__all__, key=lambda name: (not name.isupper(), name[0].islower(), name))
    assert set(module.__all__) == exported - modules - imported_for_use - {"annotations"}


def test_the_public_kit():
    assert testing.__all__ == [
        "AsteriskWebSocketCaller",
        "AudioSocketCaller",
        "BufferingTransport",
        "Caller",
        "ChanWebSocket",
        "ConformanceError",
        "Line",
        "MemoryTransport",
        "RehearsedCall",
        "ScriptedLanguageModel",
        "ScriptedSpeechToText",
        "Speaker",
        "Spoke",
        "ToneTextToSpeech",
        "TransportPeer",
        "check_language_model",
        "check_speech_to_text",
        "check_text_to_speech",
        "check_transport",
        "conformance",
        "converse",
        "open_asterisk_websocket_call",
        "open_audiosocket_call",
        "open_speaker",
        "open_test_pipeline",
        "open_websocket_peer",
        "synthesise",
        "transports",
        "voice",
        "write_stereo_wav",
    ]


@pytest.mark.parametrize("module", [testing, conformance])
def test_everything_exported_says_what_it_is(module):
    exported = {name: getattr(module, name) for name in module.__all__}
    silent = [name for name, what in exported.items() if isinstance(what, type | FunctionType) and not what.__doc__]
    assert silent == []


def test_importing_it_imports_no_vendor_and_no_pytest():
    show = "import sys, voicepipe.testing; print(*{name.partition('.')[0] for name in sys.modules})"
    run = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True)
    assert set(run.stdout.split()) & VENDORS == set()


def test_help_of_the_transports_kit_is_short():
    shown = pydoc.plain(pydoc.render_doc(testing.transports))
    assert max(map(len, shown.splitlines())) < 500
    assert "PRI * HTTP" not in repr(testing.transports.TransportSubject(None, None, None))
