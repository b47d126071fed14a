"""The configuration of a pipeline set: frozen and typed, with every reference resolved.

The classes of the sections (`turns`, `limits`, ...) are in the modules `*_settings` beside this one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

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
from voicepipe.config.dates import dates_of
from voicepipe.config.history_settings import HistorySettings
from voicepipe.config.hours import ALWAYS, all_minutes_of
from voicepipe.config.log_settings import LoggingSettings
from voicepipe.config.patterns import plain_number
from voicepipe.config.price_settings import PricesSettings
from voicepipe.config.recording_settings import RecordingSettings
from voicepipe.config.redact_settings import RedactSettings
from voicepipe.config.sound_settings import HoldSettings, RingbackSettings
from voicepipe.config.timezones import UTC, zone_of
from voicepipe.errors import Location, Problem
from voicepipe.text.spoken.settings import SpeechSettings
from voicepipe.tools.settings import ToolSettings

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

TOOLS = ("hang_up", "transfer", "send_dtmf")
"""The built-in tools, which every set has besides those of its file and of its program."""


@frozen
class ComponentSettings:
    """One alternative of a role: an adapter with its options."""

    role: Role
    """The role of the component."""
    adapter: str
    """The adapter's name."""
    options: Any
    """An instance of the adapter's options class, complete: files read, secrets resolved."""
    name: str = field(eq=False)
    """The name under `components:`, or else the adapter's."""
    where: Location = field(eq=False)
    """The location in the YAML file, for problems of opening it."""
    path: str = field(eq=False)
    """The path in the YAML file: `pipelines.sales.tts`."""
    key: str = field(repr=False)
    """Components with equal keys are one component. A digest that covers the values of secrets, so it is never
    shown."""
    model: str | None = field(default=None, eq=False)
    """The model or voice, as its adapter names it; None if it has none."""
    secrets: Secrets = field(factory=Secrets, eq=False, repr=False)
    """The secrets that its errors must not quote."""


@frozen
class PipelineSettings:
    """A pipeline with the settings that its calls use."""

    name: str
    """Its key under `pipelines:`."""
    stt: tuple[ComponentSettings, ...]
    """Speech-to-text, in failover order; at least one."""
    llm: tuple[ComponentSettings, ...]
    """Language models, in failover order; at least one."""
    tts: tuple[ComponentSettings, ...]
    """Text-to-speech, in failover order; at least one."""
    prompt: str = ""
    """Instructions to the language model."""
    greeting: str | None = None
    """The text that is said first; None: the model speaks first."""
    speaks_first: Literal["agent", "caller"] = "agent"
    """Who speaks first: with `caller`, the greeting waits for the caller's first words."""
    tools: tuple[str, ...] = ("hang_up",)
    """Names of the tools that the model may call; `[]` for none."""
    declared: Mapping[str, ToolSettings] = field(factory=dict)
    """The settings of those of them that the file declares."""
    selectable: bool = False
    """Whether it is reachable although no route leads to it, for programs that choose a pipeline by its name."""
    on_failure: OnFailure = field(default=OnFailure())
    """The steps after a component has failed, and after a role has no alternative left."""
    keys: Mapping[str, KeyAction] = field(factory=dict)
    """The actions of menu keys, at any time in the call; the model replies to all other keys."""
    hold: HoldSettings | None = None
    """The sound for a caller who waits; None: silence."""
    ringback: RingbackSettings | None = None
    """The ringing tone until the agent speaks first; None: silence."""
    comfort_noise: int | None = None
    """The level of the noise while the agent says nothing, in dBov; None: silence."""
    turns: TurnsSettings = field(default=TurnsSettings())
    """The file's `turns`, with the pipeline's own laid over it."""
    budgets: BudgetsSettings = field(default=BudgetsSettings())
    """The file's `budgets`, with the pipeline's own laid over it."""
    recording: RecordingSettings = field(default=RecordingSettings())
    """The file's `recording`, with the pipeline's own laid over it; the directory is absolute."""
    speech: SpeechSettings = field(default=SpeechSettings())
    """The file's `speech`, with the pipeline's own laid over it."""
    history: HistorySettings = field(default=HistorySettings())
    """The file's `history`, with the pipeline's own laid over it."""
    streaming: StreamingSettings = field(default=StreamingSettings())
    """The file's `streaming`."""
    limits: LimitsSettings = field(default=LimitsSettings())
    """The file's `limits`."""
    prices: PricesSettings | None = None
    """The file's `prices`."""
    timezone: str = UTC
    """The file's `timezone`, for dates and times in texts."""
    secrets: Secrets = field(factory=Secrets, eq=False, repr=False)
    """The secrets that the results of its tools must not quote."""

    @property
    def local_zone(self) -> ZoneInfo:
        """The time zone of its calls."""
        return zone_of(self.timezone)

    def role(self, role: Role) -> tuple[ComponentSettings, ...]:
        """Returns the alternatives of a role, in failover order."""
        return {"stt": self.stt, "llm": self.llm, "tts": self.tts}[role]


