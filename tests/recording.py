"""Pipeline sets whose components note what is opened and closed, and fail when the test says so."""

from __future__ import annotations

import json
import threading
from collections import Counter, defaultdict
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import trio
import trio.testing
from attrs import frozen
from patience import LONG_S

from voicepipe.components.registry import Adapter, Registry
from voicepipe.components.values import File
from voicepipe.config.settings import ComponentSettings
from voicepipe.errors import Location
from voicepipe.pipelines.opening import open_pipeline_set
from voicepipe.roles import ROLES
from voicepipe.testing.components import ScriptedLanguageModel, ScriptedSpeechToText, ToneTextToSpeech

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from voicepipe.components.protocols import Component, Resources
    from voicepipe.errors import Problem
    from voicepipe.pipelines.outcome import ReloadOutcome, SetEvent
    from voicepipe.pipelines.pipeline_set import PipelineSet
    from voicepipe.roles import Role


@frozen
class RecordedOptions:
    """What tells one recorded component from another."""

    id: str
    """As the test refers to it: `stt a`, with its role."""
    text: str = ""
    """Anything, such as a secret."""
    file: File | None = None
    """Anything, such as a script."""


def make_component(role: Role) -> Component:
    """A scripted component."""
    if role == "stt":
        return ScriptedSpeechToText()
    return ScriptedLanguageModel(lambda _request: "Hello.") if role == "llm" else ToneTextToSpeech()


def raising(error: BaseException) -> Callable[[], Awaitable[None]]:
    """A step that fails."""

    async def step() -> None:
        await trio.lowlevel.checkpoint()
        raise error

    return step


class RecordingAdapters:
    """An adapter named `recorded` for each role; a component's name here is its role and id: `stt a`."""

    def __init__(self) -> None:
        self.attempts: list[str] = []
        """Every opening that was begun, in order."""
        self.opened: list[str] = []
        """Every opening that came through."""
        self.closed: list[str] = []
        """Every component that was left, however."""
        self.opening: dict[str, Callable[[], Awaitable[None]]] = {}
        """What happens while it is opened."""
        self.closing: dict[str, Callable[[], Awaitable[None]]] = {}
        """What happens while it is closed."""
        self.check: Callable[[RecordedOptions], Iterable[Problem]] = lambda _options: ()
        """What is wrong with options."""
        self.model: Callable[[RecordedOptions], str | None] = lambda options: options.id
        """What logs name."""
        self.make: Callable[[Role], Component] = make_component
        """Makes what is opened."""
        self.components: dict[str, Component] = {}
        """What is opened instead, by name."""
        self._nurseries: dict[str, list[trio.Nursery]] = defaultdict(list)
        self.registry = Registry(
            Adapter(
                name="recorded",
                role=role,
                options=RecordedOptions,
                open=partial(self._open, role),
                check=lambda options: self.check(options),  # noqa: PLW0108 - tests replace it
                model=lambda options: self.model(options),  # noqa: PLW0108
            )
            for role in ROLES
        )

    @property
    def open(self) -> Counter[str]:
        """How many of each are open now."""
        return Counter(self.opened) - Counter(self.closed)

    def settings(self, role: Role, component_id: str = "a", **options: Any) -> ComponentSettings:
        """What a configuration would hold for a component."""
        recorded = RecordedOptions(component_id, **options)
        return ComponentSettings(
            role=role,
            adapter="recorded",
            options=recorded,
            name=f"my_{component_id}",
            where=Location("test.yaml"),
            path=f"pipelines.default.{role}",
            key=f"{role} {recorded}",
        )

    def adapter(self, role: Role) -> Adapter[Any]:
        """The adapter of that role."""
        adapter = self.registry.get(role, "recorded")
        assert adapter
        return adapter

    def kill(self, name: str, error: BaseException) -> None:
        """A task of an open component fails."""
        self._nurseries[name][-1].start_soon(raising(error))

    def cut(self, name: str) -> None:
        """An open component ends without a word: it cancels itself."""
        self._nurseries[name][-1].cancel_scope.cancel()

    @asynccontextmanager
    async def _open(self, role: Role, options: RecordedOptions, _resources: Resources) -> AsyncIterator[Component]:
        name = f"{role} {options.id}"
        self.attempts.append(name)
        await trio.lowlevel.checkpoint()
        if name in self.opening:
            await self.opening[name]()
        component = self.components.get(name) or self.make(role)
        async with trio.open_nursery() as nursery:
            self._nurseries[name].append(nursery)
            self.opened.append(name)
            try:
                yield component
                if name in self.closing:
                    await self.closing[name]()
            finally:
                self.closed.append(name)
            nursery.cancel_scope.cancel()


def pipeline(stt: Any = "a", llm: Any = "a", tts: Any = "a", **other: Any) -> dict[str, Any]:
    """A pipeline for `RecordedFile.write`, of components given by id, by their options, or a list of either."""

    def reference(what: Any) -> Any:
        if isinstance(what, list):
            return [reference(one) for one in what]
        return {"type": "recorded", **({"id": what} if isinstance(what, str) else what)}

    return {"stt": reference(stt), "llm": reference(llm), "tts": reference(tts), **other}


class RecordedSet(RecordingAdapters):
    """A pipeline set's file for these adapters, and what the set told its observer."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.path = directory / "ai-agent.yaml"
        self.environ: dict[str, str] = {}
        self.events: list[SetEvent] = []
        self.write(default=pipeline())

    def write(self, active: str = "default", *, sections: dict[str, Any] | None = None, **pipelines: Any) -> None:
        """Writes the file, as JSON, which is YAML too."""
        content = {"active_pipeline": active, "pipelines": pipelines, **(sections or {})}
        self.path.write_text(json.dumps(content, indent=2))

    def serve(self, **settings: Any) -> AbstractAsyncContextManager[PipelineSet]:
        """Opens the set."""
        arguments = {"registry": self.registry, "environ": self.environ, "observer": self.events.append} | settings
        return open_pipeline_set(self.path, **arguments)

    async def rewrite(self, pipelines: PipelineSet, *args: Any, **kwargs: Any) -> ReloadOutcome:
        """Writes the file, has it reloaded, and waits until what has to close is closed."""
        self.write(*args, **kwargs)
        outcome = await pipelines.reload()
        await trio.testing.wait_all_tasks_blocked()
        return outcome


class Gate:
    """Stops readings in their thread: `check` is called when the file has been read."""

    def __init__(self, recorded):
        self.readings = 0
        self.read = trio.Event()
        self.go_on = threading.Event()
        self._token = trio.lowlevel.current_trio_token()
        recorded.check = self._check

    def _check(self, options):
        if options.id.startswith("stt"):
            self.readings += 1
            self._token.run_sync_soon(self.read.set)
            assert self.go_on.wait(LONG_S)
        return ()
