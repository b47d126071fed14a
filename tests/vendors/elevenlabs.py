"""ElevenLabs as its API reference has it: text-to-speech as a stream, with timestamps or without, and the models.

Sources: elevenlabs.io/docs/api-reference/text-to-speech/stream, .../stream-with-timestamps, /v1/models, and
elevenlabs.io/docs/eleven-api/resources/errors.
"""

from __future__ import annotations

import base64
import json
import re
from itertools import count

import trio
from vendors.serving import VendorServer
from vendors.tone import MS_A_CHAR, speech

from voicepipe.audio import AudioFormat

PCM_RATES = (8000, 16000, 22050, 24000, 32000, 44100, 48000)
FORMATS = {
    "ulaw_8000": AudioFormat(8000, "mulaw"),
    "alaw_8000": AudioFormat(8000, "alaw"),
    **{f"pcm_{rate}": AudioFormat(rate) for rate in PCM_RATES},
}
QUERY = {"output_format", "optimize_streaming_latency", "enable_logging"}
BODY = {
    "text": str,
    "model_id": str,
    "language_code": str,
    "voice_settings": dict,
    "seed": int,
    "previous_text": str,
    "next_text": str,
    "previous_request_ids": list,
    "next_request_ids": list,
    "apply_text_normalization": str,
}
SETTINGS = {"stability", "similarity_boost", "style", "use_speaker_boost", "speed"}
SPEAK = re.compile(r"/v1/text-to-speech/([^/]+)/stream(/with-timestamps)?")


class ElevenLabs(VendorServer):
    """An account with one key and some voices."""

    def __init__(self, api_key="test-key", voices=("JBFqnCBsd6RMkjVDRZzb",), concurrent=10, piece=333):
        super().__init__()
        self.api_key, self.voices, self.concurrent, self.piece = api_key, voices, concurrent, piece
        self.models = ["eleven_flash_v2_5", "eleven_multilingual_v2", "eleven_v3"]
        self.may_list_models = True
        self.spoken = []
        """The bodies of the requests that were taken."""
        self.speaking = self.most_speaking = 0
        self.pause_s = 0.0
        """Before the head, and between two pieces."""
        self._ids = count(1)

    async def answer(self, request, response):
        if request.headers.get("xi-api-key") != self.api_key:
            await refuse(response, 401, "invalid_api_key", "Invalid API key", "authentication_error")
        elif request.path == "/v1/models" and request.method == "GET":
            await self._list(response)
        elif (speak := SPEAK.fullmatch(request.path)) and request.method == "POST":
            await self._speak(request, response, speak[1], timed=bool(speak[2]))
        else:
            await response.json({"detail": "Not Found"}, 404)

    async def _list(self, response):
        if self.may_list_models:
            await response.json([{"model_id": model, "can_do_text_to_speech": True} for model in self.models])
        else:
            said = "The API key you used is missing the permission models_read to execute this operation."
            await refuse(response, 401, "missing_permissions", said, "authentication_error")

    async def _speak(self, request, response, voice, *, timed):
        query, problems = dict(request.query), []
        problems += [(["query", name], "Extra inputs are not permitted") for name in query if name not in QUERY]
        if query.get("output_format") not in FORMATS:
            problems.append((["query", "output_format"], f"Input should be {', '.join(FORMATS)}"))
        body = self._body(request, problems)
        if problems:
            detail = [{"type": "value_error", "loc": where, "msg": said} for where, said in problems]
            await response.json({"detail": detail}, 422)
        elif voice not in self.voices:
            await refuse(response, 404, "voice_not_found", f"A voice with the voice_id {voice} was not found.")
        elif body["model_id"] not in self.models:
            said = f"A model with model ID {body['model_id']} does not exist."
            await refuse(response, 400, "model_not_found", said)
        elif "language_code" in body and body["model_id"] == "eleven_multilingual_v2":
            said = "Model eleven_multilingual_v2 does not support language_code."
            await refuse(response, 400, "unsupported_language", said)
        elif "previous_text" in body and body["model_id"] == "eleven_v3":
            said = "Providing previous_text or next_text is not yet supported with the 'eleven_v3' model."
            await refuse(response, 400, "unsupported_model", said)
        elif self.speaking >= self.concurrent:
            said = f"Too many concurrent requests. Your current subscription is limited to {self.concurrent}."
            await refuse(response, 429, "too_many_concurrent_requests", said, "rate_limit_error")
        else:
            self.spoken.append(body)
            self.speaking += 1
            self.most_speaking = max(self.most_speaking, self.speaking)
            try:
                await self._stream(response, body["text"], FORMATS[query["output_format"]], timed=timed)
            finally:
                self.speaking -= 1

    def _body(self, request, problems):
        try:
            body = json.loads(request.body)
        except ValueError:
            problems.append((["body"], "JSON decode error"))
            return {}
        for name, value in body.items():
            if name not in BODY or not isinstance(value, BODY[name]):
                problems.append((["body", name], "Input should be something else"))
        for name in ("text", "model_id"):
            if not str(body.get(name, "")).strip():
                problems.append((["body", name], "Field required"))
        settings = body.get("voice_settings", {})
        problems += [(["body", "voice_settings", name], "Unknown") for name in settings if name not in SETTINGS]
        return body

    async def _stream(self, response, text, audio, *, timed):
        await trio.sleep(self.pause_s)
        kind = "text/event-stream" if timed else "audio/basic" if audio.encoding == "mulaw" else "audio/pcm"
        await response.start(
            200, {"content-type": kind, "request-id": f"request-{next(self._ids)}", "character-cost": str(len(text))}
        )
        said = speech(text, audio)
        for at in range(0, len(said), self.piece):
            if at:
                await trio.sleep(self.pause_s)
            piece = said[at : at + self.piece]
            if timed:
                piece = timed_line(text, audio, at, piece)
            await response.send(piece)


def timed_line(text, audio, at, piece):
    """A piece as a line of JSON, with the characters that begin in it."""
    begins, ends = audio.ms_in(at) / MS_A_CHAR, audio.ms_in(at + len(piece)) / MS_A_CHAR
    within = [number for number in range(len(text)) if begins <= number < ends]
    alignment = {
        "characters": [text[number] for number in within],
        "character_start_times_seconds": [number * MS_A_CHAR / 1000 for number in within],
        "character_end_times_seconds": [(number + 1) * MS_A_CHAR / 1000 for number in within],
    }
    message = {
        "audio_base64": base64.b64encode(piece).decode(),
        "alignment": alignment if within else None,
        "normalized_alignment": alignment if within else None,
    }
    return json.dumps(message) + "\n"


async def refuse(response, status, code, said, kind="validation_error"):
    """An error as they tell it."""
    detail = {"type": kind, "code": code, "status": code, "message": said, "request_id": "deadbeef", "param": None}
    await response.json({"detail": detail}, status)
