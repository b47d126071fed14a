"""From a configuration to opened components: all that a version needs, or every reason why not."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import trio

from voicepipe.calls.events import ComponentLabel
from voicepipe.errors import ComponentError, ConfigError, Problem
from voicepipe.pipelines.apology import record_apologies
from voicepipe.pipelines.http_tools import http_tool
from voicepipe.pipelines.plan import reachable_components
from voicepipe.pipelines.snapshot import (
    Opened,
    OpenedLanguageModel,
    OpenedSpeechToText,
    OpenedTextToSpeech,
    Pipeline,
    Recorded,
    Snapshot,
)
from voicepipe.registry import ROLES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from voicepipe.calls.tool_functions import FunctionTool
    from voicepipe.config.settings import ComponentSettings, PipelineSettings, SetConfig, SpeechSettings
    from voicepipe.pipelines.runtime import Runtime
    from voicepipe.pipelines.shared_component import SharedComponent
    from voicepipe.registry import Registry

AnyOpened = TypeVar("AnyOpened", bound=Opened)


class Holding:
    """The components that one version holds, by key."""

    def __init__(self, runtime: Runtime, functions: Mapping[str, FunctionTool] = MappingProxyType({})) -> None:
        self._runtime, self._functions = runtime, functions
        self.components: dict[str, SharedComponent] = {}
        self.problems: dict[str, Problem] = {}
        """Why a component isn't there, by key."""
        self.unspoken: list[Problem] = []
        """Why an apology could not be spoken beforehand."""
        self._apologies: dict[str, Recorded] = {}
        self._tools: dict[str, tuple[FunctionTool, ...]] = {}

    async def open(self, config: SetConfig, registry: Registry, deadline_s: float) -> None:
        """Holds everything that the configuration's calls can get, opening what nobody holds yet.

        Raises:
            ConfigError: a role of a reachable pipeline has nothing left that opens. What was opened is let go.

        """
        try:
            async with trio.open_nursery() as nursery:
                for settings in reachable_components(config):
                    nursery.start_soon(self._hold, settings, registry, deadline_s)
        except BaseException:
            self.let_go()
            raise
        if fatal := self._fatal(config):
            self.let_go()
            raise ConfigError(fatal)
        try:
            reachable = [config.pipelines[name] for name in config.reachable]
            await trio.to_thread.run_sync(_prepare_speech, {pipeline.speech for pipeline in reachable})
            self._apologies, self.unspoken = await record_apologies(reachable, self.components)
            for pipeline in reachable:
                self._tools[pipeline.name] = await self._tools_of(pipeline)
        except BaseException:
            self.let_go()
            raise

    def let_go(self) -> None:
        """Gives everything back."""
        for shared in self.components.values():
            self._runtime.let_go(shared)
        self.components.clear()

    async def _hold(self, settings: ComponentSettings, registry: Registry, deadline_s: float) -> None:
        adapter = registry.get(settings.role, settings.adapter)
        if adapter is None:
            raise AssertionError(f"configuration names {settings.adapter!r}, which the registry lacks")
        try:
            with trio.fail_after(deadline_s):
                self.components[settings.key] = await self._runtime.hold(settings, adapter)
        except trio.TooSlowError:
            error = ComponentError(f"did not open within {deadline_s:g} s", component=settings.name)
        except ComponentError as failure:
            error = failure
        else:
            return
        answered = f"; answered: {error.answered}" if error.answered else ""
        self.problems[settings.key] = Problem(
            where=settings.where,
            path=settings.path,
            message=f"{settings.role} {settings.name} can't be opened: {error.message}{answered}",
            hint=error.hint,
        )

    async def _tools_of(self, pipeline: PipelineSettings) -> tuple[FunctionTool, ...]:
        """The tools of a pipeline that run."""
        own = tuple(self._functions[name] for name in pipeline.tools if name in self._functions)
        if not pipeline.declared:
            return own
        client = await self._runtime.web()

        def make() -> tuple[FunctionTool, ...]:
            of = pipeline.declared.items()
            return tuple(http_tool(name, settings, pipeline.secrets, client) for name, settings in of)

        return own + await trio.to_thread.run_sync(make)  # it imports jsonschema

    def _fatal(self, config: SetConfig) -> list[Problem]:
        keys = {
            component.key
            for name in config.reachable
            for role in ROLES
            if all(component.key in self.problems for component in config.pipelines[name].role(role))
            for component in config.pipelines[name].role(role)
        }
        return [self.problems[key] for key in keys]

    def snapshot(self, config: SetConfig, *, name: str, version: int) -> Snapshot:
        """The version that these components make."""
        return Snapshot(
            set=name,
            version=version,
            digest=config.digest,
            config=config,
            pipelines=MappingProxyType(
                {
                    settings.name: Pipeline(
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
                        apology=self._apologies.get(settings.name),
                    )
                    for settings in map(config.pipelines.__getitem__, config.reachable)
                }
            ),
        )

    def _opened(self, kind: type[AnyOpened], alternatives: tuple[ComponentSettings, ...]) -> tuple[AnyOpened, ...]:
        """Those alternatives of a role that opened."""
        make: Any = kind
        return tuple(
            make(
                label=ComponentLabel(name=settings.name, adapter=settings.adapter, model=shared.model),
                settings=settings,
                component=shared.edge,
                breaker=shared.breaker,
            )
            for settings in alternatives
            if (shared := self.components.get(settings.key)) is not None
        )


def _prepare_speech(settings: set[SpeechSettings]) -> None:
    """Loads, in a thread, what wording replies needs: the first of them should not wait for it."""
    from voicepipe.calls.spoken import prepare  # noqa: PLC0415 - see above

    for one in settings:
        prepare(one)
