"""TLS contexts of all clients, one for each set of trusted certificates, and the meaning of TLS errors.

    context = await trio.to_thread.run_sync(tls_context, options.ca_file)      # blocks: it may read a store
    httpx.AsyncClient(verify=context, trust_env=False)

Without a `ca_file` this machine's store is trusted, as OpenSSL finds it: `SSL_CERT_FILE` and `SSL_CERT_DIR` of the
process's environment, else the places that OpenSSL was built with, else where distributions keep theirs, else certifi's
list. Python, httpx, httpx2, openai and websockets each look elsewhere by default.

The contexts are OpenSSL's own. `truststore` does the same on Linux, but reads the store again for each connection, on
the loop. All certificates are in memory before a context is given: OpenSSL would look each issuer up in the store's
directory during a handshake, which is on the loop as well.
"""

from __future__ import annotations

import os
import re
import ssl
from importlib.util import find_spec
from pathlib import Path
from stat import S_ISREG
from threading import Lock
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from attrs import frozen

from voicepipe.components.values import CaFile
from voicepipe.errors import ComponentError, errors_behind

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CaFile", "TlsFailure", "fault_of_ca_file", "tls_context", "tls_error", "tls_failure"]

FILE_VARIABLE, DIRECTORY_VARIABLE = "SSL_CERT_FILE", "SSL_CERT_DIR"

KNOWN_STORES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Alpine, Arch
    "/etc/ssl/cert.pem",  # Alpine, Arch, Fedora
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # Fedora, RHEL
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",  # SUSE
)
"""The certificate files of distributions; a Python that was built elsewhere looks in other places."""

_HASHED = re.compile(r"[0-9a-f]{8}\.\d+")
"""Names in a directory of certificates, as `openssl rehash` makes them; other files there are not trusted."""

_ARMOUR = re.compile(rb"-----(BEGIN|END) ([A-Z0-9 ]+)-----")
_CERTIFICATES = {b"CERTIFICATE", b"X509 CERTIFICATE"}


def tls_context(ca_file: CaFile | None = None) -> ssl.SSLContext:
    """Returns the context for TLS connections of a client, shared by all with these certificates; don't change it.

    Blocks while certificates are read, for some 10 ms as a rule and for longer from a slow disk: call it in a thread.
    A change of this machine's store counts for contexts that are made afterwards.

    Args:
        ca_file: whose certificates are trusted, and no others; None: those that this machine trusts.

    """
    if ca_file is None:
        return _system.context()
    with _making:
        context = _private.get(ca_file.digest)
        if context is None:
            context = _private[ca_file.digest] = _context()
            # So that a CA below another, or a server's own certificate, may stand there by itself.
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
            for _, certificate in _certificates(ca_file.content):
                context.load_verify_locations(cadata=certificate)
    return context


def _context() -> ssl.SSLContext:
    # As on Python 3.11 everywhere: the default of 3.13 refuses CAs that were made with a plain `openssl req`.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["http/1.1"])
    return context


_making = Lock()
_private: WeakValueDictionary[str, ssl.SSLContext] = WeakValueDictionary()


class _SystemStore:
    """The certificate store of this machine."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._seen: tuple[tuple[Path, int, int, int], ...] | None = None
        self._context = _context()

    def context(self) -> ssl.SSLContext:
        """Returns the context; makes a new one if the store has changed since the last call."""
        with self._lock:
            files = tuple(_store_files())
            if files != self._seen:
                context = _context()
                for path, *_ in files:
                    try:
                        context.load_verify_locations(cafile=path)  # lets go of the interpreter meanwhile
                    except OSError:  # ssl.SSLError too: it holds no certificate
                        continue
                self._seen, self._context = files, context
            return self._context


_system = _SystemStore()


def _store_files() -> Iterator[tuple[Path, int, int, int]]:
    """The files that certificates are in which this machine trusts, each with what changes when it does."""
    file, directories = _store_places()
    paths = [file, *(path for directory in directories for path in _hashed(directory))]
    identities = [identity for path in paths if (identity := _identity(path))]
    if not identities and not (os.environ.get(FILE_VARIABLE) or os.environ.get(DIRECTORY_VARIABLE)):
        elsewhere = (*map(Path, KNOWN_STORES), *_certifi())
        identities = [identity for path in elsewhere if (identity := _identity(path))][:1]
    yield from identities


def _store_places() -> tuple[Path, list[Path]]:
    paths = ssl.get_default_verify_paths()
    file = os.environ.get(FILE_VARIABLE) or paths.openssl_cafile
    directories = os.environ.get(DIRECTORY_VARIABLE) or paths.openssl_capath
    return Path(file), [Path(directory) for directory in directories.split(os.pathsep) if directory]


def _hashed(directory: Path) -> list[Path]:
    try:
        return sorted(path for path in directory.iterdir() if _HASHED.fullmatch(path.name))
    except OSError:
        return []


def _identity(path: Path) -> tuple[Path, int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return (path, status.st_ino, status.st_size, status.st_mtime_ns) if S_ISREG(status.st_mode) else None


def _certifi() -> Iterator[Path]:
    if spec := find_spec("certifi"):
        yield from (Path(where) / "cacert.pem" for where in spec.submodule_search_locations or ())


def fault_of_ca_file(content: bytes) -> tuple[str, str] | None:
    """Returns a message and a hint for a file of CA certificates that can't be used; None if it can."""
    kinds = [line[2] for line in _ARMOUR.finditer(content) if line[1] == b"BEGIN"]
    if not kinds:
        hint = "for a certificate in DER: `openssl x509 -inform der -in FILE -out ca.pem`"
        return "is not a PEM file: it has no line `-----BEGIN CERTIFICATE-----`", hint
    if _CERTIFICATES.isdisjoint(kinds):
        message = f"contains no certificate, but a {kinds[0].decode()}"
        return message, "name the file with the certificate of the CA that signed the server's"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for line, certificate in _certificates(content):
        try:
            context.load_verify_locations(cadata=certificate)
        except (ssl.SSLError, ValueError):  # ValueError: not even base64
            return f"contains a certificate on line {line} that can't be read", "check that it was copied completely"
    return None


