"""Carriers' signatures over their requests: whether a request comes from the carrier that has the secret.

| carrier | signs | with | over |
| --- | --- | --- | --- |
| Twilio | webhook, WebSocket | HMAC-SHA1 of the account's auth token | the public URL, the form's sorted parameters |
| | | or HMAC-SHA256 of a shared key, if a header says so | the same |
| SignalWire | webhook | the same, with the project's signing key | the same |
| Plivo | webhook, WebSocket | HMAC-SHA256 of the auth token | the URL with sorted query, the form, a nonce |
| Vonage | webhook | a JWT of the signature secret, HS256 | the body's hash, and the time |
| Telnyx | webhook | Ed25519 by Telnyx's key, checked with the account's public key | the time and the body |

All of them are compared in constant time. What a signature doesn't cover, such as a body of another type, is refused.
A signature with a time is good for `TOLERANCE_S`, so that one that was overheard can't be used later.
"""

from __future__ import annotations

import hmac
import json
from base64 import b64decode, b64encode, urlsafe_b64decode
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlsplit

from attrs import field, frozen

if TYPE_CHECKING:
    from voicepipe.transports.media_stream.dialects import DialectName

TOLERANCE_S: Final = 300
"""The greatest difference between a signature's time and this machine's clock, in s."""
PARAMETERS: Final = 1000
"""The most parameters of a form or a query that are looked at."""
FORM: Final = "application/x-www-form-urlencoded"

SIGNS_WEBSOCKETS: Final[frozenset[DialectName]] = frozenset({"twilio", "plivo"})
"""The carriers that sign the request for the WebSocket too."""


@frozen
class SignedRequest:
    """A request as the carrier sent it to the public URL."""

    method: str
    """`GET` or `POST`."""
    url: str
    """The public URL: `https://voice.example.com/voice/carrier?tenant=acme`."""
    headers: Mapping[str, str] = field(repr=False)
    """The headers, their names in lower case."""
    body: bytes = field(default=b"", repr=False)
    """The body."""
    is_upgrade: bool = False
    """Whether it asks for a WebSocket."""

    @property
    def query(self) -> list[tuple[str, str]]:
        """The query's parameters, decoded, in their order."""
        return parameters(urlsplit(self.url).query)

    @property
    def is_form(self) -> bool:
        """Whether the body is a form."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM

    @property
    def form(self) -> list[tuple[str, str]]:
        """The form's parameters, decoded, in their order; none if the body is no form."""
        return parameters(self.body.decode("utf-8", "replace")) if self.is_form else []


def parameters(encoded: str) -> list[tuple[str, str]]:
    """Returns the parameters of an encoded form or query; none if there are more than `PARAMETERS`."""
    try:
        return parse_qsl(encoded, keep_blank_values=True, max_num_fields=PARAMETERS)
    except ValueError:
        return []


def is_equal(one: str, other: str) -> bool:
    """Compares two texts in constant time."""
    return hmac.compare_digest(one.encode(), other.encode("utf-8", "replace"))


def _is_one_of(given: Iterable[str], expected: Iterable[str]) -> bool:
    """Returns whether a signature is as expected; all are compared, so that the time says nothing."""
    given = list(given)
    return sum(is_equal(wanted, signature) for wanted in expected for signature in given) > 0


def _urls(request: SignedRequest) -> list[str]:
    """Returns the forms of the URL that carriers sign.

    The scheme of a WebSocket may be wss or https, and the port may be there although it is the usual one, or be left
    out although it is not.
    """
    parts = urlsplit(request.url)
    schemes = [parts.scheme]
    if request.is_upgrade:
        schemes = ["wss", "https"] if parts.scheme == "https" else ["ws", "http"]
    user, at, host = parts.netloc.rpartition("@")
    port = "" if parts.port is None else f":{parts.port}"
    bare = host.removesuffix(port)
    usual = ":443" if parts.scheme == "https" else ":80"
    ends = {"", "/"} if request.is_upgrade and not parts.query and not parts.path.endswith("/") else {""}
    rest = parts.path + (f"?{parts.query}" if parts.query else "")
    ports = dict.fromkeys((port, "", usual))
    return [f"{scheme}://{user}{at}{bare}{each}{rest}{end}" for scheme in schemes for each in ports for end in ends]


def verify_twilio(request: SignedRequest, secret: str, _now: float) -> bool:
    """Checks `X-Twilio-Signature`: by SHA-1 with the auth token, or as its settings say with a shared key."""
    settings = request.headers.get("x-twilio-webhooks-signature-settings", "")
    named = dict(part.strip().partition("=")[::2] for part in settings.split(","))
    digest = _DIGESTS.get(named.get("algorithm", "HMAC_SHA1").upper())
    return digest is not None and _verify_by_url(request, secret, ("x-twilio-signature",), digest)


