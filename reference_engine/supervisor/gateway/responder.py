"""A request's body, and the answer to its client, by the messages of ASGI."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import trio

from reference_engine.supervisor.gateway.exchange import WorkerLostError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from reference_engine.supervisor.gateway.exchange import AskableWorker, WorkerAnswer

Message: TypeAlias = MutableMapping[str, Any]
"""A message of ASGI, or the scope of a request."""

Receive: TypeAlias = Callable[[], Awaitable[Message]]
"""ASGI's `receive`."""

Send: TypeAlias = Callable[[Message], Awaitable[None]]
"""ASGI's `send`."""

MAX_BODY: Final = 65_536
"""The most bytes of a request's body, which is the most that any operation takes."""

BODY_S: Final = 5.0
"""The time in which a body must arrive, in s."""


class Responder:
    """The answer to a client."""

    def __init__(self, send: Send, receive: Receive) -> None:
        self._send, self._receive = send, receive
        self.begun = False
        """Whether the client may have got a part of it."""

    async def begin(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Begins with the head."""
        self.begun = True
        await self._send({"type": "http.response.start", "status": status, "headers": list(headers)})

    async def send_chunks(self, chunks: AsyncIterator[bytes], *, until_gone: bool) -> None:
        """Sends pieces as they come, each when the client has taken the one before; ends when the client is gone."""
        gone: list[BaseException] = []
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                while (await self._receive())["type"] != "http.disconnect":
                    pass
                gone.append(trio.BrokenResourceError())
                nursery.cancel_scope.cancel()

            if until_gone:
                nursery.start_soon(watch)
            try:
                async for chunk in chunks:
                    await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
                await self._send({"type": "http.response.body", "body": b"", "more_body": False})
            except (trio.BrokenResourceError, trio.TooSlowError, WorkerLostError) as error:
                gone.append(error)
            nursery.cancel_scope.cancel()
        if gone:
            raise gone[0]

    async def send(
        self, body: bytes, content_type: str, status: int = HTTPStatus.OK, headers: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        """Sends a whole answer."""
        own = [(b"content-type", content_type.encode()), (b"content-length", b"%d" % len(body))]
        await self.begin(status, [*own, *headers])
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def send_json(
        self, body: Any, status: int = HTTPStatus.OK, headers: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        """Sends an object as JSON."""
        await self.send(as_json(body), "application/json", status, headers)

    async def send_answer(self, answer: WorkerAnswer) -> None:
        """Sends a worker's answer."""
        headers = [each for each in answer.headers if each[0] != b"content-length"]
        await self.begin(answer.status, [*headers, (b"content-length", b"%d" % len(answer.body))])
        await self._send({"type": "http.response.body", "body": answer.body, "more_body": False})

    async def send_merged(self, answers: Mapping[AskableWorker, WorkerAnswer], merge: Callable[[], Any]) -> None:
        """Sends what the workers' answers come to, or the first refusal if none has answered 200."""
        if any(answer.status == HTTPStatus.OK for answer in answers.values()):
            await self.send_json(merge())
        else:
            await self.send_answer(next(iter(answers.values())))


async def body_of(receive: Receive) -> bytes | None:
    """Returns a request's body, of one that is too long its beginning; None: it did not arrive in time.

    Raises:
        trio.BrokenResourceError: the client has gone.

    """
    content = bytearray()
    with trio.move_on_after(BODY_S):
        while len(content) <= MAX_BODY:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise trio.BrokenResourceError
            content += message["body"]
            if not message["more_body"]:
                return bytes(content)
        return bytes(content[: MAX_BODY + 1])
    return None


def as_json(content: Any) -> bytes:
    """Returns the bytes of a JSON body, as `control/answers.py` writes them."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace")
