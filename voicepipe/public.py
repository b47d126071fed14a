"""The public API, all of it, as `voicepipe` has it: import these names from there."""

from __future__ import annotations

from voicepipe.audio import AudioFormat, Encoding
from voicepipe.calls.call import Call
from voicepipe.calls.events import (
    CallBegan,
    CallEnded,
    CallEvent,
    CallSteered,
    ComponentFailed,
    ComponentUsed,
    DtmfReceived,
    FailedOver,
    LastWordsUnconfirmed,
    ModelAnswered,
    Observer,
    Outcome,
    RecordingConsent,
    RecordingFailed,
    ReplyContinued,
    ReplyPrepared,
    ReplyResumed,
    ReplyStarted,
    SpeechDetected,
    Timings,
    ToolEnded,
    ToolStarted,
    Transcribed,
    TransferEnded,
    TransferStarted,
    TurnEnded,
)
from voicepipe.calls.open_call import Calls, open_call
from voicepipe.calls.record import (
    CallRecord,
    CallRecorder,
    FailureRecord,
    SteeringRecord,
    ToolRecord,
    TransferRecord,
    TurnRecord,
)
from voicepipe.calls.usage import ComponentUsage
from voicepipe.commands.program import run_program
from voicepipe.components.events import (
    EndOfTurn,
    ReplyDone,
    ReplyEvent,
    SpeechAudio,
    SpeechEvent,
    SpeechMark,
    TextDelta,
    Transcript,
    TranscriptEvent,
    TurnResumed,
    Usage,
    Word,
)
from voicepipe.components.labels import ComponentLabel
from voicepipe.components.protocols import (
    LanguageModel,
    NowaitTranscriptStream,
    Probing,
    ReplyStream,
    Resources,
    SpeechStream,
    SpeechToText,
    TextToSpeech,
    TranscriptStream,
)
from voicepipe.components.registry import Adapter, Registry, installed
from voicepipe.components.requests import (
    CallInfo,
    CallStarted,
    Dtmf,
    Listen,
    Message,
    ReplyRequest,
    Silence,
    StreamInput,
    Told,
    Tool,
    ToolCall,
    ToolResults,
    Trigger,
    Utterance,
)
from voicepipe.components.tls import tls_context
from voicepipe.components.trace_context import TraceContext
from voicepipe.components.values import CaFile, Directory, File, Secret
from voicepipe.config.describe.document_schema import document_schema
from voicepipe.config.describe.effective import effective as effective_config
from voicepipe.config.document import ConfigDocument, read_document
from voicepipe.config.env_files import read_env_file
from voicepipe.config.load import load_config
from voicepipe.config.log_settings import LoggingSettings
from voicepipe.config.paths import absolute_path
from voicepipe.config.redact_settings import RedactSettings
from voicepipe.config.report import format_problems, problems_as_data
from voicepipe.config.settings import SetConfig
from voicepipe.config.typed_sections import TypedSection
from voicepipe.errors import (
    CallOver,
    CallRefused,
    ComponentError,
    ComponentsUnavailable,
    ConfigError,
    DialFailed,
    Location,
    PipelineSetClosed,
    Problem,
    ToolError,
    TransferFailed,
    TransportError,
    UnknownVersion,
    VoicepipeError,
)
from voicepipe.pipelines.difference_text import describe_difference
from voicepipe.pipelines.gc_schedule import Collector
from voicepipe.pipelines.health import ComponentHealth
from voicepipe.pipelines.kept_versions import ConfigFingerprint, KeptVersion, VersionAgreement, VersionHistory
from voicepipe.pipelines.opening import open_pipeline_set
from voicepipe.pipelines.outcome import Applied, Rejected, ReloadOutcome, Retired, SetEvent, Unchanged, VersionRecord
from voicepipe.pipelines.past_difference import describe_changes
from voicepipe.pipelines.pipeline_set import PipelineSet
from voicepipe.pipelines.plan import Plan
from voicepipe.pipelines.read_config import ReadConfig, decode_config, read_config
from voicepipe.pipelines.read_in_helper import read_in_thread
from voicepipe.pipelines.runtime import Runtime, open_runtime
from voicepipe.pipelines.snapshot import Pipeline, Snapshot
from voicepipe.roles import Role
from voicepipe.text.private.private_talk import PrivateTalk
from voicepipe.text.private.private_words import PrivateSpan, PrivateWords
from voicepipe.tools.context import SayOutcome, SteerableCall, ToolContext
from voicepipe.tools.functions import FunctionTool, tool
from voicepipe.transports.audiosocket.listener import (
    AudioSocketListener,
    AudioSocketTransport,
    open_audiosocket_listener,
    serve_audiosocket,
)
from voicepipe.transports.audiosocket.transport_type import AudioSocketSettings
from voicepipe.transports.base_transport import BaseWebSocketTransport
from voicepipe.transports.bind_options import host_field, is_loopback, port_field
from voicepipe.transports.binding import listen_on
from voicepipe.transports.call_socket import CallSocket
from voicepipe.transports.delivery import Delivery
from voicepipe.transports.listener import (
    CallHandler,
    ConnectionSource,
    Dialler,
    DialRequest,
    Listener,
    ListenerContext,
    TransportType,
)
from voicepipe.transports.protocol import CallEventReceiver, CallSink, Capability, Transport
from voicepipe.transports.registry import TransportRegistry, installed_transports
from voicepipe.transports.tls import TlsFiles, check_tls
from voicepipe.transports.websocket_listener import (
    BearerCalls,
    HttpRequest,
    HttpResponse,
    Upgrade,
    WebSocketCalls,
    WebSocketTransport,
    check_websockets_installed,
    open_websocket_listener,
)
from voicepipe.wire.http_client import open_http_client

