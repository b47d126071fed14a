"""One version of a pipeline set, as a call sees it: immutable."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, overload

from attrs import evolve, field, frozen

from voicepipe.audio import AudioFormat
from voicepipe.clock.clock import Clock
from voicepipe.components.boundary import ComponentRef
from voicepipe.components.breaker import Breaker
from voicepipe.components.labels import ROLES, ComponentLabel
from voicepipe.components.observers import ObserverReports
from voicepipe.components.protocols import LanguageModel, SpeechToText, TextToSpeech
from voicepipe.components.requests import new_call_id
from voicepipe.config.settings import ComponentSettings, PipelineSettings, SetConfig
from voicepipe.pipelines.health import ComponentHealth, health_of
from voicepipe.pipelines.routing import choose
from voicepipe.pipelines.sounds import Sounds
from voicepipe.tools.functions import FunctionTool

if TYPE_CHECKING:
    from voicepipe.components.labels import Role
    from voicepipe.components.requests import CallInfo


@frozen
class OpenedComponent:
    """A component that a pipeline uses: opened, or not open yet and retried."""

    label: ComponentLabel
    """Its names in logs and records."""
    settings: ComponentSettings
    """The settings that it is opened with."""
    breaker: Breaker = field(factory=Breaker, eq=False, repr=False, kw_only=True)
    """Decides whether calls should try it; shared by all users of the component."""
    _was_open: Callable[[], bool] = field(default=lambda: True, eq=False, repr=False, kw_only=True)

    @property
    def was_open(self) -> bool:
        """Whether it has ever been open."""
        return self._was_open()

    @property
    def health(self) -> ComponentHealth:
        """Its health, for all calls of the process."""
        return health_of(self.settings, self.label.model, self.breaker, was_open=self.was_open)

    @property
    def ref(self) -> ComponentRef:
        """Its name and role in errors."""
        return ComponentRef(self.settings.role, self.settings.name, self.settings.secrets.conceal)


@frozen
class OpenedSpeechToText(OpenedComponent):
    """An opened speech-to-text."""

    component: SpeechToText = field(repr=False)
    """The component behind the boundary: it raises nothing but `ComponentError`."""


@frozen
class OpenedLanguageModel(OpenedComponent):
    """An opened language model."""

    component: LanguageModel = field(repr=False)
    """The component behind the boundary: it raises nothing but `ComponentError`."""


@frozen
class OpenedTextToSpeech(OpenedComponent):
    """An opened text-to-speech."""

    component: TextToSpeech = field(repr=False)
    """The component behind the boundary: it raises nothing but `ComponentError`."""


@frozen
class CachedSpeech:
    """Speech that was synthesised before it is needed."""

    text: str
    """The text that is spoken."""
    audio: bytes = field(repr=False)
    """The speech, in `format`."""
    format: AudioFormat
    """The format of the audio."""


@frozen
class Pipeline:
    """A composition of opened components, ready for calls."""

    name: str
    """Its key under `pipelines:`."""
    set: str
    """The pipeline set's name."""
    version: int
    """The number of the version that it belongs to."""
    digest: str
    """The digest of that version."""
    settings: PipelineSettings = field(repr=False)
    """Its settings."""
    _stt: tuple[OpenedSpeechToText, ...]
    _llm: tuple[OpenedLanguageModel, ...]
    _tts: tuple[OpenedTextToSpeech, ...]
    clock: Clock = field(repr=False)
    """The clock of its calls."""
    reports: ObserverReports = field(factory=ObserverReports, eq=False, repr=False, kw_only=True)
    """Reports what observers of its calls raise."""
    tools: tuple[FunctionTool, ...] = field(default=(), repr=False)
    """The tools of `settings.tools` that run: declared in the file, or functions of the program."""
    sounds: Sounds = field(default=Sounds(), eq=False, repr=False, kw_only=True)
    """The sounds that its calls play beside speech."""
    _apology_of: Callable[[str], CachedSpeech | None] = field(default=lambda _name: None, eq=False, repr=False)

    @property
    def stt(self) -> tuple[OpenedSpeechToText, ...]:
        """Speech-to-text that has been open, in failover order; empty only after a start that could open none."""
        return tuple(opened for opened in self._stt if opened.was_open)

    @property
    def llm(self) -> tuple[OpenedLanguageModel, ...]:
        """Language models that have been open, in failover order."""
        return tuple(opened for opened in self._llm if opened.was_open)

    @property
    def tts(self) -> tuple[OpenedTextToSpeech, ...]:
        """Text-to-speech that has been open, in failover order."""
        return tuple(opened for opened in self._tts if opened.was_open)

    @overload
    def role(self, role: Literal["stt"]) -> tuple[OpenedSpeechToText, ...]: ...
    @overload
    def role(self, role: Literal["llm"]) -> tuple[OpenedLanguageModel, ...]: ...
    @overload
    def role(self, role: Literal["tts"]) -> tuple[OpenedTextToSpeech, ...]: ...
    @overload
    def role(self, role: Role) -> tuple[OpenedComponent, ...]: ...
    def role(self, role: Role) -> tuple[OpenedComponent, ...]:
        """Returns all alternatives of a role, in failover order; the breaker of one that is not open yet is open."""
        alternatives: dict[Role, tuple[OpenedComponent, ...]] = {"stt": self._stt, "llm": self._llm, "tts": self._tts}
        return alternatives[role]

    @property
    def apology(self) -> CachedSpeech | None:
        """The cached speech of `on_failure.say`, for when no voice works; None: no voice has spoken it yet."""
        return self._apology_of(self.name)


@frozen
class Snapshot:
    """One version of a pipeline set; its components stay open for as long as it serves or is pinned."""

    set: str
    """The pipeline set's name."""
    version: int
    """Its number, from 1."""
    digest: str
    """The digest of its configuration: SHA-256 in hex."""
    config: SetConfig = field(repr=False)
    """The configuration that it was built from."""
    pipelines: Mapping[str, Pipeline]
    """The reachable pipelines, by name."""

    @property
    def active(self) -> Pipeline:
        """The active pipeline, which calls get that no route takes."""
        return self.pipelines[self.config.active_pipeline]

    @property
    def components(self) -> tuple[ComponentHealth, ...]:
        """The health of all components, by role and name, also of those that are not open yet."""
        opened = {
            component.settings.key: component
            for pipeline in self.pipelines.values()
            for role in ROLES
            for component in pipeline.role(role)
        }
        order = {role: number for number, role in enumerate(ROLES)}
        health = (component.health for component in opened.values())
        return tuple(sorted(health, key=lambda component: (order[component.role], component.name)))

    def choose(self, info: CallInfo, at: datetime | None = None) -> Pipeline:
        """Returns the pipeline for a call: that of the first route that matches, or else the active one.

        A call that asks for a pipeline by its name (`CallInfo.pipeline`) gets that, if the version has it open. A split
        gives a caller the same pipeline each time; a call with an unknown caller gets any of them.

        Args:
            info: the call.
            at: the moment of the call, with a time zone, for routes with hours or dates; None: now.

        """
        if info.pipeline in self.pipelines:
            return self.pipelines[info.pipeline]
        this_call = evolve(info, call_id=new_call_id())  # a split draws by it if the caller is not known
        choice = choose(self.config, this_call, datetime.now(UTC) if at is None else at)
        pipeline = self.pipelines[choice.pipeline]
        if choice.timezone is not None and choice.timezone != pipeline.settings.timezone:
            return evolve(pipeline, settings=evolve(pipeline.settings, timezone=choice.timezone))
        return pipeline
