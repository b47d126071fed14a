"""Asks a running engine what it serves, over its control socket or its address."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import frozen

from voicepipe.components.distribution import install_hint
from voicepipe.components.tls import FILE_VARIABLE, tls_context, tls_failure
from voicepipe.documents import did_you_mean, shown
from voicepipe.errors import VoicepipeError

if TYPE_CHECKING:
    import httpx

CONNECT_S = 5.0
"""The time limit of connecting to an engine, in s."""
ANSWER_S = 30.0
"""The longest wait for data of an answer, in s."""
TOKEN = "VOICEPIPE_ADMIN_TOKEN"  # noqa: S105 - the name of the variable
"""The variable with the token that an engine requires over TCP; sent as a bearer token (RFC 6750)."""


class NoAnswerError(VoicepipeError):
    """An engine can't be reached, or does not answer as expected; `hint` says what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


@frozen
class Serving:
    """The version of a pipeline set that an engine serves."""

    set: str
    """The pipeline set's name."""
    version: int
    """The number of the version."""
    digest: str
    """The digest of the version."""
    config: Mapping[str, Any]
    """The effective configuration, without secrets."""


def ask_serving(engine: str, name: str | None) -> Serving:
    """Returns the configuration that an engine serves now.

    Args:
        engine: the path of its control socket, or its URL.
        name: of the pipeline set; None: the only one.

    Raises:
        NoAnswerError: it can't be asked, or has no such set.

    """
    try:
        import httpx  # noqa: PLC0415 - an extra, whose import takes 100 ms
    except ImportError:
        message = "connecting to an engine needs httpx, which is not installed"
        raise NoAnswerError(message, install_hint("engine")) from None
    by_address = engine.startswith(("http://", "https://"))
    transport = httpx.HTTPTransport(verify=tls_context()) if by_address else httpx.HTTPTransport(uds=engine)
    token = os.environ.get(TOKEN) if by_address else None
    try:
        with httpx.Client(
            transport=transport,
            base_url=engine if by_address else "http://engine",
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S),
            trust_env=False,  # a proxy for the web does not lead to an engine
        ) as client:
            return _serving(client, engine, name)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        if failure := tls_failure(error):
            hint = f"{FILE_VARIABLE} can name a PEM file of trusted certificates"
            raise NoAnswerError(f"the engine at {engine} {failure.cause}", hint) from error
        hint = "give the path of its control socket, or its URL; see `reference-engine run --help`"
        raise NoAnswerError(f"no engine answers at {engine}: {error or type(error).__name__}", hint) from error


def _serving(client: httpx.Client, engine: str, name: str | None) -> Serving:
    versions = {one["set"]: one["version"] for one in _asked(client, engine, "/sets", "sets", list)["sets"]}
    if name is None and len(versions) == 1:
        (name,) = versions
    if name is None or name not in versions:
        message = f"the engine has no pipeline set {shown(name)}" if name else "the engine has several pipeline sets"
        hint = did_you_mean(name, versions, "sets") if name else f"choose with --set: {', '.join(versions)}"
        raise NoAnswerError(message, hint)
    path = f"/sets/{name}/versions/{versions[name]}"
    body = _asked(client, engine, path, "config", dict)
    return Serving(name, versions[name], str(body.get("digest", "")), body["config"])


def _asked(client: httpx.Client, engine: str, path: str, key: str, kind: type) -> Mapping[str, Any]:
    """Returns the body of an answer, which has a value of a type under a key."""
    answer = client.get(path)
    if answer.status_code in {401, 403}:
        raise NoAnswerError(f"the engine at {engine} asks for a token", f"export {TOKEN}=...")
    try:
        body = answer.json() if answer.is_success else None
    except ValueError:
        body = None
    if not (isinstance(body, dict) and isinstance(body.get(key), kind)):
        message = f"the server at {engine} does not know {path} (status {answer.status_code})"
        raise NoAnswerError(message, "check that it is an engine of the same version as this command")
    return body
