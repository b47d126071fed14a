"""The YAML file's own shape, section by section, before references are resolved.

Like the sections in `settings`, these classes are the documentation of what the operator may write.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from voicepipe.components.values import File
from voicepipe.config.call_settings import (
    BudgetsSettings,
    KeyAction,
    LimitsSettings,
    OnFailure,
    StreamingSettings,
    TurnsSettings,
)
from voicepipe.config.history_settings import HistorySettings
from voicepipe.config.log_settings import LoggingSettings
from voicepipe.config.recording_settings import RecordingSettings
from voicepipe.config.resolved import ResolvedReference
from voicepipe.documents import Cursor
from voicepipe.text.spoken.settings import SpeechSettings
from voicepipe.tools.settings import ToolSettings


class ToolName(str):
    """A tool that is known."""

    __slots__ = ()


@frozen
class Definition:
    """The value of a name under `components:`; it is read only when a reference uses it."""

    cursor: Cursor
    """The value in the document."""


@frozen
class Layer:
    """A mapping that is laid over another."""

    cursor: Cursor
    """The value in the document."""


@frozen
class TurnsLayer(Layer):
    """A pipeline's `turns`."""


@frozen
class BudgetsLayer(Layer):
    """A pipeline's `budgets`."""


@frozen
class RecordingLayer(Layer):
    """A pipeline's `recording`."""


@frozen
class SpeechLayer(Layer):
    """A pipeline's `speech`."""


@frozen
class HistoryLayer(Layer):
    """A pipeline's `history`."""


LAYERED: Mapping[str, tuple[type[Layer], type[Any]]] = {
    "turns": (TurnsLayer, TurnsSettings),
    "budgets": (BudgetsLayer, BudgetsSettings),
    "recording": (RecordingLayer, RecordingSettings),
    "speech": (SpeechLayer, SpeechSettings),
    "history": (HistoryLayer, HistorySettings),
}
"""Sections that the file has and each pipeline may lay its own over: by name, what the latter and the whole are."""


@frozen
class RoleOptions:
    """Options by role, laid over those of the pipeline's references."""

    stt: Layer | None = None
    """For speech-to-text."""
    llm: Layer | None = None
    """For the language model."""
    tts: Layer | None = None
    """For text-to-speech."""


def _is_text(_instance: Any, _field: Any, file: File) -> None:
    try:
        file.content.decode()
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None


def _are_keys(_instance: Any, _field: Any, keys: Mapping[str, KeyAction]) -> None:
    for key in keys:
        if len(key) != 1 or key not in "0123456789*#ABCD":
            raise ValueError(f'"{key}" is not a telephone key: use 0 to 9, "*", "#" or A to D')


@frozen
class PromptFile:
    """A prompt in a file of its own."""

    file: File = field(validator=_is_text)
    """Its path, from where the YAML file is."""

    @property
    def text(self) -> str:
        """What the file holds, without space around it."""
        return self.file.content.decode("utf-8-sig").strip()


@frozen
class PipelineSection:
    """A named composition of speech-to-text, language model and text-to-speech."""

    stt: ResolvedReference
    """Speech-to-text: a component's or adapter's name, a mapping with `type:`, or a list of those to fail over."""
    llm: ResolvedReference
    """Language model, likewise."""
    tts: ResolvedReference
    """Text-to-speech, likewise."""
    options: RoleOptions = field(default=RoleOptions())
    """Options by role, laid over those of the references."""
    prompt: str | PromptFile = ""
    """Instructions to the language model: the text, or `{file: ...}`."""
    greeting: str | None = None
    """Said first; null: the model speaks first."""
    tools: tuple[ToolName, ...] = (ToolName("hang_up"),)
    """Names of the tools that the model may call; `[]` for none."""
    selectable: bool = False
    """Opened although nothing leads here, for integrators that choose by name."""
    on_failure: OnFailure = field(default=OnFailure())
    """What the caller hears when a role has nothing left that works."""
    keys: Mapping[str, KeyAction] = field(factory=dict, validator=_are_keys)
    """What menu keys do, whatever is being said: by the key, `{say: ...}`, `{transfer: ...}` or `{hang_up: true}`."""
    turns: TurnsLayer | None = None
    """Laid over the file's."""
    budgets: BudgetsLayer | None = None
    """Laid over the file's."""
    recording: RecordingLayer | None = None
    """Laid over the file's."""
    speech: SpeechLayer | None = None
    """Laid over the file's."""
    history: HistoryLayer | None = None
    """Laid over the file's."""


@frozen
class WhenSection:
    """Which calls a route takes: all keys that stand here must match. `*` is any run of characters, `?` any one."""

    called: str | tuple[str, ...] = ()
    """The number that was dialled, as a pattern or a list of them; spaces, dashes, dots and parentheses don't count."""
    caller: str | tuple[str, ...] = ()
    """The number that dials, likewise; `""` is an unknown one."""
    listener: str | tuple[str, ...] = ()
    """The name of the listener that the call came in by."""
    variables: Mapping[str, str | tuple[str, ...]] = field(factory=dict)
    """What else the transport was told: patterns by the variable's name; `?*` is anything but nothing."""


@frozen
class RouteSection:
    """Which pipeline certain calls get: either `pipeline` or `split`."""

    when: WhenSection = field(default=WhenSection())
    """Which calls; left out: all that come this far."""
    pipeline: str = ""
    """The pipeline that answers them."""
    split: Mapping[str, float] = field(factory=dict)
    """Names of pipelines with their weights, of whatever sum; the same caller always gets the same one."""


@frozen
class SetFile:
    """A pipeline set's file."""

    pipelines: Mapping[str, PipelineSection]
    """By name."""
    active_pipeline: str = "default"
    """The pipeline that answers when no route says otherwise."""
    routes: tuple[RouteSection, ...] = ()
    """Which other pipelines answer which calls: the first route that matches decides."""
    components: Mapping[str, Definition] = field(factory=dict)
    """Named once, used in several pipelines."""
    tools: Mapping[str, ToolSettings] = field(factory=dict)
    """Tools of your own, by name; a pipeline's model may call those that its own `tools` lists."""
    turns: TurnsSettings = field(default=TurnsSettings())
    """How turns are taken, unless a pipeline says otherwise."""
    budgets: BudgetsSettings = field(default=BudgetsSettings())
    """How long components may take, unless a pipeline says otherwise."""
    recording: RecordingSettings = field(default=RecordingSettings())
    """Whether calls are recorded, unless a pipeline says otherwise."""
    speech: SpeechSettings = field(default=SpeechSettings())
    """What is made of the model's text before it is spoken, unless a pipeline says otherwise."""
    history: HistorySettings = field(default=HistorySettings())
    """How much of the conversation the model is sent, unless a pipeline says otherwise."""
    streaming: StreamingSettings = field(default=StreamingSettings())
    """How audio is streamed."""
    limits: LimitsSettings = field(default=LimitsSettings())
    """What no call may exceed."""
    logging: LoggingSettings = field(default=LoggingSettings())
    """What is logged; takes effect at once."""
