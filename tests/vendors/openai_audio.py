"""OpenAI's audio API as the tests need it: transcriptions and speech, what it refuses included.

Formats, limits and error bodies are those of its API reference ("Create transcription", "Create speech") and of what
its users report. What is "recognised" is for the test to say, upload by upload; what is "spoken" is a tone that lasts
as long as the text is long, in a pitch of the text's own.
"""

from __future__ import annotations

import io
import json
import math
import wave
from collections import deque
from email.message import Message
from email.parser import BytesParser

import trio
from attrs import frozen
from vendors.openai_requests import KEY, Refused, check_key, no_such_model, refuse_if
from vendors.openai_server import OpenAIServer, start_events
from vendors.tone import speech

from voicepipe.audio import AudioFormat

TRANSCRIBERS = {
    "gpt-transcribe",
    "gpt-4o-transcribe",
    "gpt-4o-mini-transcribe",
    "gpt-4o-mini-transcribe-2025-12-15",
    "gpt-4o-transcribe-diarize",
    "whisper-1",
}
SPEAKERS = {"tts-1", "tts-1-hd", "gpt-4o-mini-tts", "gpt-4o-mini-tts-2025-12-15"}
VOICES = (
    "nova",
    "shimmer",
    "echo",
    "onyx",
    "fable",
    "alloy",
    "ash",
    "sage",
    "coral",
    "ballad",
    "verse",
    "marin",
    "cedar",
)
FILE_FORMATS = ["flac", "m4a", "mp3", "mp4", "mpeg", "mpga", "oga", "ogg", "wav", "webm"]
FIELDS = {
    "chunking_strategy",
    "include[]",
    "keywords[]",
    "language",
    "languages[]",
    "model",
    "prompt",
    "response_format",
    "stream",
    "temperature",
    "timestamp_granularities[]",
}
SPEECH_FIELDS = {"input", "instructions", "model", "response_format", "speed", "stream_format", "voice"}
SPEECH = AudioFormat(24000)
MOST_CHARS = 4096


@frozen
class Upload:
    """An audio file to be transcribed, with its form."""

    form: dict[str, list[str]]
    filename: str
    content_type: str
    wav: bytes

    def get(self, name: str) -> str | None:
        """A form field's value."""
        return self.form.get(name, [None])[-1]

    @property
    def rate(self) -> int:
        with wave.open(io.BytesIO(self.wav)) as file:
            assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
            return file.getframerate()

    @property
    def samples(self) -> bytes:
        """16-bit LE mono PCM."""
        with wave.open(io.BytesIO(self.wav)) as file:
            return file.readframes(file.getnframes())

    @property
    def seconds(self) -> float:
        return len(self.samples) / 2 / self.rate


class AudioServer(OpenAIServer):
    """`api.openai.com` with its audio API."""

    def __init__(self, api_key: str | None = KEY) -> None:
        super().__init__(api_key)
        self.models += sorted((TRANSCRIBERS | SPEAKERS) - set(self.models))
        self.uploads: list[Upload] = []
        """What was to be transcribed, in order."""
        self.texts: deque[str] = deque()
        """What the next uploads say, one each."""
        self.text = "hello world"
        """What all others say."""
        self.segments: list[dict] | None = None
        """Whisper's segments, when it is not for `transcribe` to make one of the text."""
        self.spoken: list[dict] = []
        """The bodies of the requests for speech, in order."""
        self.chunk = 4801
        """Bytes of speech sent at a time; an odd number cuts samples in two."""
        self.pause_s = 0.0
        """Before an answer, and between its pieces where it comes in pieces."""

    async def transcribe(self, upload: Upload) -> str:
        """What an upload says."""
        return self.texts.popleft() if self.texts else self.text

    def speak(self, text: str) -> bytes:
        """How a text sounds."""
        return speech(text, SPEECH)

    async def answer(self, request, response) -> None:
        if not request.path.startswith("/v1/audio/"):
            await super().answer(request, response)
            return
        await trio.sleep(self.pause_s)
        try:
            check_key(request, self.api_key)
            if request.path == "/v1/audio/transcriptions":
                await self._transcriptions(request, response)
            elif request.path == "/v1/audio/speech":
                await self._speech(request, response)
            else:
                refuse_if(True, f"Invalid URL ({request.method} {request.path})")
        except Refused as refused:
            await response.json(refused.body, refused.status)

    async def _transcriptions(self, request, response) -> None:
        upload = parse_upload(request.headers.get("content-type", ""), request.body)
        check_upload(upload)
        self.uploads.append(upload)
        text = await self.transcribe(upload)
        model = upload.get("model")
        if upload.get("stream") == "true" and model != "whisper-1":
            await start_events(response)
            for event in transcript_events(text, upload):
                await response.send(f"data: {json.dumps(event)}\n\n")
                await trio.sleep(self.pause_s)
            return
        wanted = upload.get("response_format") or "json"
        if wanted == "text":
            await response.start(200, {"content-type": "text/plain; charset=utf-8"})
            await response.send(text + "\n")
        elif wanted == "verbose_json":
            await response.json(verbose(text, upload, self.segments))
        else:
            answer = {"text": text, "usage": usage(upload, text)}
            if upload.form.get("include[]") == ["logprobs"]:
                answer["logprobs"] = [logprob(token) for token in tokens(text)]
            if model == "gpt-transcribe":
                answer["languages"] = [{"code": "en"}] if text else []
            await response.json(answer)

    async def _speech(self, request, response) -> None:
        body = request.json
        check_speech(body)
        self.spoken.append(body)
        spoken = self.speak(body["input"])
        await response.start(200, {"content-type": "audio/pcm"})
        for start in range(0, len(spoken), self.chunk):
            await response.send(spoken[start : start + self.chunk])
            await trio.sleep(self.pause_s)


