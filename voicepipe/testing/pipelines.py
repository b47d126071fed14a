"""A pipeline made of components at hand, without a configuration file."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from voicepipe.calls.events import ComponentLabel
from voicepipe.config.settings import ComponentSettings, PipelineSettings
from voicepipe.edge import EdgedLanguageModel, EdgedSpeechToText, EdgedTextToSpeech, Who
from voicepipe.errors import Location
from voicepipe.nurseries import open_hidden_nursery
from voicepipe.pipelines.snapshot import OpenedLanguageModel, OpenedSpeechToText, OpenedTextToSpeech, Pipeline
from voicepipe.ticker import Ticker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from voicepipe.components import LanguageModel, Role, SpeechToText, TextToSpeech


def _settings(role: Role) -> ComponentSettings:
    path = f"pipelines.test.{role}"
    return ComponentSettings(
        role=role, adapter="scripted", options=None, name=f"test_{role}", where=Location("test"), path=path, key=path
    )


@asynccontextmanager
async def open_test_pipeline(
    stt: SpeechToText, llm: LanguageModel, tts: TextToSpeech, **settings: Any
) -> AsyncIterator[Pipeline]:
    """A pipeline of these components, with its own playout clock.

    Args:
        stt: speech-to-text.
        llm: language model.
        tts: text-to-speech.
        settings: fields of `PipelineSettings` other than those: `greeting`, `turns`, ...

    """
    stt_settings, llm_settings, tts_settings = _settings("stt"), _settings("llm"), _settings("tts")
    label = ComponentLabel(name="test", adapter="scripted", model=None)
    ticker = Ticker()
    # As a runtime opens them: whatever a component raises, the call sees a ComponentError that names it.
    edged_stt = EdgedSpeechToText(Who("stt", stt_settings.name))
    edged_llm = EdgedLanguageModel(Who("llm", llm_settings.name))
    edged_tts = EdgedTextToSpeech(Who("tts", tts_settings.name))
    edged_stt.up(stt)
    edged_llm.up(llm)
    edged_tts.up(tts)
    async with open_hidden_nursery() as nursery:
        nursery.start_soon(ticker.run)
        yield Pipeline(
            name="test",
            set="main",
            version=1,
            digest="0" * 64,
            settings=PipelineSettings(
                name="test", stt=(stt_settings,), llm=(llm_settings,), tts=(tts_settings,), **settings
            ),
            stt=(OpenedSpeechToText(label, stt_settings, edged_stt),),
            llm=(OpenedLanguageModel(label, llm_settings, edged_llm),),
            tts=(OpenedTextToSpeech(label, tts_settings, edged_tts),),
            ticker=ticker,
        )
        nursery.cancel_scope.cancel()