@frozen
class When:
    """The calls that a route takes: for each key that has patterns, one of them must match."""

    called: tuple[str, ...] = ()
    """Patterns of the called number; empty: any number."""
    caller: tuple[str, ...] = ()
    """Patterns of the calling number; empty: any number."""
    listener: tuple[str, ...] = ()
    """Patterns of the listener's name; empty: any listener."""
    variables: Mapping[str, tuple[str, ...]] = field(factory=dict)
    """Patterns by the variable's name; a variable that the call lacks is matched as an empty text."""
    hours: tuple[str, ...] = ()
    """Hours of the week, as `hours.minutes_of` reads them; empty: any time."""
    outside_hours: tuple[str, ...] = ()
    """Hours of the week at which the route takes no call."""
    dates: tuple[str, ...] = ()
    """Dates, as `dates.dates_of` reads them; empty: any date."""
    except_dates: tuple[str, ...] = ()
    """Dates at which the route takes no call."""
    timezone: str = UTC
    """The time zone of hours and dates: the route's own, or else the file's."""

    @property
    def minutes(self) -> int:
        """The minutes of the week at which the route takes calls, as `hours` has them."""
        within = all_minutes_of(self.hours) if self.hours else ALWAYS
        return within & ~all_minutes_of(self.outside_hours)

    @property
    def tells_time(self) -> bool:
        """True if the moment of a call matters."""
        return bool(self.hours or self.outside_hours or self.dates or self.except_dates)

    @property
    def identity(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """The keys and patterns in normal form: equal for conditions that match the same calls, however written."""
        numbers = {"called": self.called, "caller": self.caller}
        variables = {f"variables.{name}": patterns for name, patterns in self.variables.items()}
        texts = {"listener": self.listener} | variables
        normal = {key: set(map(plain_number, patterns)) for key, patterns in numbers.items()}
        normal |= {key: set(map(str, patterns)) for key, patterns in texts.items()}
        if self.tells_time:
            dates = {"dates": self.dates, "except_dates": self.except_dates}
            normal |= {key: {str(dates_of(str(text))) for text in texts} for key, texts in dates.items()}
            normal |= {"minutes": {f"{self.minutes:x}"}, "timezone": {self.timezone}}
        return tuple((key, tuple(sorted(patterns))) for key, patterns in sorted(normal.items()) if patterns)


@frozen
class Route:
    """One entry of `routes`: a condition, and the pipelines of the calls that meet it."""

    when: When
    """The calls that it takes."""
    weights: Mapping[str, float]
    """Names of pipelines with their weights, whose sum may be any number; only one for `pipeline:`."""
    where: Location = field(eq=False)
    """The location in the YAML file."""
    timezone: str | None = None
    """The time zone that the route itself names, which is its calls' too; None: they have the pipeline's."""


@frozen
class SetConfig:
    """A pipeline set's file, read and resolved: everything that a version is built from."""

    path: Path
    """The YAML file, as the user named it."""
    digest: str
    """SHA-256 in hex over the normalised file, its files' hashes and its secrets' names; comments don't count."""
    active_pipeline: str
    """The pipeline of calls that no route takes."""
    pipelines: Mapping[str, PipelineSettings]
    """All pipelines by name, in the file's order; only reachable ones are opened."""
    logging: LoggingSettings
    """The logging settings, which take effect at once."""
    files: tuple[Path, ...]
    """Absolute paths of all files and directories that were read, the YAML first; a watcher watches them."""
    sources: Mapping[Path, bytes] = field(factory=dict, eq=False, repr=False)
    """The contents of files that are not secret, by absolute path: YAML, prompts, scripts; no `${file:}`, no
    directory."""
    routes: tuple[Route, ...] = ()
    """The routes, in order: the first one that matches a call decides."""
    redact: RedactSettings = field(default=RedactSettings())
    """The private words, which are replaced at once, calls that are up included."""
    warnings: tuple[Problem, ...] = field(default=(), eq=False)
    """What is allowed and yet probably a mistake, which `check` prints."""
    written: bytes = field(default=b"", eq=False, repr=False)
    """The normal form that the digest is made of, pickled; `effective_config` shows it without secrets."""

    @property
    def reachable(self) -> tuple[str, ...]:
        """The names of the pipelines that calls can get, in the file's order."""
        led_to = {self.active_pipeline}.union(*(route.weights for route in self.routes))
        return tuple(name for name, pipeline in self.pipelines.items() if name in led_to or pipeline.selectable)

    @property
    def for_calls(self) -> SetConfig:
        """The configuration without the pipelines that no call can get: all that serving needs."""
        return evolve(self, pipelines={name: self.pipelines[name] for name in self.reachable})
