"""The lease of a version: acquires and opens all components that it needs, or raises every reason why not.

Theory of operation
===================

A version needs all components that its calls can get: those of its reachable pipelines, each key once. `Lease.open`
acquires them from the runtime, waits until they are open, and makes the `Snapshot`. It has one deadline for all of it.

*Acquiring.* `Runtime.acquire` counts holders, so a component that the serving version has as well is the same object,
and is open already. A component that has been open before is not waited for, even if it died since: another version
has it in that state too, and it is tried again at once. All others are opened at the same time, each by its
own task in the runtime; this lease only waits.

*In part.* What has not opened by the deadline, or failed, is a problem (`problems`), but not always a fatal one:

- A role with several alternatives needs one that opens.
- If the role of that pipeline has nothing that opened in the serving version either (`lacking`), and a component of it
  is `kept`, the new version is no worse.
- The first version of a set needs one pipeline whose roles are all there (`in_part`): a start during an outage of one
  provider must not keep the other pipelines from answering.

Else `ComponentsUnavailable` is raised with each problem of the roles that have nothing. `losses.py` makes one more
check, which needs to know what works in the serving version.

*What calls must not wait for* is done here, before the version serves: imports, the tables of text normalisation, the
tools' clients, and the apologies, which are synthesised while voices work.

*All or nothing.* Whatever `open` raises, cancellation included, it has released everything that it acquired. If it
returns, the lease belongs to the version: `persist` has components that did not open tried again, `keep_apologies`
records apologies as voices come back, and `release` gives everything back when the version retires. The runtime closes
what nobody else holds.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

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
from voicepipe.pipelines.sounds import Sounds, open_sounds
from voicepipe.tools.http import http_tool

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from voicepipe.components.labels import Role
    from voicepipe.components.registry import Registry
    from voicepipe.components.values import CaFile
    from voicepipe.config.settings import ComponentSettings, PipelineSettings, SetConfig
    from voicepipe.pipelines.runtime import Runtime
    from voicepipe.pipelines.shared_component import SharedComponent
    from voicepipe.text.spoken.settings import SpeechSettings
    from voicepipe.tools.functions import FunctionTool
    from voicepipe.tools.http_clients import SharedClient

AnyOpened = TypeVar("AnyOpened", bound=OpenedComponent)

PipelineRole: TypeAlias = "tuple[str, Role]"
"""A pipeline's name, and one of its roles."""

AT_A_TIME = 25
"""The pipelines that are made between two checkpoints, in about 1 ms: calls are up meanwhile."""


