"""A client of etcd's JSON gateway, which goes from one server to the next when one does not answer.

Theory of operation
===================

*Servers.* Requests go to one server until it fails, then to the next. All servers of a cluster tell the same: reads are
linearisable, which is etcd's default, so that a server without a majority behind it answers nothing at all.

*Repeating.* A request that changes nothing is sent to each server in turn. One that changes something is sent again
only if it can't have been carried out: no connection was made, or the server has no leader to give it to. Otherwise it
raises `EtcdUnknown`, and whoever made it looks what there is now.

*Tokens.* With a user, a token is got before the first request. Etcd forgets tokens when it restarts, after five minutes
without use, and with each change of users or roles; a request refused for that is made once more with a new one.
"""

from __future__ import annotations

import json
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import trio

from reference_engine.fleet.etcd.errors import Compacted, EtcdRefused, EtcdUnavailable, EtcdUnknown, LeaseNotFound
from reference_engine.fleet.etcd.messages import (
    LineReader,
    WatchBatch,
    message_of,
    range_request,
    range_result,
    txn_request,
    txn_result,
    watch_batch,
    watch_request,
)
from voicepipe import __version__, open_http_client, tls_context

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from reference_engine.fleet.etcd.messages import Change, KeyCompare, RangeResult, TxnResult
    from reference_engine.settings.fleet_settings import EtcdSettings

MOST_ANSWER = 64 * 1024 * 1024
"""The most bytes of an answer."""

UNAUTHENTICATED = 16
UNAVAILABLE = {4, 14}
"""gRPC's codes for a time that is over, and for a server that can't answer now."""

_STALE = ("invalid auth token", "revision of auth store is old", "user name is empty")
"""Refusals by which etcd asks for a new token."""

_NOT_SENT_ON = ("no leader", "leader changed")
"""Refusals of a server that has given the request to nobody."""


@asynccontextmanager
async def open_etcd(settings: EtcdSettings) -> AsyncIterator[EtcdClient]:
    """Opens a client; connections are made with the first request.

    Raises:
        EtcdError: the files of TLS can't be used.

    """
    context = await trio.to_thread.run_sync(_tls, settings)
    async with open_http_client(
        context,
        timeout_s=settings.timeout_s,
        connect_timeout_s=settings.timeout_s / 2,  # so that it is known that nothing was sent
        headers={"user-agent": f"voicepipe/{__version__}", "content-type": "application/json"},
    ) as http:
        yield EtcdClient(settings, http)


def _tls(settings: EtcdSettings) -> ssl.SSLContext:
    if settings.cert_file is None:
        return tls_context(settings.ca_file)
    # A context of its own, since those of `tls_context` are everybody's and must not have a certificate.
    context = ssl.create_default_context(cadata=settings.ca_file.content.decode() if settings.ca_file else None)
    try:
        context.load_cert_chain(settings.cert_file, settings.key_file)
    except (OSError, ssl.SSLError) as error:
        raise EtcdUnavailable(f"the certificate for etcd, {settings.cert_file}, can't be used: {error}") from error
    return context


