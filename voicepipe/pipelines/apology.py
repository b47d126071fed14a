"""Apologies, spoken beforehand: when nothing can speak any more, they still can be heard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

from voicepipe.audio import AudioFormat
from voicepipe.components.boundary import error_from_use
from voicepipe.components.events import SpeechAudio
from voicepipe.errors import ComponentError, Problem
from voicepipe.pipelines.snapshot import CachedSpeech

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from voicepipe.components.protocols import SpeechStream
    from voicepipe.config.settings import PipelineSettings
    from voicepipe.pipelines.shared_component import SharedComponent

SYNTHESIS_S = 10.0
"""How long a voice may take to speak an apology, in s."""

LONGEST_MS = 60_000
"""How long it may be, in ms: what is longer is cut, and is not an apology."""

TELEPHONE = AudioFormat(8000)
"""What most calls are; a call of another format has it converted."""

AT_ONCE = 8
"""How many are synthesised at the same time."""

AGAIN_S = (30.0, 600.0)
"""The first and the longest pause before those that are missing are tried again, though no voice has come back."""


class Apologies:
    """What the pipelines of one version say when nothing can speak any more: kept for as long as the version is.

    A voice knows what it has spoken for any version, so an apology is made once however many pipelines and versions
    share it; when the last of them has forgotten it, it is gone.

    Args:
        pipelines: whose.
        voices: components by key, their text-to-speech among them; those that are not open yet may open later.

    """

    def __init__(self, pipelines: Iterable[PipelineSettings], voices: Mapping[str, SharedComponent]) -> None:
        self._voices = voices
        self._wanted: dict[tuple[str, tuple[str, ...]], list[PipelineSettings]] = {}
        for pipeline in pipelines:
            if any(map(str.isalnum, pipeline.on_failure.say)):  # else there is nothing to speak
                keys = tuple(one.key for one in pipeline.tts)
                self._wanted.setdefault((pipeline.on_failure.say, keys), []).append(pipeline)
        self._speech: dict[str, CachedSpeech] = {}
        self._failures: dict[tuple[str, tuple[str, ...]], ComponentError] = {}
        self._forgotten = False

    def of(self, name: str) -> CachedSpeech | None:
        """That of a pipeline; None: no voice has spoken it yet, or it says nothing."""
        return self._speech.get(name)

    @property
    def missing(self) -> tuple[Problem, ...]:
        """Which could not be spoken, and why."""
        return tuple(self._problem(wanted, users[0]) for wanted, users in self._missing())

    async def synthesise(self, deadline: float) -> None:
        """Has those spoken that are missing and that a voice is open for.

        Args:
            deadline: until when, on trio's clock; what is not done by then stays missing.

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
        """Has those spoken that are missing as soon as that may succeed; returns when none is."""
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
        """Forgets all of them: the version is gone."""
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
    """The text as the first voice speaks it that can; None: none is open. Raises the last one's failure."""
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