# --- Transcriptions ------------------------------------------------------------------------------------------------


def parse_upload(content_type: str, body: bytes) -> Upload:
    """A form with a file (RFC 7578)."""
    head = Message()
    head["content-type"] = content_type
    if head.get_content_type() != "multipart/form-data" or not head.get_param("boundary"):
        raise Refused(400, "Could not parse multipart form")
    parsed = BytesParser().parsebytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
    form: dict[str, list[str]] = {}
    file = None
    for part in parsed.get_payload():
        name = part.get_param("name", header="content-disposition")
        if part.get_filename() is not None:
            assert name == "file"
            file = (part.get_filename(), part.get_content_type(), part.get_payload(decode=True))
        else:
            form.setdefault(name, []).append(part.get_payload(decode=True).decode())
    if file is None:
        raise Refused(400, missing("file"))
    return Upload(form, *file)


def check_upload(upload: Upload) -> None:
    """Refuses what the API refuses."""
    model = upload.get("model")
    refuse_if(model is None, "you must provide a model parameter")
    refuse_unknown(set(upload.form) - FIELDS)
    if model not in TRANSCRIBERS:
        raise no_such_model(model)
    is_wav = upload.filename.endswith(".wav") and upload.wav.startswith(b"RIFF")
    refuse_if(not is_wav, f"Invalid file format. Supported formats: {FILE_FORMATS}")
    too_short = "Audio file is too short. Minimum audio length is 0.1 seconds."
    refuse_if(upload.seconds < 0.1, too_short, param="file", code="audio_too_short")
    check_transcription_options(upload, model, upload.get("response_format") or "json")


def check_transcription_options(upload: Upload, model: str, wanted: str) -> None:
    """Refuses what does not go together."""
    refuse_if(
        model != "whisper-1" and wanted not in {"json", "text"},
        f"response_format '{wanted}' is not compatible with model '{model}'. Use 'json' or 'text' instead.",
        param="response_format",
        code="unsupported_value",
    )
    unsupported = {"language", "temperature"} if model == "gpt-transcribe" else {"keywords[]", "languages[]"}
    if not (model.startswith("gpt-4o") and wanted == "json"):
        unsupported.add("include[]")
    for name in sorted(unsupported & set(upload.form)):
        refuse_if(True, f"Unsupported parameter: '{name}' is not supported with this model.", param=name)
    for language in [*upload.form.get("languages[]", ()), *upload.form.get("language", ())]:
        must = f"Invalid language '{language}'. Language parameter must be specified in ISO-639-1 format."
        fits = language.isalpha() and language.islower() and len(language) in {2, 3}
        refuse_if(not fits, must, param="language", code="invalid_language_format")
    for keyword in upload.form.get("keywords[]", ()):
        fits = keyword and not set(keyword) & set("<>\r\n")
        refuse_if(not fits, f"Invalid keyword: {keyword!r}", param="keywords", code="invalid_value")
    hot = not 0 <= float(upload.get("temperature") or 0) <= 1
    refuse_if(hot, "Invalid 'temperature': must be between 0 and 1.", param="temperature")


