"""Speech-to-text over OpenAI's transcription API, or any server that speaks it: Groq, speaches, vLLM, whisper.cpp.

The API takes whole recordings, so audio is collected while the caller speaks and uploaded when the call says that the
utterance is over; the transcript is streamed where the server streams it. Between utterances nothing is sent. A server
that takes longer than `budgets.stt.first_transcript_ms` for an utterance needs a larger one.

Whisper hears words in silence and noise ("Thank you."). So an utterance without any sound in it is not uploaded,
silence is left out of the others, and what Whisper itself holds for silence is dropped. It also gives its prompt back:
that is dropped too.
"""

from __future__ import annotations

import re
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal

import trio
from attrs import field, frozen
from attrs.validators import ge, gt, le, matches_re, optional

from voicepipe.adapters.openai.sdk_client import check_sdk_client, check_sdk_installed, open_sdk_client
from voicepipe.adapters.openai.sse import DONE, ServerSentEvents, parsed
from voicepipe.adapters.openai.transcript import StreamedTranscript, TranscribedAudio, read_transcription
from voicepipe.adapters.openai.utterance import UtteranceAudio, UtterancePart, wav
from voicepipe.audio import AudioFormat
from voicepipe.components.events import Transcript, TranscriptEvent
from voicepipe.components.registry import Adapter
from voicepipe.components.requests import Listen, StreamInput
from voicepipe.components.values import CaFile, Secret
from voicepipe.errors import ComponentError, Location, Problem
from voicepipe.text.prompt_echo import may_become_echo, without_echo
from voicepipe.wire.event_queue import EventQueue
from voicepipe.wire.http import unwind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from voicepipe.adapters.openai.sdk_client import OpenAISdkClient
    from voicepipe.components.protocols import Resources

MOST_RATE = 16000
"""More samples a second than these models hear would only take longer to upload."""

CHUNK_MS = 100

AHEAD = 2
"""How many utterances may wait for a server that is slow before the stream takes no more audio."""

UNREAD_EVENTS = 64
"""How many events may wait to be received before the server's answer is read on."""

AFTERMATH_S = 0.2
"""How long an answer may go on after the transcript is done, for its connection to be used again, in s."""


@frozen
class OpenAITranscriptionOptions:
    """A model that hears, and what it is told beforehand."""

    model: str = "gpt-transcribe"
    """The model: one of OpenAI's (`gpt-transcribe`, `gpt-4o-mini-transcribe`, `whisper-1`), or the server's."""
    api_key: Secret | None = None
    """OpenAI's key, or the server's if it wants one."""
    base_url: str | None = None
    """Another server that speaks this API, up to its version: `http://127.0.0.1:8000/v1`; None: OpenAI."""
    ca_file: CaFile | None = None
    """PEM file with the CA certificates that the server's must come from; None: whatever this machine trusts."""
    language: str | None = field(default=None, validator=optional(matches_re(r"[A-Za-z]{2,3}(-\w+)*")))
    """What callers speak: `en`, `de-AT`; None: the model finds out."""
    prompt: str | None = None
    """What the calls are about, or for Whisper a text in the style of the transcripts and with their odd words."""
    keywords: tuple[str, ...] = ()
    """Names and words that callers may use; models that take no keywords get them as the prompt if there is none."""
    temperature: float | None = field(default=None, validator=optional([ge(0), le(1)]))
    """How freely the model guesses, from 0 to 1; None: its own default. `gpt-transcribe` has none."""
    stream: bool | None = None
    """Whether the transcript is asked for as it is made; None: if the model's name begins with `gpt-`."""
    response_format: Literal["json", "verbose_json"] | None = None
    """What is asked for; None: `verbose_json` if the model's name has `whisper` in it, which tells how sure it is."""
    no_speech_threshold: float = field(default=0.8, validator=[ge(0), le(1)])
    """What Whisper takes for silence with more than this probability is left out, whatever it heard in it."""
    silence_level: int = field(default=120, validator=[ge(0), le(32767)])
    """Audio below this RMS level of 16-bit samples is silence and not uploaded, as is a steady noise; 0: all is."""
    max_utterance_s: float = field(default=30.0, validator=[ge(1), le(600)])
    """Speech without a pause is transcribed in parts of this length, in s; Whisper hears 30 s at a time."""
    connect_timeout_s: float = field(default=5.0, validator=gt(0))
    """The time limit for connecting, in s."""
    timeout_s: float = field(default=10.0, validator=gt(0))
    """How long the server may take to begin its answer, and from one piece of it to the next, in s."""

    @property
    def streams(self) -> bool:
        """Whether to ask for the transcript as it is made."""
        return self.model.startswith("gpt-") if self.stream is None else self.stream

    @property
    def is_keyed(self) -> bool:
        """Whether the model takes keywords and several languages, and neither one language nor a temperature."""
        return self.model.startswith("gpt-transcribe")


