"""Sends webhooks over HTTP: one attempt, from the thread of one target."""

from __future__ import annotations

from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

from reference_engine.telemetry.webhook_messages import TargetAnswer
from voicepipe import __version__, tls_context

if TYPE_CHECKING:
    from types import TracebackType

    from reference_engine.settings.notify_settings import NotifyTarget


MOST_READ = 64 * 1024
"""The most bytes of an answer's body that are read."""


class WebhookSender:
    """The connection to one target; a context manager. Makes its client, which takes 0.2 s, with the first attempt.

    Args:
        target: the target.

    """

    def __init__(self, target: NotifyTarget) -> None:
        self._target = target
        self._client: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._client is not None:
            self._client.close()

    def __call__(self, headers: dict[str, str], body: str) -> TargetAnswer:
        """Makes one attempt; never raises. A short body of the answer is read, so that the connection is used again."""
        import httpx  # noqa: PLC0415 - takes 0.2 s, and most engines send no webhooks

        try:
            if self._client is None:
                self._client = httpx.Client(
                    headers={"user-agent": f"voicepipe/{__version__}"},
                    timeout=self._target.timeout_s,
                    follow_redirects=False,
                    trust_env=False,
                    verify=tls_context(self._target.ca_file),
                )
            content = body.encode("utf-8", "replace")
            with self._client.stream("POST", str(self._target.url), content=content, headers=headers) as answer:
                given = TargetAnswer(answer.status_code, retry_after=answer.headers.get("retry-after", ""))
                with suppress(httpx.HTTPError):
                    self._read(answer)
                return given
        except Exception as error:  # noqa: BLE001 - what a client, a resolver or TLS may raise for an address
            return TargetAnswer(None, f"no answer: {str(error) or type(error).__name__}")

    @staticmethod
    def _read(answer: Any) -> None:
        until, read = monotonic() + 1.0, 0
        for chunk in answer.iter_raw():
            read += len(chunk)
            if read > MOST_READ or monotonic() > until:
                return
