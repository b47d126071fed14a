"""The options of a `media_stream` listener, and the faults that they may have."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from attrs import field, frozen
from attrs.validators import min_len, optional

from voicepipe.components.distribution import DISTRIBUTION
from voicepipe.components.values import Secret
from voicepipe.errors import Location, Problem
from voicepipe.transports.bind_options import host_field, port_field
from voicepipe.transports.media_stream.dialects import DIALECTS, ByteOrder, Dialect, DialectName
from voicepipe.transports.tls import TlsFiles, check_tls

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voicepipe.audio import AudioFormat, Encoding

AudioName = Literal["mulaw", "alaw", "linear"]
"""An encoding in the YAML."""
ENCODINGS: dict[AudioName, Encoding] = {"mulaw": "mulaw", "alaw": "alaw", "linear": "pcm16"}


@frozen(kw_only=True)
class MediaStreamOptions:
    """Calls of a telephone carrier, over its media streams: Twilio, Telnyx, Plivo, Vonage or SignalWire."""

    dialect: DialectName
    """The carrier whose messages are spoken."""
    public_url: str
    """The URL by which the carrier reaches this listener: `https://voice.example.com`. Signatures are over it, and the
    instructions name it. A path in it is that of a proxy in front of the listener."""
    host: str = host_field()
    """The address to bind to. Without a proxy in front of it, the carrier needs one that the internet reaches."""
    port: int = port_field(9095)
    """Port to bind to; 0 takes a free one, which `engine.ready` tells."""
    tls: TlsFiles | None = None
    """The certificate, unless a proxy in front of the listener has it. Null: none."""
    signing_secret: Secret | None = field(default=None, validator=optional(min_len(8)))
    """The secret with which the carrier signs its requests: Twilio's or Plivo's auth token, SignalWire's signing key,
    Vonage's signature secret, Telnyx's public key. Requests that are not signed with it are refused."""
    token: Secret | None = field(default=None, validator=optional(min_len(16)))
    """A token that the URL must end with, after a slash or as `?token=...`; for requests that the carrier does not
    sign. Without it, such requests are refused, unless they bring a ticket of the instructions."""
    encoding: AudioName | None = None
    """The encoding that the instructions ask for; null: mu-law, of Vonage linear audio."""
    rate: Literal[8000, 16000, 24000] | None = None
    """The rate that the instructions ask for, in Hz; null: the first that the carrier has for the encoding."""
    byte_order: ByteOrder | None = None
    """The order of the bytes of linear audio; null: little-endian. Change it if a caller is heard as noise."""

    @property
    def row(self) -> Dialect:
        """The dialect's row of the table."""
        return DIALECTS[self.dialect]

    @property
    def audio(self) -> AudioFormat | None:
        """The format that the instructions ask for; None if the carrier does not have it."""
        for audio in self.row.audio:
            if self.encoding is not None and ENCODINGS[self.encoding] != audio.encoding:
                continue
            if self.rate in {None, audio.rate}:
                return audio
        return None

    @property
    def base_url(self) -> str:
        """The public URL without a slash at its end."""
        return self.public_url.rstrip("/")


def check_options(options: MediaStreamOptions) -> Iterator[Problem]:
    """Yields the faults that the options' types don't show."""
    here = Location("")
    yield from check_tls(options.tls)
    try:
        parts = urlsplit(options.public_url)
        is_url = parts.scheme in {"http", "https"} and parts.hostname and not (parts.query or parts.fragment)
        is_url = is_url and (parts.port is None or parts.port > 0)
    except ValueError:
        is_url = False
    if not is_url:
        hint = "write the URL that the carrier calls, without a query: https://voice.example.com"
        yield Problem(here, "public_url", f"{options.public_url!r:.100} is no URL of this listener", hint)
    if options.signing_secret is None and options.token is None:
        hint = "give signing_secret, which the carrier's console shows, or a token of at least 16 characters"
        yield Problem(here, "signing_secret", "anybody could make calls: nothing tells the carrier from others", hint)
    if options.audio is None:
        names = {encoding: name for name, encoding in ENCODINGS.items()}
        has = ", ".join(f"{names[audio.encoding]} at {audio.rate}" for audio in options.row.audio)
        path = "rate" if options.encoding is None else "encoding"
        yield Problem(here, path, f"streams of {options.dialect} don't have that audio", f"they have {has}")
    if options.dialect == "telnyx" and options.signing_secret is not None and find_spec("cryptography") is None:
        hint = f"pip install '{DISTRIBUTION}[telnyx]', or use a token"
        yield Problem(here, "signing_secret", "cryptography is not installed, which checks Telnyx's signatures", hint)
