"""The lease of a version: acquires and opens all components that it needs, or raises every reason why not."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import trio

from voicepipe.components.labels import ROLES, ComponentLabel
from voicepipe.errors import ComponentError, ComponentsUnavailable, Problem
from voicepipe.pipelines.apology import Apologies
from voicepipe.pipelines.plan import reachable_components
from voicepipe.pipelines.snapshot import (
    OpenedComponent,
    OpenedLanguageModel,
    OpenedSpeechToText,
    OpenedTextToSpeech,
    Pipeline,
    Snapshot,
)
from voicepipe.tools.http import http_tool

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from voicepipe.components.registry import Registry
    from voicepipe.components.values import CaFile
    from voicepipe.config.settings import ComponentSettings, PipelineSettings, SetConfig
    from voicepipe.pipelines.runtime import Runtime
    from voicepipe.pipelines.shared_component import SharedComponent
    from voicepipe.text.spoken.settings import SpeechSettings
    from voicepipe.tools.functions import FunctionTool
    from voicepipe.tools.http_clients import SharedClient

AnyOpened = TypeVar("AnyOpened", bound=OpenedComponent)

AT_A_TIME = 25
"""How many pipelines are put together before calls get their turn: it takes about 1 ms."""


class Lease:
    """The components of one version, acquired from the runtime: those that are open, and those that are tried again."""

    def __init__(self, runtime: Runtime, functions: Mapping[str, FunctionTool] = MappingProxyType({})) -> None:
        self._runtime, self._functions = runtime, functions
        self.components: dict[str, SharedComponent] = {}
        """Those that were opened, kept, or could not be opened."""
        self.problems: dict[str, Problem] = {}
        """Why a component could not be opened, by key, among those that this opened."""
        self._errors: dict[str, ComponentError] = {}
        self._taken: list[SharedComponent] = []
        self._settings: tuple[ComponentSettings, ...] = ()
        self._apologies = Apologies((), self.components)
        self._tools: dict[str, tuple[FunctionTool, ...]] = {}
        self._clients: dict[CaFile | None, SharedClient] = {}
        self._in_use = trio.CancelScope()

    async def open(
        self,
        config: SetConfig,
        registry: Registry,
        deadline_s: float,
        *,
        name: str,
        version: int,
        kept: Collection[str] = (),
        in_part: bool = False,
    ) -> Snapshot:
        """Acquires all components that the configuration's calls can get, and returns the version they make.

        A component that is open already is shared; others are opened, all at the same time.

        Args:
            config: what is to be served.
            registry: the adapters.
            deadline_s: how long all of it may take, apologies included, in seconds.
            name: the pipeline set's.
            version: the number of the version that it is to be.
            kept: keys of components that the version before has: a role that has not opened there need not now.
            in_part: whether one pipeline with all of its roles is enough, as it is for a start.

        Raises:
            ComponentsUnavailable: a role of a reachable pipeline has nothing that opens; if it may be open in part,
                that is so for each pipeline. What was acquired is released.

        """
        deadline = trio.current_time() + deadline_s
        self._settings = tuple(reachable_components(config))
        try:
            async with trio.open_nursery() as nursery:
                for settings in self._settings:
                    shared = self._take(settings, registry)
                    if shared.was_open:  # if it has died since, nobody need wait for it
                        self.components[settings.key] = shared
                        shared.hurry()
                    else:
                        nursery.start_soon(self._open, settings, shared, deadline, deadline_s)
            if fatal := self._fatal(config, kept, in_part=in_part):
                raise ComponentsUnavailable(fatal, config.files)  # noqa: TRY301 - releases, as all else does
            reachable = [config.pipelines[name] for name in config.reachable]
            await trio.to_thread.run_sync(_prepare_calls, {pipeline.speech for pipeline in reachable})
            self._apologies = Apologies(reachable, self.components)
            await self._apologies.synthesise(deadline)
            for pipeline in reachable:
                self._tools[pipeline.name] = await self._tools_of(pipeline)
            return await self._snapshot(config, name=name, version=version)
        except BaseException:
            self.release()
            raise

    def persist(self) -> None:
        """Has components that could not be opened tried again until this is released."""
        for key, error in self._errors.items():
            self.components[key].persist(error)

    def hurry(self) -> None:
        """Has components that are not open tried at once."""
        for shared in self.components.values():
            shared.hurry()

    @property
    def unopened(self) -> set[str]:
        """Keys of components that are held and have not been open yet."""
        return {key for key, shared in self.components.items() if not shared.was_open}

    @property
    def degraded(self) -> tuple[Problem, ...]:
        """What is missing now of what the configuration names: what has not been opened, apologies not spoken."""
        return (
            *(
                _problem(settings, shared.error or self._errors.get(settings.key) or ComponentError("is being opened"))
                for settings in self._settings
                if (shared := self.components.get(settings.key)) is not None and not shared.was_open
            ),
            *self._apologies.missing,
        )

    async def keep_apologies(self) -> None:
        """Records missing apologies as soon as a voice is there; returns when none is missing, or on `release`."""
        with self._in_use:
            await self._apologies.keep()

    def release(self) -> None:
        """Releases all components and clients; the last version that has one closes it. No-op the second time."""
        self._in_use.cancel()
        self._apologies.forget()
        for shared in self._taken:
            self._runtime.release(shared)
        self._taken.clear()
        for client in self._clients.values():
            self._runtime.http_clients.release(client)
        self._clients.clear()
        self.components.clear()

    def _take(self, settings: ComponentSettings, registry: Registry) -> SharedComponent:
        adapter = registry.get(settings.role, settings.adapter)
        if adapter is None:
            raise AssertionError(f"configuration names {settings.adapter!r}, which the registry lacks")
        shared = self._runtime.acquire(settings, adapter)
        self._taken.append(shared)
        return shared

    async def _open(
        self, settings: ComponentSettings, shared: SharedComponent, deadline: float, deadline_s: float
    ) -> None:
        with trio.CancelScope(deadline=deadline) as waiting:
            await shared.attempt()
        self.components[settings.key] = shared
        if not shared.was_open:
            name = settings.name
            error = shared.error if not waiting.cancelled_caught else None
            error = error or ComponentError(f"did not open within {deadline_s:g} s", component=name, role=settings.role)
            self._errors[settings.key] = error
            self.problems[settings.key] = _problem(settings, error)

    async def _tools_of(self, pipeline: PipelineSettings) -> tuple[FunctionTool, ...]:
        """The tools of a pipeline that run."""
        own = tuple(self._functions[name] for name in pipeline.tools if name in self._functions)
        if not pipeline.declared:
            return own
        clients = {name: await self._client(settings.http.ca_file) for name, settings in pipeline.declared.items()}

        def make() -> tuple[FunctionTool, ...]:
            of = pipeline.declared.items()
            return tuple(http_tool(name, settings, pipeline.secrets, clients[name]) for name, settings in of)

        return own + await trio.to_thread.run_sync(make)  # it imports jsonschema

    async def _client(self, ca_file: CaFile | None) -> Any:
        """The client of tools that trust that file, held as long as the version is."""
        shared = self._clients.get(ca_file)
        if shared is None:
            shared = self._clients[ca_file] = await self._runtime.http_clients.acquire(ca_file)
        return shared.http

    def _fatal(self, config: SetConfig, kept: Collection[str], *, in_part: bool) -> list[Problem]:
        """Why it can't be served: what is wrong in each role that has nothing."""
        lacking: dict[str, dict[str, Problem]] = {}
        for name in config.reachable:
            for role in ROLES:
                keys = [component.key for component in config.pipelines[name].role(role)]
                if all(key in self.problems and key not in kept for key in keys):
                    lacking.setdefault(name, {}).update((key, self.problems[key]) for key in keys)
        if in_part and len(lacking) < len(config.reachable):
            return []
        return list({key: problem for problems in lacking.values() for key, problem in problems.items()}.values())

    async def _snapshot(self, config: SetConfig, *, name: str, version: int) -> Snapshot:
        """The version that these components make; calls that are up get their turn while it is made."""
        pipelines: dict[str, Pipeline] = {}
        for settings in map(config.pipelines.__getitem__, config.reachable):
            pipelines[settings.name] = Pipeline(
                name=settings.name,
                set=name,
                version=version,
                digest=config.digest,
                settings=settings,
                stt=self._opened(OpenedSpeechToText, settings.stt),
                llm=self._opened(OpenedLanguageModel, settings.llm),
                tts=self._opened(OpenedTextToSpeech, settings.tts),
                clock=self._runtime.clock,
                reports=self._runtime.reports,
                tools=self._tools[settings.name],
                apology_of=self._apologies.of,
            )
            if len(pipelines) % AT_A_TIME == 0:
                await trio.lowlevel.checkpoint()
        return Snapshot(
            set=name, version=version, digest=config.digest, config=config, pipelines=MappingProxyType(pipelines)
        )

    def _opened(self, kind: type[AnyOpened], alternatives: tuple[ComponentSettings, ...]) -> tuple[AnyOpened, ...]:
        """The alternatives of a role, those that are tried again among them."""
        make: Any = kind
        return tuple(
            make(
                label=ComponentLabel(name=settings.name, adapter=settings.adapter, model=shared.model),
                settings=settings,
                component=shared.edge,
                breaker=shared.breaker,
                was_open=partial(getattr, shared, "was_open"),
            )
            for settings in alternatives
            if (shared := self.components.get(settings.key)) is not None
        )


def _problem(settings: ComponentSettings, error: ComponentError) -> Problem:
    answered = f"; answered: {error.answered}" if error.answered else ""
    return Problem(
        where=settings.where,
        path=settings.path,
        message=f"{settings.role} {settings.name} can't be opened: {error.message}{answered}",
        hint=error.hint,
    )


def _prepare_calls(settings: set[SpeechSettings]) -> None:
    """Loads, in a thread, what replies and callers' audio need: the first of them would hold up all other calls by it.

    The libraries of sound alone take 0.1 s.
    """
    from voicepipe.text.spoken.wording import prepare  # noqa: PLC0415 - see above

    for library in ("numpy", "soxr", "webrtcvad"):
        import_module(library)
    for speech in settings:
        prepare(speech)
