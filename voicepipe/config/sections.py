"""The sections and keys of a pipeline set's YAML file, before references are resolved.

A field's name, type, default, validator and docstring are the key's documentation: the tables in
docs/reference/configuration.md and the JSON Schema are made from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from attrs import field, frozen
from attrs.validators import and_, ge, le, optional

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
from voicepipe.config.price_settings import PricesSettings
from voicepipe.config.recording_settings import RecordingSettings
from voicepipe.config.redact_settings import RedactSettings
from voicepipe.config.resolved import ResolvedReference
from voicepipe.config.sound_settings import HoldSettings, RingbackSettings
from voicepipe.config.timezones import IN_UTC, TimeZone
from voicepipe.documents import Cursor
from voicepipe.text.spoken.settings import SpeechSettings
from voicepipe.tools.settings import ToolSettings


class ToolName(str):
    """The name of a tool that exists."""

    __slots__ = ()


@frozen
class Definition:
    """A definition under `components:`, which is read when a reference leads to it."""

    cursor: Cursor
    """The value in the document."""


@frozen
class Layer:
    """A mapping that is laid over another one, key by key."""

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
"""Sections of the file that a pipeline may lay its own over: by name, the class of the layer and of the section."""


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
    """The path of the file, relative to the YAML file's directory."""

    @property
    def text(self) -> str:
        """The content of the file, without white space around it."""
        return self.file.content.decode("utf-8-sig").strip()


@frozen
class PipelineSection:
    """A named composition of speech-to-text, language model and text-to-speech."""

    stt: ResolvedReference
    """Speech-to-text: a component's or adapter's name, a mapping with `type:`, or a list of those to fail over."""
    llm: ResolvedReference
    """Language model, written as `stt` is."""
    tts: ResolvedReference
    """Text-to-speech, written as `stt` is."""
    options: RoleOptions = field(default=RoleOptions())
    """Options by role, laid over the options of the references, key by key."""
    prompt: str | PromptFile = ""
    """Instructions to the language model: the text, or `{file: ...}`."""
    greeting: str | None = None
    """The text that is said first; null: the model speaks first."""
    speaks_first: Literal["agent", "caller"] = "agent"
    """Who speaks first. `caller`: the greeting, or the model's first words, answers what the caller says on picking up,
    or comes after `limits.first_words_s` of silence; for calls that the agent makes."""
    tools: tuple[ToolName, ...] = (ToolName("hang_up"),)
    """Names of the tools that the model may call; `[]` for none."""
    selectable: bool = False
    """Whether components are opened even if no route leads here, for programs that choose a pipeline by its name."""
    on_failure: OnFailure = field(default=OnFailure())
    """The steps after a component has failed, and after a role has no alternative left."""
    keys: Mapping[str, KeyAction] = field(factory=dict, validator=_are_keys)
    """The actions of menu keys, at any time in the call: `{say: ...}`, `{transfer: ...}` or `{hang_up: true}` by
    key."""
    hold: HoldSettings | None = None
    """The sound that a caller hears while a tool runs for long, or a transfer rings; null: silence."""
    ringback: RingbackSettings | None = None
    """The ringing tone that a caller hears until the agent speaks first, while providers connect; null: silence."""
    comfort_noise: int | None = field(default=None, validator=optional(and_(ge(-90), le(-30))))
    """The level of a soft noise that a caller hears whenever the agent says nothing, in dBov, such as -65; null:
    silence, in which a line can seem dead."""
    turns: TurnsLayer | None = None
    """Turn-taking in this pipeline: keys that override the file's `turns`."""
    budgets: BudgetsLayer | None = None
    """Time limits of this pipeline's components: keys that override the file's `budgets`."""
    recording: RecordingLayer | None = None
    """Recording of this pipeline's calls: keys that override the file's `recording`."""
    speech: SpeechLayer | None = None
    """Normalisation of this pipeline's text: keys that override the file's `speech`."""
    history: HistoryLayer | None = None
    """The conversation that this pipeline's model is sent: keys that override the file's `history`."""


