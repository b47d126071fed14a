"""The commands' HTTP client for the control socket of a running engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

from reference_engine.control.user_agent import COMMAND
from reference_engine.errors import EngineError

if TYPE_CHECKING:
    from pathlib import Path

CONNECT_S = 5.0
"""The time that the engine has to accept the connection, in s; its answer has no limit, since models load slowly."""


def ask(control: Path, method: str, path: str, **request: Any) -> tuple[int, dict[str, Any]]:
    """Returns the status and the JSON body of the engine's answer; `request` is passed to httpx: `params`, `json`.

    Raises:
        EngineError: no engine is listening there, or it stopped before it answered.

    """
    transport = httpx.HTTPTransport(uds=str(control))
    try:
        with httpx.Client(
            transport=transport,
            base_url="http://engine",
            timeout=httpx.Timeout(None, connect=CONNECT_S),
            headers={"User-Agent": COMMAND},
            trust_env=False,  # a proxy of the environment is not for this socket
        ) as client:
            answer = client.request(method, path, **request)
            return answer.status_code, answer.json()
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise EngineError(
            f"no engine is answering at {control} ({error}); "
            "start one with `reference-engine run`, or give its socket with --control"
        ) from error
    except (httpx.HTTPError, ValueError) as error:
        raise EngineError(f"the engine at {control} did not answer: {error or type(error).__name__}") from error