class EtcdClient:
    """The `Etcd` of a cluster; see `open_etcd`.

    Args:
        settings: the servers, and how to log in.
        http: an `httpx.AsyncClient` of `open_http_client`.

    Attributes:
        requests: the number of requests that were sent.

    """

    def __init__(self, settings: EtcdSettings, http: Any) -> None:
        self.requests = 0
        self._settings, self._http = settings, http
        self._current = 0
        self._token: str | None = None
        self._logging_in = trio.Lock()

    @property
    def server(self) -> str:
        """The address of the server that requests go to."""
        servers = self._settings.servers
        return servers[self._current % len(servers)]

    def leave_server(self) -> None:
        """Has the next request go to another server, if there is one."""
        self._current += 1

    async def range(self, key: str, *, prefix: bool = False) -> RangeResult:
        """Returns a key, or all that begin with it."""
        return range_result(await self._request("/v3/kv/range", range_request(key, prefix=prefix), changes=False))

    async def txn(self, compares: Sequence[KeyCompare], success: Sequence[Change]) -> TxnResult:
        """Makes changes if all conditions hold."""
        return txn_result(await self._request("/v3/kv/txn", txn_request(compares, success)))

    async def grant(self, ttl_s: int) -> int:
        """Returns a new lease; if the answer is lost, the lease that was made expires by itself."""
        answer = await self._request("/v3/lease/grant", {"TTL": str(ttl_s)}, changes=False)
        return int(answer["ID"])

    async def keep_alive(self, lease: int) -> None:
        """Begins the time of a lease anew."""
        answer = await self._request("/v3/lease/keepalive", {"ID": str(lease)}, changes=False)
        if int(answer.get("TTL", 0)) <= 0:  # that, and no error, is the answer for an unknown lease
            raise LeaseNotFound("requested lease not found", 5)

    async def revoke(self, lease: int) -> None:
        """Deletes a lease with all keys under it."""
        try:
            await self._request("/v3/lease/revoke", {"ID": str(lease)}, changes=False)
        except LeaseNotFound:
            return

    @asynccontextmanager
    async def watch(self, key: str, *, prefix: bool = False, from_revision: int) -> AsyncIterator[EtcdWatch]:
        """Reports changes of a key, or of all that begin with it; opening it returns when the server watches."""
        body = watch_request(key, prefix=prefix, from_revision=from_revision)
        answer = await self._send_to_one("/v3/watch", body)
        try:
            watch = EtcdWatch(self, self.server, answer)
            await watch.created()
            yield watch
        finally:
            with trio.CancelScope(shield=True):
                await answer.aclose()

    async def _request(self, path: str, body: Mapping[str, Any], *, changes: bool = True) -> dict[str, Any]:
        """Sends a request to one server after the other, until one has answered."""
        failures: dict[str, str] = {}
        for _server in self._settings.servers:
            try:
                return await self._with_token(path, body)
            except EtcdUnknown as error:
                self.leave_server()
                if changes:
                    raise
                failures[str(error)] = ""
            except EtcdUnavailable as error:
                self.leave_server()
                failures[str(error)] = ""
        raise EtcdUnavailable("; ".join(failures))

    async def _send_to_one(self, path: str, body: Mapping[str, Any]) -> Any:
        failures: dict[str, str] = {}
        for _server in self._settings.servers:
            try:
                return await self._send(path, body, await self._authorization())
            except EtcdUnavailable as error:
                self.leave_server()
                failures[str(error)] = ""
        raise EtcdUnavailable("; ".join(failures))

    async def _with_token(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        token = await self._authorization()
        try:
            return await self._answer(path, body, token)
        except EtcdRefused as error:
            if self._settings.user is None or not self.is_stale(error):
                raise
            self.forget_token(token)
        return await self._answer(path, body, await self._authorization())

    def is_stale(self, error: EtcdRefused) -> bool:
        """Returns True if a refusal is for want of a token that is valid."""
        return error.code == UNAUTHENTICATED or any(text in str(error) for text in _STALE)

    def forget_token(self, token: str | None = None) -> None:
        """Has the next request log in again, unless another token was got meanwhile."""
        if token is None or token == self._token:
            self._token = None

    async def _authorization(self) -> str | None:
        """Returns the token; logs in if there is none."""
        if self._settings.user is None:
            return None
        async with self._logging_in:
            if self._token is None:
                login = {"name": self._settings.user, "password": str(self._settings.password or "")}
                try:
                    self._token = str((await self._answer("/v3/auth/authenticate", login, None))["token"])
                except EtcdRefused as error:
                    if "authentication is not enabled" in str(error):
                        self._token = ""
                    else:
                        hint = f"etcd refuses the user {self._settings.user!r}: {error}; check fleet.user and .password"
                        raise EtcdRefused(hint, error.code) from error
            return self._token

    async def _answer(self, path: str, body: Mapping[str, Any], token: str | None) -> dict[str, Any]:
        """Returns the only message of an answer.

        Raises:
            EtcdUnknown: the request was sent, and not answered.
            EtcdUnavailable: it was carried out by nobody.
            EtcdRefused: etcd's refusal.

        """
        server = self.server
        try:
            with trio.fail_after(self._settings.timeout_s):
                answer = await self._send(path, body, token)
                try:
                    content = await self._read(answer)
                finally:
                    with trio.CancelScope(shield=True):
                        await answer.aclose()
        except trio.TooSlowError:
            raise EtcdUnknown(f"{server} has not answered within {self._settings.timeout_s:g} s") from None
        try:
            return message_of(content)
        except ValueError:
            shown = content[:100].decode(errors="replace").strip()
            raise EtcdUnavailable(f"{server} has answered what is not etcd's: {shown!r}") from None
        except EtcdRefused as error:
            if error.code in UNAVAILABLE:
                kind = EtcdUnavailable if any(text in str(error) for text in _NOT_SENT_ON) else EtcdUnknown
                raise kind(f"{server} can't answer now: {error}") from error
            raise

    async def _send(self, path: str, body: Mapping[str, Any], token: str | None) -> Any:
        import httpx  # noqa: PLC0415 - `open_http_client` has imported it

        server = self.server
        self.requests += 1
        request = self._http.build_request(
            "POST",
            server.rstrip("/") + path,
            content=json.dumps(body).encode(),
            headers={"authorization": token} if token else {},
        )
        try:
            return await self._http.send(request, stream=True)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise EtcdUnavailable(f"{server} can't be reached: {_reason(error)}") from error
        except httpx.HTTPError as error:
            raise EtcdUnknown(f"{server} has not answered: {_reason(error)}") from error

    async def _read(self, answer: Any) -> bytes:
        import httpx  # noqa: PLC0415 - as above

        content = bytearray()
        try:
            while (data := await answer.extensions["body"].read()) is not None:
                content += data
                if len(content) > MOST_ANSWER:
                    raise EtcdUnavailable(f"{self.server} has answered more than {MOST_ANSWER >> 20} MiB")
        except httpx.HTTPError as error:
            raise EtcdUnknown(f"{self.server} has not answered to the end: {_reason(error)}") from error
        return bytes(content)


class EtcdWatch:
    """A watch on one server; see `EtcdClient.watch`."""

    def __init__(self, client: EtcdClient, server: str, answer: Any) -> None:
        self._client, self._server, self._answer = client, server, answer
        self._reader, self._lines = LineReader(), list[bytes]()
        self._first: dict[str, Any] | None = None

    async def created(self) -> None:
        """Returns when the server watches.

        Raises:
            EtcdError: it does not.

        """
        message = await self._next(self._client._settings.timeout_s)  # noqa: SLF001 - of this module
        if message.get("canceled"):
            self._check(message)
        if not message.get("created"):
            self._first = message

    async def receive(self) -> WatchBatch:
        """Returns the next changes."""
        first, self._first = self._first, None
        return self._check(first if first is not None else await self._next(float("inf")))

    def _check(self, message: dict[str, Any]) -> WatchBatch:
        try:
            return watch_batch(message)
        except Compacted:
            raise
        except EtcdRefused as error:
            if self._client.is_stale(error):
                self._client.forget_token()
            raise EtcdUnavailable(f"{self._server} has ended the watch: {error}") from error

    async def _next(self, timeout_s: float) -> dict[str, Any]:
        import httpx  # noqa: PLC0415 - `open_http_client` has imported it

        while not self._lines:
            try:
                data = await self._answer.extensions["body"].read(timeout_s)
            except httpx.HTTPError as error:
                raise EtcdUnavailable(f"the watch on {self._server} broke: {_reason(error)}") from error
            if data is None:
                raise EtcdUnavailable(f"{self._server} has ended the watch")
            self._lines += self._reader.read(data)
        try:
            return message_of(self._lines.pop(0))
        except EtcdRefused as error:
            if self._client.is_stale(error):
                self._client.forget_token()
            raise EtcdUnavailable(f"{self._server} has ended the watch: {error}") from error
        except ValueError as error:
            raise EtcdUnavailable(f"{self._server} has answered what is not etcd's: {error}") from None


def _reason(error: BaseException) -> str:
    """Returns why a request failed, as the system says it."""
    while isinstance(error, BaseExceptionGroup) or error.__cause__ is not None:
        # Clients wrap the system's exception, and trio groups those of several addresses of a name.
        error = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error.__cause__  # type: ignore[assignment]
    reason = str(error) or type(error).__name__
    untrusted = isinstance(error, ssl.SSLCertVerificationError)
    return f"{reason}; name a PEM file with its CA in fleet.ca_file" if untrusted else reason