class Lease:
    """The components of one version, acquired from the runtime.

    Args:
        runtime: shares components and HTTP clients among versions.
        functions: the program's own tools, by name.

    """

    def __init__(self, runtime: Runtime, functions: Mapping[str, FunctionTool] = MappingProxyType({})) -> None:
        self._runtime, self._functions = runtime, functions
        self.components: dict[str, SharedComponent] = {}
        """All components of the version by key: opened now, shared with another version, or not open."""
        self.problems: dict[str, Problem] = {}
        """The problems of components that could not be opened, by key."""
        self._errors: dict[str, ComponentError] = {}
        self._acquired: list[SharedComponent] = []
        self._settings: tuple[ComponentSettings, ...] = ()
        self._apologies = Apologies((), self.components)
        self._tools: dict[str, tuple[FunctionTool, ...]] = {}
        self._sounds: dict[str, Sounds] = {}
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
        lacking: Collection[PipelineRole] = (),
        in_part: bool = False,
    ) -> Snapshot:
        """Acquires and opens all components that calls of a configuration can get, and returns the version.

        Args:
            config: the configuration to serve.
            registry: the adapters.
            deadline_s: the time limit for opening and for apologies together, in s.
            name: the name of the pipeline set.
            version: the number of the version.
            kept: keys of the serving version's components.
            lacking: roles of its pipelines that have nothing that has opened; they may be as unavailable with a
                component that is kept.
            in_part: whether one pipeline with all of its roles is enough, as for a start.

        Raises:
            ComponentsUnavailable: a role of a reachable pipeline has no component that opens; with `in_part`, a role of
                every reachable pipeline. Everything is released.

        """
        deadline = trio.current_time() + deadline_s
        self._settings = tuple(reachable_components(config))
        with ExitStack() as undo:
            undo.callback(self.release)
            async with trio.open_nursery() as nursery:
                for settings in self._settings:
                    shared = self._acquire(settings, registry)
                    if shared.was_open:  # if it died since, another version lacks it too
                        self.components[settings.key] = shared
                        shared.hurry()
                    else:
                        nursery.start_soon(self._open, settings, shared, deadline, deadline_s)
            if fatal := self._fatal(config, kept, lacking, in_part=in_part):
                raise ComponentsUnavailable(fatal, config.files)
            reachable = [config.pipelines[name] for name in config.reachable]
            await trio.to_thread.run_sync(_prepare_calls, {pipeline.speech for pipeline in reachable})
            self._sounds = await trio.to_thread.run_sync(_open_sounds, reachable)
            self._apologies = Apologies(reachable, self.components)
            await self._apologies.synthesise(deadline)
            for pipeline in reachable:
                self._tools[pipeline.name] = await self._tools_of(pipeline)
            snapshot = await self._snapshot(config, name=name, version=version)
            undo.pop_all()
        return snapshot

    def persist(self) -> None:
        """Retries components that could not be opened, until they open or the lease is released."""
        for key, error in self._errors.items():
            self.components[key].persist(error)

    def hurry(self) -> None:
        """Retries components that are not open now, instead of after their pause."""
        for shared in self.components.values():
            shared.hurry()

    @property
    def unopened(self) -> set[str]:
        """The keys of components that have never been open."""
        return {key for key, shared in self.components.items() if not shared.was_open}

    @property
    def degraded(self) -> tuple[Problem, ...]:
        """The problems of components that have never been open, and of apologies that are not recorded, as of now."""
        return (
            *(
                _problem(settings, shared.error or self._errors.get(settings.key) or ComponentError("is being opened"))
                for settings in self._settings
                if (shared := self.components.get(settings.key)) is not None and not shared.was_open
            ),
            *self._apologies.missing,
        )

    async def keep_apologies(self) -> None:
        """Records missing apologies when voices work again; returns when none is missing, or after `release`."""
        with self._in_use:
            await self._apologies.keep()

    def release(self) -> None:
        """Releases all components and HTTP clients, and forgets the apologies; no-op if it was called before."""
        self._in_use.cancel()
        self._apologies.forget()
        for shared in self._acquired:
            self._runtime.release(shared)
        self._acquired.clear()
        for client in self._clients.values():
            self._runtime.http_clients.release(client)
        self._clients.clear()
        self.components.clear()

    def _acquire(self, settings: ComponentSettings, registry: Registry) -> SharedComponent:
        adapter = registry.get(settings.role, settings.adapter)
        if adapter is None:
            raise AssertionError(f"configuration names {settings.adapter!r}, which the registry lacks")
        shared = self._runtime.acquire(settings, adapter)
        self._acquired.append(shared)
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
        """Returns the tools of a pipeline that run: the program's functions, and those that make HTTP requests."""
        own = tuple(self._functions[name] for name in pipeline.tools if name in self._functions)
        if not pipeline.declared:
            return own
        declared = pipeline.declared.items()
        clients = {name: await self._client(settings.http.ca_file) for name, settings in declared}

        def make() -> tuple[FunctionTool, ...]:
            return tuple(http_tool(name, settings, pipeline.secrets, clients[name]) for name, settings in declared)

        return own + await trio.to_thread.run_sync(make)  # it imports jsonschema

    async def _client(self, ca_file: CaFile | None) -> Any:
        """Returns the HTTP client that trusts a CA file; it is held until `release`."""
        shared = self._clients.get(ca_file)
        if shared is None:
            shared = self._clients[ca_file] = await self._runtime.http_clients.acquire(ca_file)
        return shared.http

    def lacking(self, config: SetConfig) -> frozenset[PipelineRole]:
        """Returns the roles of reachable pipelines of the leased configuration that have nothing that has opened."""
        unopened = self.unopened
        return frozenset(
            (name, role)
            for name in config.reachable
            for role in ROLES
            if unopened.issuperset(component.key for component in config.pipelines[name].role(role))
        )

    def _fatal(
        self, config: SetConfig, kept: Collection[str], lacked: Collection[PipelineRole], *, in_part: bool
    ) -> list[Problem]:
        """Returns the problems of roles that have no component, if they keep the configuration from being served."""
        lacking: dict[str, dict[str, Problem]] = {}
        for name in config.reachable:
            for role in ROLES:
                keys = [component.key for component in config.pipelines[name].role(role)]
                no_worse = (name, role) in lacked and any(key in kept for key in keys)
                if all(key in self.problems for key in keys) and not no_worse:
                    lacking.setdefault(name, {}).update((key, self.problems[key]) for key in keys)
        if in_part and len(lacking) < len(config.reachable):
            return []
        return list({key: problem for problems in lacking.values() for key, problem in problems.items()}.values())

    async def _snapshot(self, config: SetConfig, *, name: str, version: int) -> Snapshot:
        """Makes the version of these components, with checkpoints, because calls are up."""
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
                sounds=self._sounds[settings.name],
                apology_of=self._apologies.of,
            )
            if len(pipelines) % AT_A_TIME == 0:
                await trio.lowlevel.checkpoint()
        return Snapshot(
            set=name, version=version, digest=config.digest, config=config, pipelines=MappingProxyType(pipelines)
        )

    def _opened(self, kind: type[AnyOpened], alternatives: tuple[ComponentSettings, ...]) -> tuple[AnyOpened, ...]:
        """Returns the alternatives of a role, in failover order; those that are not open are among them."""
        make: Any = kind
        return tuple(
            make(
                label=ComponentLabel(name=settings.name, adapter=settings.adapter, model=shared.model),
                settings=settings,
                component=shared.guarded,
                breaker=shared.breaker,
                was_open=partial(getattr, shared, "was_open"),
            )
            for settings in alternatives
            if (shared := self.components.get(settings.key)) is not None
        )


def _open_sounds(pipelines: list[PipelineSettings]) -> dict[str, Sounds]:
    return {pipeline.name: open_sounds(pipeline) for pipeline in pipelines}


def _problem(settings: ComponentSettings, error: ComponentError) -> Problem:
    answered = f"; answered: {error.answered}" if error.answered else ""
    return Problem(
        where=settings.where,
        path=settings.path,
        message=f"{settings.role} {settings.name} can't be opened: {error.message}{answered}",
        hint=error.hint,
    )


def _prepare_calls(settings: set[SpeechSettings]) -> None:
    """Imports the libraries that calls need, and makes the tables for spoken text; for a thread.

    Otherwise the first call would do that on the loop, and delay the audio of all other calls: the audio libraries
    alone take 0.1 s.
    """
    from voicepipe.text.spoken.wording import prepare  # noqa: PLC0415 - see above

    for library in ("numpy", "soxr", "webrtcvad"):
        import_module(library)
    for speech in settings:
        prepare(speech)