def transcript_events(text: str, upload: Upload) -> list[dict]:
    """The server-sent events of a transcription."""
    wants_logprobs = upload.form.get("include[]") == ["logprobs"]
    events = [
        {
            "type": "transcript.text.delta",
            "delta": token,
            **({"logprobs": [logprob(token)]} if wants_logprobs else {}),
        }
        for token in tokens(text)
    ]
    done = {"type": "transcript.text.done", "text": text, "usage": usage(upload, text)}
    if wants_logprobs:
        done["logprobs"] = [logprob(token) for token in tokens(text)]
    if upload.get("model") == "gpt-transcribe":
        done["languages"] = [{"code": "en"}] if text else []
    return [*events, done]


def verbose(text: str, upload: Upload, segments: list[dict] | None) -> dict:
    """Whisper's `TranscriptionVerbose`."""
    if segments is None:
        segments = [segment(text, end=upload.seconds)] if text else []
    return {
        "task": "transcribe",
        "language": "english",
        "duration": round(upload.seconds, 2),
        "text": text,
        "segments": segments,
        "usage": usage(upload, text),
    }


def segment(text: str, *, avg_logprob: float = -0.25, no_speech_prob: float = 0.01, end: float = 1.0) -> dict:
    """One of Whisper's segments."""
    return {
        "id": 0,
        "seek": 0,
        "start": 0.0,
        "end": end,
        "text": f" {text}",
        "tokens": [50364, 50464],
        "temperature": 0.0,
        "avg_logprob": avg_logprob,
        "compression_ratio": 0.9,
        "no_speech_prob": no_speech_prob,
    }


def tokens(text: str) -> list[str]:
    """A text in the pieces that a model makes it of."""
    words = text.split(" ")
    return [word if at == 0 else f" {word}" for at, word in enumerate(words) if word]


def logprob(token: str) -> dict:
    return {"token": token, "logprob": -0.1, "bytes": list(token.encode())}


def usage(upload: Upload, text: str) -> dict:
    """What it cost."""
    if upload.get("model") == "whisper-1":
        return {"type": "duration", "seconds": math.ceil(upload.seconds)}
    heard, said = math.ceil(upload.seconds * 10), len(tokens(text))
    return {
        "type": "tokens",
        "input_tokens": heard,
        "input_token_details": {"text_tokens": 0, "audio_tokens": heard},
        "output_tokens": said,
        "total_tokens": heard + said,
    }


# --- Speech --------------------------------------------------------------------------------------------------------


def check_speech(body: dict) -> None:
    """Refuses what the API refuses."""
    for name in "model", "input", "voice":
        refuse_if(name not in body, missing(name))
    refuse_unknown(set(body) - SPEECH_FIELDS)
    model, voice, text, speed = body["model"], body["voice"], body["input"], body.get("speed", 1.0)
    if model not in SPEAKERS:
        raise no_such_model(model)
    expected = " or ".join([", ".join(f"'{voice}'" for voice in VOICES[:-1]), f"'{VOICES[-1]}'"])
    refuse_if(voice not in VOICES, invalid("enum", "voice", f"Input should be {expected}", voice))
    refuse_if(not text, invalid("string_too_short", "input", "String should have at least 1 character", text))
    too_long = f"String should have at most {MOST_CHARS} characters"
    refuse_if(len(text) > MOST_CHARS, invalid("string_too_long", "input", too_long, text))
    refuse_if(not 0.25 <= speed <= 4, invalid("range", "speed", "Input should be between 0.25 and 4", speed))
    assert (body.get("stream_format", "audio"), body.get("response_format")) == ("audio", "pcm"), "adapters want PCM"


def refuse_unknown(names: set[str]) -> None:
    for name in sorted(names):
        raise Refused(400, f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")


def missing(name: str) -> str:
    return invalid("missing", name, "Field required", None)


def invalid(kind: str, name: str, message: str, given) -> str:
    """As its validation says it: Python's notation, in the message."""
    return str([{"type": kind, "loc": ("body", name), "msg": message, "input": given}])