def _certificates(content: bytes) -> Iterator[tuple[int, str]]:
    """Yields the certificates of a PEM file, each with its first line; text between them is not read."""
    for begin in _ARMOUR.finditer(content):
        if begin[1] != b"BEGIN" or begin[2] not in _CERTIFICATES:
            continue
        end = _ARMOUR.search(content, begin.end())
        whole = content[begin.end() : end.start() if end is not None and end[1] == b"END" else None]
        body = b"\n".join(whole.split()).decode("ascii", errors="replace")
        # Without its end a certificate is none.
        foot = "" if end is None or end[1] != b"END" else "-----END CERTIFICATE-----\n"
        yield content.count(b"\n", 0, begin.start()) + 1, f"-----BEGIN CERTIFICATE-----\n{body}\n{foot}"


@frozen
class TlsFailure:
    """The cause of a failed TLS handshake; it is permanent, so a retry does not help."""

    cause: str
    """The cause, as a predicate of the server: `has a certificate that has expired`."""
    hint: str
    """A hint for the operator."""


_SELF_SIGNED, _SELF_SIGNED_ABOVE = 18, 19
_UNKNOWN_ISSUER = {2, 20, 21}
_OTHER_NAME = {62, 64}
_EXPIRED, _NOT_YET_VALID = 10, 9
"""OpenSSL's X509_V_ERR_..., from x509_vfy.h."""

_NO_TLS = {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST"}
"""OpenSSL's reasons for an answer that is not TLS; they depend on its version and on the bytes."""


def tls_failure(error: BaseException, ca_file: CaFile | None = None) -> TlsFailure | None:
    """Returns the failure of TLS that a client's exception, or one that led to it, reports; None: it reports none.

    Args:
        error: an exception of any library.
        ca_file: the certificates that were trusted; None: this machine's store.

    """
    for linked in (error, *errors_behind(error)):
        if isinstance(linked, ssl.SSLCertVerificationError):
            return _untrusted(linked, ca_file)
        if isinstance(linked, ssl.SSLError) and linked.reason in _NO_TLS:
            return TlsFailure(
                "does not speak TLS there", "check whether the address should begin with http:// (or ws://)"
            )
    return None


def tls_error(error: BaseException, server: str, ca_file: CaFile | None = None) -> ComponentError | None:
    """Returns the failure of TLS as a `ComponentError` for an adapter to raise; None: there is none.

    Args:
        error: an exception of any library.
        server: the server, as messages name it.
        ca_file: the certificates that were trusted; None: this machine's store.

    """
    failure = tls_failure(error, ca_file)
    if failure is None:
        return None
    return ComponentError(f"{server} {failure.cause}", retryable=False, hint=failure.hint)


def _untrusted(error: ssl.SSLCertVerificationError, ca_file: CaFile | None) -> TlsFailure:
    code = getattr(error, "verify_code", 0)
    reason = str(getattr(error, "verify_message", "") or error).rstrip(".")
    trusting = "ca_file" if ca_file is None else f"ca_file ({ca_file.name})"
    store = f"{FILE_VARIABLE} or this machine's store"
    if code in _OTHER_NAME:
        name = reason.rpartition("for ")[2]
        cause = f"has a certificate for another host name: it is not valid for {name}"
        return TlsFailure(cause, f"use a host name that is in the certificate; {trusting} can't help here")
    if code == _EXPIRED:
        hint = f"renew the server's certificate, or the CA's in {trusting}; check this machine's clock"
        return TlsFailure("has a certificate that has expired, or whose CA's has", hint)
    if code == _NOT_YET_VALID:
        hint = f"check this machine's clock; {trusting} can't help here"
        return TlsFailure("has a certificate that is not yet valid", hint)
    if code == _SELF_SIGNED:
        cause = "has a self-signed certificate, which is not trusted"
        wanted = "that certificate"
    elif code in _UNKNOWN_ISSUER | {_SELF_SIGNED_ABOVE}:
        cause = f"has a certificate of an unknown issuer, which is not trusted: {reason}"
        wanted = "the certificate of its CA"
    else:
        cause = f"has a certificate that can't be verified: {reason}"
        wanted = "the certificate of its CA"
    if ca_file is not None:
        return TlsFailure(cause, f"put {wanted} into {trusting}: with it, {store} is not used")
    return TlsFailure(cause, f"name a PEM file with {wanted} in ca_file, or put it into {store}{_broken_variable()}")


def _broken_variable() -> str:
    """Returns a hint if a variable names a certificate file or directory that does not exist."""
    for variable, there in ((FILE_VARIABLE, os.path.isfile), (DIRECTORY_VARIABLE, os.path.isdir)):
        value = os.environ.get(variable)
        if value and not any(map(there, value.split(os.pathsep) if variable == DIRECTORY_VARIABLE else [value])):
            return f"; {variable} names {value}, which does not exist"
    return ""
