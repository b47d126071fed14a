"""Apologies that are synthesised in advance, so that they can be played when no voice works."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

from voicepipe.audio import AudioFormat
from voicepipe.components.boundary import error_from_use
from voicepipe.components.events import SpeechAudio
from voicepipe.components.templates import fill
from voicepipe.errors import ComponentError, Problem
from voicepipe.pipelines.snapshot import CachedSpeech

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from voicepipe.components.protocols import SpeechStream
    from voicepipe.config.settings import PipelineSettings
    from voicepipe.pipelines.shared_component import SharedComponent

SYNTHESIS_S = 10.0
"""The time limit of synthesising an apology, in s."""

LONGEST_MS = 60_000
"""The longest apology, in ms; the rest is cut off."""

TELEPHONE = AudioFormat(8000)
"""The format of cached apologies, that of most calls; calls of other formats convert it."""

AT_ONCE = 8
"""The number of apologies that are synthesised at the same time."""

AGAIN_S = (30.0, 600.0)
"""The first and the longest pause before missing apologies are tried again without a voice having come back, in s."""


class Apologies:
    """The apologies of one version's pipelines, as cached speech.

    Each voice caches its speech weakly, so an apology is synthesised once for all pipelines and versions that share it,
    and freed with the last of them.

    Args:
        pipelines: the pipelines of the version.
        voices: the components of the version by key; those that are not open yet may open later.

    """

    def __init__(self, pipelines: Iterable[PipelineSettings], voices: Mapping[str, SharedComponent]) -> None:
        self._voices = voices
        self._wanted: dict[tuple[str, tuple[str, ...]], list[PipelineSettings]] = {}
        for pipeline in pipelines:
            # All calls share it, so it has no values of a call in it.
            text = fill(pipeline.on_failure.say, lambda _name: None)
            if any(map(str.isalnum, text)):  # otherwise there is nothing to speak
                keys = tuple(voice.key for voice in pipeline.tts)
                self._wanted.setdefault((text, keys), []).append(pipeline)
        self._speech: dict[str, CachedSpeech] = {}
        self._failures: dict[tuple[str, tuple[str, ...]], ComponentError] = {}
        self._forgotten = False

    def of(self, name: str) -> CachedSpeech | None:
        """Returns the apology of a pipeline; None: no voice has spoken it yet, or its text has no words."""
        return self._speech.get(name)

    @property
    def missing(self) -> tuple[Problem, ...]:
        """The problems of apologies that are not recorded."""
        return tuple(self._problem(wanted, users[0]) for wanted, users in self._missing())

    async def synthesise(self, deadline: float) -> None:
        """Synthesises missing apologies that have an open voice.

        Args:
            deadline: the deadline on trio's clock; what is not ready by then stays missing.

        """
        limit = trio.CapacityLimiter(AT_ONCE)

        async def synthesise(wanted: tuple[str, tuple[str, ...]], users: Sequence[PipelineSettings]) -> None:
            text, keys = wanted
            try:
                async with limit:
                    speech = await _by_any([voice for key in keys if (voice := self._voices.get(key))], text)
            except ComponentError as error:
                self._failures[wanted] = error
            else:
                if speech is not None and not self._forgotten:
                    self._speech.update((user.name, speech) for user in users)

        with trio.CancelScope(deadline=deadline):
            async with trio.open_nursery() as nursery:
                for wanted, users in self._missing():
                    nursery.start_soon(synthesise, wanted, users)

    async def keep(self) -> None:
        """Synthesises missing apologies when voices work again; returns when none is missing."""
        pause, longest = AGAIN_S
        moved = trio.Event()

        def move() -> None:
            moved.set()

        voices = {voice for (_, keys), _ in self._missing() for key in keys if (voice := self._voices.get(key))}
        for voice in voices:
            voice.breaker.watchers.add(move)
        try:
            if any(wanted not in self._failures for wanted, _ in self._missing()):
                move()  # a voice may have come meanwhile
            while self._missing():
                with trio.move_on_after(pause) as waiting:
                    await moved.wait()
                moved = trio.Event()
                pause = min(longest, 2 * pause) if waiting.cancelled_caught else AGAIN_S[0]
                await self.synthesise(trio.current_time() + SYNTHESIS_S * len(voices))
        finally:
            for voice in voices:
                voice.breaker.watchers.discard(move)

    def forget(self) -> None:
        """Drops all apologies, because the version is gone."""
        self._forgotten = True
        self._speech.clear()

    def _missing(self) -> list[tuple[tuple[str, tuple[str, ...]], list[PipelineSettings]]]:
        return [(wanted, users) for wanted, users in self._wanted.items() if users[0].name not in self._speech]

    def _problem(self, wanted: tuple[str, tuple[str, ...]], first: PipelineSettings) -> Problem:
        error = self._failures.get(wanted) or ComponentError(
            "no voice has had the time", hint="it is done when one has"
        )
        whose = f"{error.component}: " if error.component else ""
        return Problem(
            where=first.tts[0].where,
            path=f"pipelines.{first.name}.on_failure.say",
            message=f"the apology can't be spoken beforehand: {whose}{error.message}",
            hint=error.hint or "callers will not hear it when text-to-speech fails",
        )


async def _by_any(voices: Sequence[SharedComponent], text: str) -> CachedSpeech | None:
    """Returns the text as spoken by the first voice that works; None: no voice is open. Raises the last failure."""
    for voice in voices:
        if (known := voice.cached_speech.get(text)) is not None:
            return known
    failure: ComponentError | None = None
    for voice in voices:
        if not voice.is_open:
            continue
        try:
            with trio.fail_after(SYNTHESIS_S):
                synthesised = voice.cached_speech[text] = await _synthesise(voice, text)
        except ComponentError as error:
            failure = error
        except trio.TooSlowError:
            failure = ComponentError(f"took over {SYNTHESIS_S:g} s", component=voice.ref.name, role="tts")
        else:
            return synthesised
    if failure is not None:
        raise failure
    return None


async def _synthesise(voice: SharedComponent, text: str) -> CachedSpeech:
    tts: Any = voice.guarded
    output: AudioFormat = tts.output_for(TELEPHONE)
    speech = bytearray()

    async def send(stream: SpeechStream) -> None:
        await stream.send(text, 0)
        await stream.finish()

    try:
        async with tts.open_stream(output, None) as stream, trio.open_nursery() as nursery:
            nursery.start_soon(send, stream)
            while (event := await stream.receive()) is not None and output.ms_in(len(speech)) < LONGEST_MS:
                if isinstance(event, SpeechAudio):
                    speech += event.audio
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise error_from_use(group, voice.ref) from None
    if not speech:
        raise ComponentError("gave no speech", component=voice.ref.name, role="tts")
    return CachedSpeech(text, bytes(speech), output)
