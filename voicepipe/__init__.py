"""Voice pipelines for telephone lines: composed in YAML, changed while calls are up.

This is the public API, all of it: what is not here (or in `voicepipe.testing`) is private, whatever its name.
"""

from __future__ import annotations

from voicepipe.audio import AudioFormat, Encoding
from voicepipe.calls.call import Call, open_call
from voicepipe.calls.events import (
    CallBegan,
    CallEnded,
    CallEvent,
    ComponentFailed,
    ComponentLabel,
    DtmfReceived,
    FailedOver,
    Observer,
    Outcome,
    ReplyStarted,
    SpeechDetected,
    Transcribed,
    TurnEnded,
)
from voicepipe.components import (
    LanguageModel,
    Probing,
    ReplyStream,
    Resources,
    Role,
    SpeechStream,
    SpeechToText,
    TextToSpeech,
    TranscriptStream,
)
from voicepipe.config import SetConfig, load_config
from voicepipe.config.document import ConfigDocument, read_document
from voicepipe.config.effective import effective as effective_config
from voicepipe.config.report import format_problems, problems_as_data
from voicepipe.config.settings import LoggingSettings
from voicepipe.config.values import Directory, File, Secret
from voicepipe.errors import (
    ComponentError,
    ConfigError,
    Location,
    PipelineSetClosed,
    Problem,
    TransportError,
    UnknownVersion,
    VoicepipeError,
)
from voicepipe.events import (
    EndOfTurn,
    ReplyDone,
    ReplyEvent,
    SpeechAudio,
    SpeechEvent,
    SpeechMark,
    SpeechStarted,
    TextDelta,
    Transcript,
    TranscriptEvent,
    TurnResumed,
    Usage,
    Word,
)
from voicepipe.pipelines.outcome import Applied, Rejected, Retired, Unchanged, VersionRecord
from voicepipe.pipelines.outcome import Outcome as ReloadOutcome
from voicepipe.pipelines.pipeline_set import PipelineSet, SetEvent, open_pipeline_set
from voicepipe.pipelines.plan import Plan
from voicepipe.pipelines.runtime import Runtime, open_runtime
from voicepipe.pipelines.shared_component import ComponentHealth
from voicepipe.pipelines.snapshot import Pipeline, Snapshot
from voicepipe.registry import Adapter, Registry, installed
from voicepipe.requests import (
    CallInfo,
    CallStarted,
    Dtmf,
    Listen,
    Message,
    ReplyRequest,
    Silence,
    StreamInput,
    Tool,
    ToolCall,
    ToolResults,
    Trigger,
    Utterance,
)
from voicepipe.transports.audiosocket import (
    AudioSocketListener,
    AudioSocketTransport,
    open_audiosocket_listener,
    serve_audiosocket,
)
from voicepipe.transports.protocol import CallSink, Capability, Transport

__all__ = [
    "Adapter",
    "Applied",
    "AudioFormat",
    "AudioSocketListener",
    "AudioSocketTransport",
    "Call",
    "CallBegan",
    "CallEnded",
    "CallEvent",
    "CallInfo",
    "CallSink",
    "CallStarted",
    "Capability",
    "ComponentError",
    "ComponentFailed",
    "ComponentHealth",
    "ComponentLabel",
    "ConfigDocument",
    "ConfigError",
    "Directory",
    "Dtmf",
    "DtmfReceived",
    "Encoding",
    "EndOfTurn",
    "FailedOver",
    "File",
    "LanguageModel",
    "Listen",
    "Location",
    "LoggingSettings",
    "Message",
    "Observer",
    "Outcome",
    "Pipeline",
    "PipelineSet",
    "PipelineSetClosed",
    "Plan",
    "Probing",
    "Problem",
    "Registry",
    "Rejected",
    "ReloadOutcome",
    "ReplyDone",
    "ReplyEvent",
    "ReplyRequest",
    "ReplyStarted",
    "ReplyStream",
    "Resources",
    "Retired",
    "Role",
    "Runtime",
    "Secret",
    "SetConfig",
    "SetEvent",
    "Silence",
    "Snapshot",
    "SpeechAudio",
    "SpeechDetected",
    "SpeechEvent",
    "SpeechMark",
    "SpeechStarted",
    "SpeechStream",
    "SpeechToText",
    "StreamInput",
    "TextDelta",
    "TextToSpeech",
    "Tool",
    "ToolCall",
    "ToolResults",
    "Transcribed",
    "Transcript",
    "TranscriptEvent",
    "TranscriptStream",
    "Transport",
    "TransportError",
    "Trigger",
    "TurnEnded",
    "TurnResumed",
    "Unchanged",
    "UnknownVersion",
    "Usage",
    "Utterance",
    "VersionRecord",
    "VoicepipeError",
    "Word",
    "effective_config",
    "format_problems",
    "installed",
    "load_config",
    "open_audiosocket_listener",
    "open_call",
    "open_pipeline_set",
    "open_runtime",
    "problems_as_data",
    "read_document",
    "serve_audiosocket",
]