def check_options(options: OpenAITranscriptionOptions) -> Iterator[Problem]:
    """Gives a problem for a missing library, and for options that exclude each other."""
    yield from check_sdk_client(options)
    if options.is_keyed and options.temperature is not None:
        yield Problem(Location(""), "temperature", f"{options.model} has no temperature", "leave it out")
    if options.model.startswith("gpt-") and options.response_format == "verbose_json":
        hint = "leave it out: verbose_json is Whisper's"
        yield Problem(Location(""), "response_format", f"{options.model} answers in json only", hint)


def keywords_for(options: OpenAITranscriptionOptions, listen: Listen) -> list[str]:
    """The expected words and phrases in order of preference, each once."""
    keywords = [" ".join(re.sub("[<>]", " ", word).split()) for word in (*options.keywords, *listen.phrases)]
    return [word for word in dict.fromkeys(keywords) if word]


def form_for(options: OpenAITranscriptionOptions, listen: Listen) -> dict[str, Any]:
    """The request's fields besides the file, by the names that the SDK gives them."""
    keywords = keywords_for(options, listen)
    language = listen.language or options.language
    code = language.partition("-")[0].lower() if language else None
    form: dict[str, Any] = {"model": options.model, "prompt": options.prompt, "temperature": options.temperature}
    if options.is_keyed:
        form |= {"keywords": keywords or None, "languages": [code] if code else None}
    else:
        form |= {"prompt": options.prompt or ", ".join(keywords) or None, "language": code}
    if options.model.startswith("gpt-4o") and "diarize" not in options.model:
        form["include"] = ["logprobs"]
    form["response_format"] = options.response_format or (
        "verbose_json" if "whisper" in options.model.lower() else "json"
    )
    form["stream"] = options.streams or None
    return {name: value for name, value in form.items() if value is not None}


class _OpenAITranscription:
    """A model behind an address, shared by all calls."""

    def __init__(self, client: OpenAISdkClient, options: OpenAITranscriptionOptions) -> None:
        self._client, self._options = client, options

    async def probe(self) -> None:
        """Returns if the server is there, takes the key and has the model; raises `ComponentError` if not."""
        await self._client.probe(self._options.model)

    def told(self, listen: Listen) -> tuple[str | None, list[str]]:
        """The prompt and the keywords of a request: models may give them back instead of a transcript."""
        return self._options.prompt, keywords_for(self._options, listen)

    def input_for(self, call: AudioFormat) -> StreamInput:
        """16-bit linear audio at the call's own rate: servers resample by themselves."""
        return StreamInput(AudioFormat(min(call.rate, MOST_RATE)), CHUNK_MS)

    @asynccontextmanager
    async def open_stream(self, stream_input: StreamInput, listen: Listen) -> AsyncIterator[_OpenAITranscriptStream]:
        """A call's utterances; nothing is sent before the first has ended."""
        options = self._options
        utterance = UtteranceAudio(stream_input.format, options.silence_level, options.max_utterance_s)
        stream = _OpenAITranscriptStream(self, stream_input.format, utterance, listen)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.transcribe)
            yield stream
            nursery.cancel_scope.cancel()

    async def transcribe(self, file: bytes, listen: Listen, tell: Callable[[str], Awaitable[None]]) -> TranscribedAudio:
        """The transcript of a WAV file.

        Args:
            file: all of it.
            listen: what is expected in it.
            tell: gets the text so far, where the server streams it.

        Raises:
            ComponentError: the server refused, failed, stalled or answered nonsense.

        """
        create = self._client.sdk.audio.transcriptions.with_streaming_response.create
        with self._client.failures():
            async with create(file=("utterance.wav", file, "audio/wav"), **form_for(self._options, listen)) as answer:
                kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
                if kind == "text/event-stream":
                    return await self._follow(answer.iter_bytes(), tell)
                return self._read(kind, await answer.read())

    async def _follow(self, answer: AsyncIterator[bytes], tell: Callable[[str], Awaitable[None]]) -> TranscribedAudio:
        """Reads a transcript that comes in events."""
        events, transcript = ServerSentEvents(), StreamedTranscript(self._options.no_speech_threshold)
        told = ""
        try:
            async for data in answer:
                self._take(events.feed(data), transcript)
                if transcript.done is not None:
                    await self._see_off(answer)
                    return transcript.done
                if transcript.text != told:
                    told = transcript.text
                    await tell(told)
        finally:
            await unwind(answer)
        self._take(events.end(), transcript)
        if (whole := transcript.end()) is None:
            raise ComponentError("the transcript ended before it was done", answered=told or events.stray)
        return whole

    def _take(self, events: Iterator[tuple[str, str]], transcript: StreamedTranscript) -> None:
        for _, data in events:
            if data == DONE:
                continue
            event = parsed(data)
            if event.get("error"):
                raise self._client.broken_off(event["error"])
            try:
                transcript.take(event)
            except ValueError as error:
                raise _unreadable(data) from error

    async def _see_off(self, answer: AsyncIterator[bytes]) -> None:
        """Reads an answer to its end, so that its connection can be used again; it may not take long, and may fail."""
        with trio.move_on_after(AFTERMATH_S), suppress(ComponentError), self._client.failures():
            async for _ in answer:
                pass

    def _read(self, kind: str, body: bytes) -> TranscribedAudio:
        """Reads a transcript that came at once."""
        text = body.decode(errors="replace").strip()
        if not text:
            raise ComponentError("answered with nothing instead of a transcript")
        if kind == "text/plain" and not text.startswith("{"):
            return TranscribedAudio(text)
        try:
            return read_transcription(parsed(text), self._options.no_speech_threshold)
        except ValueError as error:
            raise _unreadable(text) from error


