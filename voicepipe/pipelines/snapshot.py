"""One version of a pipeline set, frozen: what a call reads, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
from voicepipe.tools.functions import FunctionTool

if TYPE_CHECKING:
    from voicepipe.components.labels import Role
    from voicepipe.components.requests import CallInfo


@frozen
class OpenedComponent:
    """An opened component as a pipeline refers to it, or one that is still tried to be opened."""

    label: ComponentLabel
    """As logs and records name it."""
    settings: ComponentSettings
    """What it was opened with."""
    breaker: Breaker = field(factory=Breaker, eq=False, repr=False, kw_only=True)
    """Whether calls should try it; shared by all that use the same component."""
    _was_open: Callable[[], bool] = field(default=lambda: True, eq=False, repr=False, kw_only=True)

    @property
    def was_open(self) -> bool:
        """Whether it has been open; one that could not be opened is still tried."""
        return self._was_open()

    @property
    def health(self) -> ComponentHealth:
        """How it does, for all calls of the process."""
        return health_of(self.settings, self.label.model, self.breaker, was_open=self.was_open)

    @property
    def ref(self) -> ComponentRef:
        """As errors name it."""
        return ComponentRef(self.settings.role, self.settings.name, self.settings.secrets.conceal)


@frozen
class OpenedSpeechToText(OpenedComponent):
    """An opened speech-to-text."""

    component: SpeechToText = field(repr=False)
    """Behind its edge: raises nothing but `ComponentError`."""


@frozen
class OpenedLanguageModel(OpenedComponent):
    """An opened language model."""

    component: LanguageModel = field(repr=False)
    """Behind its edge: raises nothing but `ComponentError`."""


@frozen
class OpenedTextToSpeech(OpenedComponent):
    """An opened text-to-speech."""

    component: TextToSpeech = field(repr=False)
    """Behind its edge: raises nothing but `ComponentError`."""


@frozen
class CachedSpeech:
    """Speech that was made beforehand."""

    text: str
    """What it says."""
    audio: bytes = field(repr=False)
    """The speech."""
    format: AudioFormat
    """How it is written."""


@frozen
class Pipeline:
    """A composition of opened components, ready for calls."""

    name: str
    """Its key under `pipelines:`."""
    set: str
    """The pipeline set's name."""
    version: int
    """The snapshot that it belongs to."""
    digest: str
    """That snapshot's digest."""
    settings: PipelineSettings = field(repr=False)
    """As configured."""
    _stt: tuple[OpenedSpeechToText, ...]
    _llm: tuple[OpenedLanguageModel, ...]
    _tts: tuple[OpenedTextToSpeech, ...]
    clock: Clock = field(repr=False)
    """The clock of its calls."""
    reports: ObserverReports = field(factory=ObserverReports, eq=False, repr=False, kw_only=True)
    """Where it is said what observers of its calls raise."""
    tools: tuple[FunctionTool, ...] = field(default=(), repr=False)
    """Those of `settings.tools` that run: declared in the file, or an integrator's own."""
    _apology_of: Callable[[str], CachedSpeech | None] = field(default=lambda _name: None, eq=False, repr=False)

    @property
    def stt(self) -> tuple[OpenedSpeechToText, ...]:
        """Speech-to-text that has opened, in failover order; empty only if a start found none, until one opens."""
        return tuple(opened for opened in self._stt if opened.was_open)

    @property
    def llm(self) -> tuple[OpenedLanguageModel, ...]:
        """Language models that have opened, in failover order."""
        return tuple(opened for opened in self._llm if opened.was_open)

    @property
    def tts(self) -> tuple[OpenedTextToSpeech, ...]:
        """Text-to-speech that has opened, in failover order."""
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
        """All alternatives of a role, in failover order; the breaker of one that has not opened is open."""
        alternatives: dict[Role, tuple[OpenedComponent, ...]] = {"stt": self._stt, "llm": self._llm, "tts": self._tts}
        return alternatives[role]

    @property
    def apology(self) -> CachedSpeech | None:
        """`on_failure.say`, spoken beforehand, for when nothing can speak any more; None: no voice has done so yet."""
        return self._apology_of(self.name)


@frozen
class Snapshot:
    """One version of a pipeline set; pinned by a call, it stays as it is until the call lets go."""

    set: str
    """The pipeline set's name."""
    version: int
    """Counts from 1."""
    digest: str
    """SHA-256 in hex of the sources; equal digests say the same."""
    config: SetConfig = field(repr=False)
    """What it was built from."""
    pipelines: Mapping[str, Pipeline]
    """By name: those that calls can get."""

    @property
    def active(self) -> Pipeline:
        """The pipeline that answers when nothing else is said."""
        return self.pipelines[self.config.active_pipeline]

    @property
    def components(self) -> tuple[ComponentHealth, ...]:
        """How each component does that its calls can get, by role and name; those that have not opened too."""
        opened = {
            component.settings.key: component
            for pipeline in self.pipelines.values()
            for role in ROLES
            for component in pipeline.role(role)
        }
        order = {role: number for number, role in enumerate(ROLES)}
        health = (component.health for component in opened.values())
        return tuple(sorted(health, key=lambda component: (order[component.role], component.name)))

    def choose(self, info: CallInfo) -> Pipeline:
        """The pipeline for a call: by the first route that matches, else the active one.

        A split gives the same caller the same pipeline, and callers who are not known any of them, call by call.
        """
        this_call = evolve(info, call_id=new_call_id())  # a split draws by it if the caller is not known
        return self.pipelines[choose(self.config, this_call).pipeline]
