"""A pipeline made of components at hand, without a configuration file."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from voicepipe.clock.clock import Clock
from voicepipe.components.boundary import ComponentRef
from voicepipe.components.guards import GUARDED
from voicepipe.components.labels import ComponentLabel
from voicepipe.components.observers import ObserverReports
from voicepipe.config.settings import ComponentSettings, PipelineSettings
from voicepipe.errors import Location
from voicepipe.nurseries import open_hidden_nursery
from voicepipe.pipelines.snapshot import (
    CachedSpeech,
    OpenedLanguageModel,
    OpenedSpeechToText,
    OpenedTextToSpeech,
    Pipeline,
)
from voicepipe.pipelines.sounds import Sounds, open_sounds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from voicepipe.components.labels import Role
    from voicepipe.components.protocols import LanguageModel, SpeechToText, TextToSpeech
    from voicepipe.tools.functions import FunctionTool


def _opened(role: Role, components: object) -> tuple[Any, ...]:
    """Returns the alternatives of a role, each behind the boundary as a runtime opens it."""
    opened = []
    for number, component in enumerate(components if isinstance(components, list | tuple) else [components], 1):
        name = f"test_{role}" if number == 1 else f"test_{role}_{number}"
        settings = ComponentSettings(
            role=role,
            adapter="scripted",
            options=None,
            name=name,
            where=Location("test"),
            path=f"pipelines.test.{role}",
            key=name,
        )
        # Whatever a component raises, the call sees a ComponentError with its name.
        guarded = GUARDED[role](ComponentRef(role, name))
        guarded.up(component)
        opened.append(OPENED[role](ComponentLabel(name, "scripted", None), settings, guarded))
    return tuple(opened)


OPENED: dict[Role, Any] = {"stt": OpenedSpeechToText, "llm": OpenedLanguageModel, "tts": OpenedTextToSpeech}


@asynccontextmanager
async def open_test_pipeline(
    stt: SpeechToText | Sequence[SpeechToText],
    llm: LanguageModel | Sequence[LanguageModel],
    tts: TextToSpeech | Sequence[TextToSpeech],
    *,
    functions: Iterable[FunctionTool] = (),
    apology: CachedSpeech | None = None,
    sounds: Sounds | None = None,
    **settings: Any,
) -> AsyncIterator[Pipeline]:
    """Opens a pipeline of these components, with its own clock, and closes it on exit.

    Args:
        stt: speech-to-text, or a list of alternatives in failover order: `test_stt`, `test_stt_2`, ...
        llm: language model, or a list of alternatives in failover order.
        tts: text-to-speech, or a list of alternatives in failover order.
        functions: tools, which the setting `tools` may name.
        apology: the cached apology; None: it is synthesised when it is due.
        sounds: the sounds beside speech; None: those of the settings `hold`, `ringback` and `comfort_noise`.
        settings: other fields of `PipelineSettings`: `greeting`, `turns`, ...

    """
    components: dict[Role, object] = {"stt": stt, "llm": llm, "tts": tts}
    opened = {role: _opened(role, given) for role, given in components.items()}
    alternatives: dict[str, Any] = {
        role: tuple(component.settings for component in members) for role, members in opened.items()
    }
    clock = Clock()
    async with open_hidden_nursery() as nursery:
        nursery.start_soon(clock.run)
        pipeline_settings = PipelineSettings(name="test", **alternatives, **settings)
        yield Pipeline(
            name="test",
            set="main",
            version=1,
            digest="0" * 64,
            settings=pipeline_settings,
            **opened,
            clock=clock,
            reports=ObserverReports(),
            tools=tuple(functions),
            sounds=sounds or open_sounds(pipeline_settings),
            apology_of=lambda _name: apology,
        )
        nursery.cancel_scope.cancel()