def _unreadable(answered: str) -> ComponentError:
    return ComponentError("answered with something that is no transcript", answered=answered)


@frozen
class _PendingTranscription:
    """An utterance, or the beginning of one, that waits for its transcript."""

    utterance: UtterancePart
    listen: Listen
    final_is_due: bool
    """Whether somebody waits for a final, be it empty."""


class _OpenAITranscriptStream:
    """One call's utterances, transcribed one after the other by a task of the stream's own."""

    def __init__(
        self, openai: _OpenAITranscription, audio: AudioFormat, utterance: UtteranceAudio, listen: Listen
    ) -> None:
        self._openai, self._audio, self._utterance, self._listen = openai, audio, utterance, listen
        self._asked_in, self._asked = trio.open_memory_channel[_PendingTranscription](AHEAD)
        self._events = EventQueue[TranscriptEvent](UNREAD_EVENTS)

    async def send(self, audio: bytes) -> None:
        """Takes the next audio; waits if the server is that far behind."""
        self._events.check()
        for beginning in self._utterance.add(audio):
            await self._ask(beginning)
        await trio.lowlevel.checkpoint()

    async def end_utterance(self) -> None:
        """Ends the utterance; its final transcript follows, be it empty."""
        await self._ask(self._utterance.cut(), final_is_due=True)

    async def listen_for(self, listen: Listen) -> None:
        """Tells the model about these phrases from the next transcription on."""
        self._listen = listen
        await trio.lowlevel.checkpoint()

    async def finish(self) -> None:
        """Ends the audio; the transcript of the rest follows, then `receive` returns None."""
        await self._ask(self._utterance.cut())
        self._asked_in.close()

    async def receive(self) -> TranscriptEvent | None:
        """The next event; None after `finish()` when all were received. Cancel-safe; raises the stream's error."""
        return await self._events.receive()

    async def _ask(self, utterance: UtterancePart, *, final_is_due: bool = False) -> None:
        try:
            await self._asked_in.send(_PendingTranscription(utterance, self._listen, final_is_due))
        except trio.BrokenResourceError:
            self._events.check()
            raise

    async def transcribe(self) -> None:
        """Gets the transcripts, until the stream is finished or the server fails."""
        with self._asked:
            try:
                async for asked in self._asked:
                    await self._transcribe(asked)
            except ComponentError as error:
                self._events.end(error)
            finally:
                self._events.end()

    async def _transcribe(self, asked: _PendingTranscription) -> None:
        end_ms = asked.utterance.end_ms
        prompt, keywords = self._openai.told(asked.listen)

        async def tell(text: str) -> None:
            if not may_become_echo(text, prompt, keywords):
                await self._events.put(Transcript(text, final=False, audio_end_ms=end_ms))

        found = TranscribedAudio("")
        if asked.utterance.audio:
            found = await self._openai.transcribe(wav(self._audio, asked.utterance.audio), asked.listen, tell)
        text = without_echo(found.text, prompt, keywords, asked.utterance.sound_ms)
        if text or asked.final_is_due:
            said = Transcript(text, True, found.language, found.confidence, audio_end_ms=end_ms)
            await self._events.put(said)
        if found.usage is not None:
            await self._events.put(found.usage)


@asynccontextmanager
async def open_transcription(
    options: OpenAITranscriptionOptions, resources: Resources
) -> AsyncIterator[_OpenAITranscription]:
    """Imports the SDK and makes its client."""
    async with open_sdk_client(options, resources) as client:
        yield _OpenAITranscription(client, options)


stt = Adapter(
    name="openai",
    role="stt",
    options=OpenAITranscriptionOptions,
    open=open_transcription,
    check=check_options,
    check_installed=check_sdk_installed,
)
