"""Test kit for adapters and for programs that use voicepipe; voicepipe's own tests use it too.

`conformance` checks an adapter against the rules that calls rely on, and `transports` a transport. `RehearsedCall` runs
a whole call in memory, on trio's virtual clock, with scripted components and the test as the caller: ten minutes in
milliseconds. `open_audiosocket_call` or `open_asterisk_websocket_call`, and `open_speaker` are a caller's telephone and
voice, for an engine that listens.
"""

from __future__ import annotations

from voicepipe.testing import conformance, transports
from voicepipe.testing.asterisk_websocket_caller import AsteriskWebSocketCaller, open_asterisk_websocket_call
from voicepipe.testing.audiosocket_caller import AudioSocketCaller, open_audiosocket_call, write_stereo_wav
from voicepipe.testing.buffering_transport import BufferingTransport
from voicepipe.testing.caller import Caller
from voicepipe.testing.calls import RehearsedCall
from voicepipe.testing.chan_websocket import ChanWebSocket
from voicepipe.testing.components import ScriptedLanguageModel, ScriptedSpeechToText, ToneTextToSpeech
from voicepipe.testing.conformance import (
    ConformanceError,
    check_language_model,
    check_speech_to_text,
    check_text_to_speech,
)
from voicepipe.testing.conversation import Line, Spoke, converse
from voicepipe.testing.pipelines import open_test_pipeline
from voicepipe.testing.speaker import Speaker, open_speaker, synthesise
from voicepipe.testing.transport import MemoryTransport, voice
from voicepipe.testing.transports import TransportPeer, check_transport, open_websocket_peer

__all__ = [
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