def verify_signalwire(request: SignedRequest, secret: str, _now: float) -> bool:
    """Checks `X-SignalWire-Signature`, or the header of the name that Twilio's has, which SignalWire sends as well."""
    return _verify_by_url(request, secret, ("x-signalwire-signature", "x-twilio-signature"))


_DIGESTS: Final = {"HMAC_SHA1": "sha1", "HMAC_SHA256": "sha256"}


def _verify_by_url(request: SignedRequest, secret: str, headers: Iterable[str], digest_name: str = "sha1") -> bool:
    given = [request.headers[header] for header in headers if header in request.headers]
    if request.body and not request.is_form:
        digest = dict(request.query).get("bodySHA256", "")
        if not is_equal(sha256(request.body).hexdigest(), digest.lower()):
            return False
    values: dict[str, set[str]] = {}
    for name, value in request.form:
        values.setdefault(name, set()).add(value)
    form = "".join(f"{name}{value}" for name in sorted(values) for value in sorted(values[name]))
    return _is_one_of(given, [_mac(secret, f"{url}{form}", digest_name) for url in _urls(request)])


def verify_plivo(request: SignedRequest, secret: str, _now: float) -> bool:
    """Checks `X-Plivo-Signature-V3`, of the account or of its main account; a header may have several."""
    nonce = request.headers.get("x-plivo-signature-v3-nonce", "")
    names = ("x-plivo-signature-v3", "x-plivo-signature-ma-v3")
    given = [one.strip() for name in names for one in request.headers.get(name, "").split(",") if one.strip()]
    if not nonce or (request.body and not request.is_form):
        return False
    query = "&".join(f"{name}={value}" for name, value in sorted(request.query))
    form = "".join(f"{name}{value}" for name, value in sorted(request.form))
    signed = (f"?{query}" if query or form else "") + ("." if query and form else "") + form
    urls = [url.partition("?")[0] for url in _urls(request)]
    return _is_one_of(given, [_mac(secret, f"{url}{signed}.{nonce}", "sha256") for url in urls])


def verify_vonage(request: SignedRequest, secret: str, now: float) -> bool:
    """Checks the JWT in `Authorization`: its signature, its time, and the hash of the body."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    try:
        claims = _claims(token.strip(), secret) if scheme.lower() == "bearer" else None
        if claims is None:
            return False
        issued, expires = float(claims["iat"]), float(claims.get("exp", now + 1))
        digest = str(claims.get("payload_hash", "")).lower()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False
    is_fresh = abs(now - issued) <= TOLERANCE_S and expires > now
    return is_fresh and (not request.body or _is_one_of([digest], _hashes(request.body)))


def _claims(token: str, secret: str) -> Any:
    """Returns the claims of a JWT that is signed with HS256; None if it is not, or with another secret."""
    header, claims, signature = token.split(".")
    expected = hmac.digest(secret.encode(), f"{header}.{claims}".encode(), "sha256")
    if (
        not hmac.compare_digest(expected, _of_base64url(signature))
        or json.loads(_of_base64url(header))["alg"] != "HS256"
    ):
        return None
    return json.loads(_of_base64url(claims))


def _hashes(body: bytes) -> list[str]:
    """Returns the hashes that Vonage may mean: of the body as it was sent, or of its JSON without white space."""
    bodies = [body]
    with suppress(ValueError, RecursionError):
        bodies.append(
            json.dumps(json.loads(body), separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
        )
    return [sha256(each).hexdigest() for each in bodies]


def verify_telnyx(request: SignedRequest, secret: str, now: float) -> bool:
    """Checks `telnyx-signature-ed25519` with the account's public key, which is base64 in the portal."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - an extra, needed for this carrier only
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415

    timestamp = request.headers.get("telnyx-timestamp", "")
    if not (timestamp.isascii() and timestamp.isdigit() and abs(now - int(timestamp[:16])) <= TOLERANCE_S):
        return False
    try:
        signature = b64decode(request.headers.get("telnyx-signature-ed25519", ""), validate=True)
        key = Ed25519PublicKey.from_public_bytes(b64decode(secret, validate=True))
        key.verify(signature, timestamp.encode() + b"|" + request.body)
    except (ValueError, InvalidSignature):
        return False
    return True


Verifier = Callable[[SignedRequest, str, float], bool]
"""Returns whether a request is signed with a secret; takes the request, the secret and the time since the epoch."""

VERIFIERS: Final[Mapping[DialectName, Verifier]] = {
    "twilio": verify_twilio,
    "signalwire": verify_signalwire,
    "plivo": verify_plivo,
    "vonage": verify_vonage,
    "telnyx": verify_telnyx,
}
"""How each carrier's signature is checked."""


def _mac(secret: str, text: str, digest: str) -> str:
    return b64encode(hmac.digest(secret.encode(), text.encode("utf-8", "replace"), digest)).decode()


def _of_base64url(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
