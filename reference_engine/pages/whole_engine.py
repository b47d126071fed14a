"""Requests of a worker to the whole engine, which its supervisor answers for all workers."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import trio

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CONNECT_S: Final = 5.0
"""The time in which the supervisor has to accept the connection, in s; its answer has no limit, as reloads are slow."""


class WholeEngine:
    """The control of the whole engine.

    Args:
        control: the path of the control's Unix socket, where the supervisor listens.

    """

    def __init__(self, control: Path) -> None:
        self._control = control

    async def ask(
        self, method: str, path: str, *, params: Mapping[str, str] | None = None, **request: Any
    ) -> tuple[int, dict[str, Any]]:
        """Returns the status and the JSON body of an answer; 503 with `error` if there is none.

        Args:
            method: the method.
            path: the path.
            params: the parameters of the query.
            request: further arguments of httpx: `json`, `headers`.

        """
        httpx = await trio.to_thread.run_sync(_import_httpx)
        transport = httpx.AsyncHTTPTransport(uds=str(self._control))
        timeout = httpx.Timeout(None, connect=CONNECT_S)
        try:
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=timeout) as client:
                answer = await client.request(method, path, params=params, **request)
                return answer.status_code, answer.json()
        except (httpx.HTTPError, ValueError) as error:
            reason = f"the supervisor does not answer at {self._control}: {error or type(error).__name__}"
            return HTTPStatus.SERVICE_UNAVAILABLE, {"error": reason}


def _import_httpx() -> Any:
    """Returns httpx, which takes two tenths of a second to import: in a thread, as calls are up."""
    import httpx  # noqa: PLC0415 - see above

    return httpx
