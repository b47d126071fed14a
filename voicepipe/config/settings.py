"""What a configuration file comes to: frozen, typed, with every reference resolved.

The classes of the sections (`turns`, `limits`, ...) are in the modules `*_settings` beside this one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import evolve, field, frozen

from voicepipe.components.labels import Role
from voicepipe.components.secrets import Secrets
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
from voicepipe.config.patterns import plain_number
from voicepipe.config.recording_settings import RecordingSettings
from voicepipe.errors import Location
from voicepipe.text.spoken.settings import SpeechSettings
from voicepipe.tools.settings import ToolSettings

TOOLS = ("hang_up", "transfer", "send_dtmf")
"""The tools that every call has; an integrator's own come besides."""


@frozen
class ComponentSettings:
    """One alternative of a role: an adapter with its options."""

    role: Role
    """What it is used as."""
    adapter: str
    """The adapter's name."""
    options: Any
    """An instance of the adapter's options class, complete: files read, secrets resolved."""
    name: str = field(eq=False)
    """As the operator knows it: the name under `components:`, else the adapter's."""
    where: Location = field(eq=False)
    """Where it stands, for problems that show when it is opened."""
    path: str = field(eq=False)
    """The same from the top of the file: `pipelines.sales.tts`."""
    key: str = field(repr=False)
    """Its identity in memory: equal keys are the same component. Covers secrets' values, so it is never shown."""
    model: str | None = field(default=None, eq=False)
    """The model or voice, as its adapter names it."""
    secrets: Secrets = field(factory=Secrets, eq=False, repr=False)
    """What its errors must not quote."""


@frozen
class PipelineSettings:
    """A pipeline with all that it needs."""

    name: str
    """Its key under `pipelines:`."""
    stt: tuple[ComponentSettings, ...]
    """Speech-to-text, in failover order; at least one."""
    llm: tuple[ComponentSettings, ...]
    """Language model, likewise."""
    tts: tuple[ComponentSettings, ...]
    """Text-to-speech, likewise."""
    prompt: str = ""
    """Instructions to the language model."""
    greeting: str | None = None
    """Said first; None: the model speaks first."""
    tools: tuple[str, ...] = ("hang_up",)
    """Names of the tools that the model may call; `[]` for none."""
    declared: Mapping[str, ToolSettings] = field(factory=dict)
    """Those of them that the file declares."""
    selectable: bool = False
    """Opened although nothing leads here, for integrators that choose by name."""
    on_failure: OnFailure = field(default=OnFailure())
    """What the caller hears when a role has nothing left that works."""
    keys: Mapping[str, KeyAction] = field(factory=dict)
    """What menu keys do, whatever is being said; all others are replied to by the model."""
    turns: TurnsSettings = field(default=TurnsSettings())
    """The file's `turns`, with the pipeline's own laid over them."""
    budgets: BudgetsSettings = field(default=BudgetsSettings())
    """The file's `budgets`, likewise."""
    recording: RecordingSettings = field(default=RecordingSettings())
    """The file's `recording`, likewise; its directory from the root."""
    speech: SpeechSettings = field(default=SpeechSettings())
    """The file's `speech`, likewise."""
    history: HistorySettings = field(default=HistorySettings())
    """The file's `history`, likewise."""
    streaming: StreamingSettings = field(default=StreamingSettings())
    """The file's."""
    limits: LimitsSettings = field(default=LimitsSettings())
    """The file's."""
    secrets: Secrets = field(factory=Secrets, eq=False, repr=False)
    """What its tools' results must not quote."""

    def role(self, role: Role) -> tuple[ComponentSettings, ...]:
        """The alternatives of a role."""
        return {"stt": self.stt, "llm": self.llm, "tts": self.tts}[role]


@frozen
class When:
    """Which calls a route takes: every key that has patterns must match, of its patterns any."""

    called: tuple[str, ...] = ()
    """Patterns of the number that was dialled; empty: any."""
    caller: tuple[str, ...] = ()
    """Patterns of the number that dials, likewise."""
    listener: tuple[str, ...] = ()
    """Patterns of the listener's name, likewise."""
    variables: Mapping[str, tuple[str, ...]] = field(factory=dict)
    """Patterns by the variable's name; one that was not given is as if it were empty."""

    @property
    def identity(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Keys with their patterns in normal form: equal for two that are written differently and mean the same."""
        numbers = {"called": self.called, "caller": self.caller}
        others = {"listener": self.listener} | {f"variables.{name}": of for name, of in self.variables.items()}
        normal = {key: {plain_number(one) for one in of} for key, of in numbers.items()}
        normal |= {key: {str(one) for one in of} for key, of in others.items()}
        return tuple((key, tuple(sorted(of))) for key, of in sorted(normal.items()) if of)


@frozen
class Route:
    """One entry of `routes`: these calls get those pipelines."""

    when: When
    """Which calls."""
    weights: Mapping[str, float]
    """Names of pipelines with their share of the calls, of whatever sum; just one for `pipeline:`."""
    where: Location = field(eq=False)
    """Where it stands."""


@frozen
class SetConfig:
    """One pipeline set's file, read and resolved: everything that a version is built from."""

    path: Path
    """The YAML file, as the user named it."""
    digest: str
    """SHA-256 in hex over the normalised file, its files' hashes and its secrets' names; comments don't count."""
    active_pipeline: str
    """The pipeline that answers when no route says otherwise."""
    pipelines: Mapping[str, PipelineSettings]
    """By name, in the file's order; all are valid, the reachable ones get opened."""
    logging: LoggingSettings
    """Takes effect at once."""
    files: tuple[Path, ...]
    """Absolute paths of everything that was read, the YAML first: what a watcher watches."""
    sources: Mapping[Path, bytes] = field(factory=dict, eq=False, repr=False)
    """What was read that is not secret, by absolute path: the YAML, prompts, scripts; no `${file:}`, no directories."""
    routes: tuple[Route, ...] = ()
    """The first that matches a call decides."""
    written: bytes = field(default=b"", eq=False, repr=False)
    """All of it in normal form, of which the digest is made, pickled; `effective_config` shows it without secrets."""

    @property
    def reachable(self) -> tuple[str, ...]:
        """Names of the pipelines that calls can get, in the file's order."""
        led_to = {self.active_pipeline}.union(*(route.weights for route in self.routes))
        return tuple(name for name, pipeline in self.pipelines.items() if name in led_to or pipeline.selectable)

    @property
    def for_calls(self) -> SetConfig:
        """The same without the pipelines that no call can get: what serving takes, however long the file is."""
        return evolve(self, pipelines={name: self.pipelines[name] for name in self.reachable})
