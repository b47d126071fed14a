"""Apologies, spoken beforehand: when nothing can speak any more, they still can be heard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

from voicepipe.audio import AudioFormat
from voicepipe.edge import raised_in_use
from voicepipe.errors import ComponentError, Problem
from voicepipe.events import SpeechAudio
from voicepipe.pipelines.snapshot import Recorded

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from voicepipe.components import SpeechStream
    from voicepipe.config.settings import PipelineSettings
    from voicepipe.pipelines.shared_component import SharedComponent

RECORD_S = 10.0
"""How long an apology may take to be spoken, in s."""

LONGEST_MS = 60_000
"""How long it may be, in ms: what is longer is cut, and is not an apology."""

TELEPHONE = AudioFormat(8000)
"""What most calls are; a call of another format has it converted."""

AT_ONCE = 8
"""How many are recorded at the same time."""


async def record_apologies(
    pipelines: Iterable[PipelineSettings], voices: dict[str, SharedComponent]
) -> tuple[dict[str, Recorded], list[Problem]]:
    """The apologies of pipelines by their names, and why those that are missing are.

    A voice keeps what it has spoken, so an apology is made once however many pipelines and versions share it.

    Args:
        pipelines: whose.
        voices: what is open of their text-to-speech, by key.

    """
    recorded: dict[str, Recorded] = {}
    problems: list[Problem] = []
    limit = trio.CapacityLimiter(AT_ONCE)
    wanted: dict[tuple[str, tuple[str, ...]], list[PipelineSettings]] = {}
    for pipeline in pipelines:
        keys = tuple(one.key for one in pipeline.tts if one.key in voices)
        if keys and any(map(str.isalnum, pipeline.on_failure.say)):  # else there is nothing to speak
            wanted.setdefault((pipeline.on_failure.say, keys), []).append(pipeline)

    async def record(text: str, keys: Sequence[str], users: Sequence[PipelineSettings]) -> None:
        async with limit:
            try:
                speech = await _by_any([voices[key] for key in keys], text)
            except ComponentError as error:
                first = users[0]
                problems.append(
                    Problem(
                        where=first.tts[0].where,
                        path=f"pipelines.{first.name}.on_failure.say",
                        message=f"the apology can't be spoken beforehand: {error.component}: {error.message}",
                        hint=error.hint or "callers will not hear it when text-to-speech fails",
                    )
                )
            else:
                recorded.update((user.name, speech) for user in users)

    async with trio.open_nursery() as nursery:
        for (text, keys), users in wanted.items():
            nursery.start_soon(record, text, keys, users)
    return recorded, problems


async def _by_any(voices: Sequence[SharedComponent], text: str) -> Recorded:
    """The text as the first voice speaks it that can; raises the last one's failure."""
    for voice in voices:
        if (known := voice.recordings.get(text)) is not None:
            return known
    failure = ComponentError("has no voice")
    for voice in voices:
        try:
            with trio.fail_after(RECORD_S):
                voice.recordings[text] = await _recorded(voice, text)
        except ComponentError as error:
            failure = error
        except trio.TooSlowError:
            failure = ComponentError(f"took over {RECORD_S:g} s", component=voice.who.name, role="tts")
        else:
            return voice.recordings[text]
    raise failure


async def _recorded(voice: SharedComponent, text: str) -> Recorded:
    edge: Any = voice.edge
    output: AudioFormat = edge.output_for(TELEPHONE)
    speech = bytearray()

    async def send(stream: SpeechStream) -> None:
        await stream.send(text, 0)
        await stream.finish()

    try:
        async with edge.open_stream(output, None) as stream, trio.open_nursery() as nursery:
            nursery.start_soon(send, stream)
            while (event := await stream.receive()) is not None and output.ms_in(len(speech)) < LONGEST_MS:
                if isinstance(event, SpeechAudio):
                    speech += event.audio
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise raised_in_use(group, voice.who) from None
    if not speech:
        raise ComponentError("gave no speech", component=voice.who.name, role="tts")
    return Recorded(text, bytes(speech), output)