@frozen
class WhenSection:
    """The calls that a route takes: all keys that are given must match. `*` is any run of characters, `?` any one."""

    called: str | tuple[str, ...] = ()
    """The number that was dialled, as a pattern or a list of them; spaces, dashes, dots and parentheses don't count."""
    caller: str | tuple[str, ...] = ()
    """The calling number, as a pattern or a list of them; `""` is an unknown number."""
    listener: str | tuple[str, ...] = ()
    """The name of the listener that the call arrived at, as a pattern or a list of them."""
    variables: Mapping[str, str | tuple[str, ...]] = field(factory=dict)
    """Variables that the transport was given with the call: patterns by name; `?*` is any value that is not empty."""
    hours: str | tuple[str, ...] = ()
    """The hours of the week at which the call comes, such as `mon-fri 09:00-17:00`, or a list of them."""
    outside_hours: str | tuple[str, ...] = ()
    """Hours of the week at which it does not come, written as `hours` are."""
    dates: str | tuple[str, ...] = ()
    """The dates at which the call comes, or a list of them: `2026-12-24`, `12-25` in each year, `12-24..01-06`."""
    except_dates: str | tuple[str, ...] = ()
    """Dates at which it does not come, such as public holidays, written as `dates` are."""
    timezone: TimeZone | None = None
    """The time zone of these hours and dates, and of the calls that the route takes; null: the file's."""


@frozen
class RouteSection:
    """The pipeline, or the split, for certain calls: either `pipeline` or `split`."""

    when: WhenSection = field(default=WhenSection())
    """The calls that the route takes; left out: all calls that no earlier route takes."""
    pipeline: str = ""
    """The pipeline that answers them."""
    split: Mapping[str, float] = field(factory=dict)
    """Names of pipelines with their weights, whose sum may be any number; a caller always gets the same pipeline."""


@frozen
class SetFile:
    """A pipeline set's file."""

    pipelines: Mapping[str, PipelineSection]
    """The pipelines, by name."""
    active_pipeline: str = "default"
    """The pipeline of calls that no route takes."""
    routes: tuple[RouteSection, ...] = ()
    """The pipelines of certain calls: the first route that matches a call decides."""
    timezone: TimeZone = IN_UTC
    """The time zone of hours, dates and times, as the IANA database names it: `Europe/Berlin`."""
    components: Mapping[str, Definition] = field(factory=dict)
    """Components by name, for use in several pipelines."""
    tools: Mapping[str, ToolSettings] = field(factory=dict)
    """Tools of your own, by name; a pipeline's model may call those that the pipeline's `tools` lists."""
    turns: TurnsSettings = field(default=TurnsSettings())
    """Turn-taking; a pipeline may override it."""
    budgets: BudgetsSettings = field(default=BudgetsSettings())
    """Time limits of components; a pipeline may override them."""
    recording: RecordingSettings = field(default=RecordingSettings())
    """Whether calls are recorded; a pipeline may override it."""
    speech: SpeechSettings = field(default=SpeechSettings())
    """How the model's text is made speakable; a pipeline may override it."""
    history: HistorySettings = field(default=HistorySettings())
    """How much of the conversation is sent to the model; a pipeline may override it."""
    streaming: StreamingSettings = field(default=StreamingSettings())
    """How speech is written to the line."""
    limits: LimitsSettings = field(default=LimitsSettings())
    """Limits of every call."""
    redact: RedactSettings = field(default=RedactSettings())
    """Private words, such as card numbers, that are replaced before anything is stored or shown; takes effect at once,
    calls that are up included."""
    prices: PricesSettings | None = None
    """What providers charge, for the cost of calls in records; null: it is not known."""
    logging: LoggingSettings = field(default=LoggingSettings())
    """What is logged; takes effect at once, calls that are up included."""
