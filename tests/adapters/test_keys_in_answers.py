"""Servers that echo the key that they were sent, in every way: no adapter's error shows any of it, opened from YAML."""

from __future__ import annotations

import json
from base64 import b64encode
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
from attrs import frozen
from recording import make_component

from voicepipe import Adapter, ConfigError, Registry, installed, open_pipeline_set
from voicepipe.components.quoting import MOST_QUOTED
from voicepipe.roles import ROLES

KEY = "canary-0123456789/abcdefghij+ABCDEFG"
FILE = """\
pipelines:
  default:
    stt: {stt}
    llm: {llm}
    tts: {tts}
"""


@frozen
class Local:
    """Nothing to set."""


@asynccontextmanager
async def opened(role):
    yield make_component(role)


REGISTRY = Registry(
    [
        *installed(),
        *(Adapter("local", role, Local, open=lambda _options, _resources, role=role: opened(role)) for role in ROLES),
    ]
)
CLOUDS = [
    ("stt", "deepgram", ""),
    ("stt", "deepgram", ", model: flux-general-en"),
    ("tts", "deepgram", ""),
    ("tts", "elevenlabs", ""),
    ("stt", "openai", "/v1"),
    ("llm", "openai", "/v1, model: m"),
    ("tts", "openai", "/v1"),
]
WAYS = {
    "as it is": lambda key: key,
    "in JSON": lambda key: json.dumps(
        {"error": {"message": f"bad key {key}"}, "detail": {"message": key}, "err_msg": key}
    ),
    "behind white space": lambda key: f"{' ' * 500}{key}",
    "wrapped": lambda key: f"{key[:9]}\n    {key[9:18]}\r\n\t{key[18:]}",
    "encoded": lambda key: b64encode(f"user:{key}".encode()).decode(),
    "masked": lambda key: f"{key[:8]}********{key[-6:]}",
    "cut by the vendor": lambda key: f"{'-' * 30} {key[:20]}",
    **{f"at the cut: {at}": lambda key, at=at: "x" * at + key for at in range(MOST_QUOTED - 38, MOST_QUOTED, 6)},
}


@asynccontextmanager
async def echo(say, status):
    """A server that answers everything with what `say` makes of the key; its port."""

    async def serve(stream):
        async with stream:
            head = b""
            while b"\r\n\r\n" not in head:
                data = await stream.receive_some()
                if not data:
                    return
                head += data
            lines = head.decode().split("\r\n\r\n")[0].split("\r\n")[1:]
            headers = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}
            sent = headers.get("xi-api-key") or headers["authorization"].rpartition(" ")[2]
            body = say(sent).encode()
            about = "".join(say(sent).split())[:300]
            answer = [
                f"HTTP/1.1 {status} No",
                f"content-length: {len(body)}",
                f"dg-error: {about}",
                "connection: close",
            ]
            await stream.send_all("\r\n".join([*answer, "connection: close", "", ""]).encode() + body)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("way", WAYS)
async def test_nothing_of_a_key_in_any_error(tmp_path, way):
    """All adapters that have a key, each the only one of its role: a start that says why it does not serve."""
    async with echo(WAYS[way], 401) as port:
        for number, (role, adapter, more) in enumerate(CLOUDS):
            suffix, comma, options = more.partition(",")
            path = tmp_path / f"{number}.yaml"
            cloud = f'{{type: {adapter}, api_key: "${{THE_KEY}}", base_url: "http://127.0.0.1:{port}{suffix}"{comma}{options}}}'
            path.write_text(FILE.format(**(dict.fromkeys(ROLES, "local") | {role: cloud})))
            with pytest.raises(ConfigError) as caught:
                async with open_pipeline_set(path, registry=REGISTRY, environ={"THE_KEY": f"\n {KEY}\r\n"}):
                    pytest.fail("it serves")
            said = str(caught.value)
            assert f"{adapter} can't be opened" in said
            for at in range(len(KEY) - 8):
                assert KEY[at : at + 8] not in said, (adapter, said)