__all__ = [
    "Adapter",
    "Applied",
    "AudioFormat",
    "AudioSocketListener",
    "AudioSocketSettings",
    "AudioSocketTransport",
    "BaseWebSocketTransport",
    "BearerCalls",
    "CaFile",
    "Call",
    "CallBegan",
    "CallEnded",
    "CallEvent",
    "CallEventReceiver",
    "CallHandler",
    "CallInfo",
    "CallOver",
    "CallRecord",
    "CallRecorder",
    "CallRefused",
    "CallSink",
    "CallSocket",
    "CallStarted",
    "CallSteered",
    "Calls",
    "Capability",
    "Collector",
    "ComponentError",
    "ComponentFailed",
    "ComponentHealth",
    "ComponentLabel",
    "ComponentUsage",
    "ComponentUsed",
    "ComponentsUnavailable",
    "ConfigDocument",
    "ConfigError",
    "ConfigFingerprint",
    "ConnectionSource",
    "Delivery",
    "DialFailed",
    "DialRequest",
    "Dialler",
    "Directory",
    "Dtmf",
    "DtmfReceived",
    "Encoding",
    "EndOfTurn",
    "FailedOver",
    "FailureRecord",
    "File",
    "FunctionTool",
    "HttpRequest",
    "HttpResponse",
    "KeptVersion",
    "LanguageModel",
    "LastWordsUnconfirmed",
    "Listen",
    "Listener",
    "ListenerContext",
    "Location",
    "LoggingSettings",
    "Message",
    "ModelAnswered",
    "NowaitTranscriptStream",
    "Observer",
    "Outcome",
    "Pipeline",
    "PipelineSet",
    "PipelineSetClosed",
    "Plan",
    "PrivateSpan",
    "PrivateTalk",
    "PrivateWords",
    "Probing",
    "Problem",
    "ReadConfig",
    "RecordingConsent",
    "RecordingFailed",
    "RedactSettings",
    "Registry",
    "Rejected",
    "ReloadOutcome",
    "ReplyContinued",
    "ReplyDone",
    "ReplyEvent",
    "ReplyPrepared",
    "ReplyRequest",
    "ReplyResumed",
    "ReplyStarted",
    "ReplyStream",
    "Resources",
    "Retired",
    "Role",
    "Runtime",
    "SayOutcome",
    "Secret",
    "SetConfig",
    "SetEvent",
    "Silence",
    "Snapshot",
    "SpeechAudio",
    "SpeechDetected",
    "SpeechEvent",
    "SpeechMark",
    "SpeechStream",
    "SpeechToText",
    "SteerableCall",
    "SteeringRecord",
    "StreamInput",
    "TextDelta",
    "TextToSpeech",
    "Timings",
    "TlsFiles",
    "Told",
    "Tool",
    "ToolCall",
    "ToolContext",
    "ToolEnded",
    "ToolError",
    "ToolRecord",
    "ToolResults",
    "ToolStarted",
    "TraceContext",
    "Transcribed",
    "Transcript",
    "TranscriptEvent",
    "TranscriptStream",
    "TransferEnded",
    "TransferFailed",
    "TransferRecord",
    "TransferStarted",
    "Transport",
    "TransportError",
    "TransportRegistry",
    "TransportType",
    "Trigger",
    "TurnEnded",
    "TurnRecord",
    "TurnResumed",
    "TypedSection",
    "Unchanged",
    "UnknownVersion",
    "Upgrade",
    "Usage",
    "Utterance",
    "VersionAgreement",
    "VersionHistory",
    "VersionRecord",
    "VoicepipeError",
    "WebSocketCalls",
    "WebSocketTransport",
    "Word",
    "absolute_path",
    "check_tls",
    "check_websockets_installed",
    "decode_config",
    "describe_changes",
    "describe_difference",
    "document_schema",
    "effective_config",
    "format_problems",
    "host_field",
    "installed",
    "installed_transports",
    "is_loopback",
    "listen_on",
    "load_config",
    "open_audiosocket_listener",
    "open_call",
    "open_http_client",
    "open_pipeline_set",
    "open_runtime",
    "open_websocket_listener",
    "port_field",
    "problems_as_data",
    "read_config",
    "read_document",
    "read_env_file",
    "read_in_thread",
    "run_program",
    "serve_audiosocket",
    "tls_context",
    "tool",
]
