"""The options of the transport `asterisk_ari`."""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, Literal, get_args
from urllib.parse import urlsplit

from attrs import field, frozen
from attrs.validators import gt, min_len, optional

from voicepipe.components.distribution import install_hint
from voicepipe.components.values import CaFile, Secret
from voicepipe.errors import Location, Problem
from voicepipe.transports.asterisk_ari.call_wishes import RingingSound
from voicepipe.transports.bind_options import host_field, port_field

if TYPE_CHECKING:
    from collections.abc import Iterator

AriFormat = Literal["slin", "slin16", "ulaw", "alaw"]
FORMATS: Final[dict[str, frozenset[str]]] = {
    "websocket": frozenset(get_args(AriFormat)),
    "audiosocket": frozenset({"slin", "slin16"}),
}
"""The formats of each kind of media."""


@frozen(kw_only=True)
class AsteriskAriOptions:
    """Asterisk by ARI: a Stasis application that answers, transfers and makes calls."""

    url: str
    """The address of ARI: `http://127.0.0.1:8088/ari`, or `https://`."""
    username: str
    """A user of ari.conf that may write."""
    password: Secret = field(repr=False)
    """That user's password."""
    app: str = "voicepipe"
    """The application's name in the dialplan: `Stasis(voicepipe)`. Each engine needs its own."""
    ca_file: CaFile | None = None
    """The certificates that `https://` trusts; unset: those that this machine trusts."""
    media: Literal["websocket", "audiosocket"] = "websocket"
    """How a call's audio comes. `websocket` needs Asterisk 20.18, 22.8 or 23.2 and plays what it gets at its own pace;
    `audiosocket` works from 18 on, and audio can't be recalled once it is sent."""
    host: str = host_field()
    """The address to bind to for the calls' audio; Asterisk must reach it."""
    port: int = port_field(9095)
    """Port to bind to for the calls' audio."""
    media_client: str = "voicepipe"
    """With `websocket`: the section of websocket_client.conf that leads to `host` and `port`."""
    media_username: str = ""
    """With `websocket`: the `username` of that section; it needs a `media_password`."""
    media_password: Secret | None = field(default=None, validator=optional(min_len(8)))
    """With `websocket`: the `password` of that section. Null: connections need none; without the random ID of a call's
    media channel nobody gets a call in any case."""
    media_address: str = ""
    """With `audiosocket`: `host:port` as Asterisk reaches it; empty: `host` and `port`."""
    format: AriFormat = "slin16"
    """The audio's format: `slin` and `slin16` are linear at 8 and 16 kHz, `ulaw` and `alaw` as telephones send it;
    the latter two with `websocket` only."""
    variables: tuple[str, ...] = ()
    """Variables and functions of the caller's channel to read when a call comes: `CALLERID(name)`, `CHANNEL(language)`,
    `PJSIP_HEADER(read,X-Customer)`."""
    after: Literal["hangup", "continue"] = "hangup"
    """What becomes of the caller when the conversation is over: the line is closed, or the dialplan goes on after
    `Stasis()`, with VOICEPIPE_STATUS set to `ENDED`."""
    transfer: str = "Local/{target}@transfers/n"
    """The dial string of transfers. `{target}` is the number or extension that the agent names, of which only letters,
    digits and `*#+._-` are taken. `{target}` alone takes dial strings: `PJSIP/200`."""
    transfer_caller: Literal["caller", "called"] = "caller"
    """The number that the other side of a transfer is shown: the caller's, or the one that was called."""
    transfer_s: int = field(default=30, validator=gt(0))
    """How long a transfer may ring, in s; then the caller is back with the agent. The pipeline's `limits.transfer_s`
    counts as well."""
    transfer_sound: RingingSound = "ringing"
    """What the caller hears while it rings: a ringing tone, `music` on hold, or the `agent`, who may go on to speak."""
    music: str = ""
    """The class of music on hold; empty: Asterisk's default."""
    dial: str = "Local/{target}@outbound/n"
    """The dial string of calls that the engine makes; `{target}` as in `transfer`. A target with a slash is a dial
    string itself."""
    setup_s: float = field(default=10.0, validator=gt(0))
    """The longest time from a call's arrival until its audio is connected, in s; then the dialplan goes on."""
    timeout_s: float = field(default=5.0, validator=gt(0))
    """The longest wait for a reply of ARI, in s."""


AS_IT_IS: Final = "{target}"
"""The template of dial strings that are the target itself."""
WILDCARDS: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared, not bound
"""Addresses to bind to that nobody can connect to by that name."""
_APP: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def check_options(options: AsteriskAriOptions) -> Iterator[Problem]:
    """Yields what is wrong with options beyond their types."""
    url = urlsplit(options.url)
    if url.scheme not in {"http", "https"} or not url.hostname or url.username is not None or url.query:
        yield _problem("url", "is no address of ARI", "http://HOST:8088/ari")
    if not _APP.fullmatch(options.app):
        yield _problem("app", "is no name of an application", "letters, digits and _ . - only, at most 64")
    if not options.username or ":" in options.username:
        yield _problem("username", "is no user of ari.conf", "a section of ari.conf with type = user")
    yield from _check_media(options)
    for name in ("transfer", "dial"):
        dial_string: str = getattr(options, name)
        if dial_string == AS_IT_IS:
            continue
        if dial_string.count(AS_IT_IS) != 1 or "/" not in dial_string:
            yield _problem(name, "is no dial string with {target}", "Local/{target}@CONTEXT/n, or PJSIP/{target}@TRUNK")
        elif dial_string.startswith("Local/") and not dial_string.endswith("/n"):
            yield _problem(name, "has a Local channel that Asterisk replaces when it is answered", f"{dial_string}/n")


def _check_media(options: AsteriskAriOptions) -> Iterator[Problem]:
    if options.format not in FORMATS[options.media]:
        formats = " or ".join(sorted(FORMATS[options.media]))
        yield _problem("format", f"can't be carried by {options.media}", f"{formats}, or media: websocket")
    if options.media == "audiosocket" and options.host in WILDCARDS and not options.media_address:
        yield _problem("media_address", "is needed, since host is every address of this machine", "ENGINE:9095")
    if bool(options.media_username) != (options.media_password is not None):
        yield _problem("media_username", "and media_password belong together", "give both, or neither")


def _problem(path: str, message: str, hint: str) -> Problem:
    return Problem(Location(""), path, message, hint)


def check_installed() -> Iterator[Problem]:
    """Yields a problem if a library is missing."""
    for library in ("httpx", "h11", "websockets"):
        if find_spec(library) is None:
            yield Problem(Location(""), "", f"the library {library} is not installed", install_hint("ari"))
            return


_NOT_IN_TARGETS: Final = re.compile(r"[^A-Za-z0-9*#+._-]")
_NOT_IN_DIAL_STRINGS: Final = re.compile(r"[^A-Za-z0-9*#+._@/:-]")


def dial_string_for(template: str, target: str) -> str:
    """Fills a target into a dial string, without the characters that mean something there; empty if none is left.

    A target comes from a language model, which heard it from a caller: `200&Local/900@trunk` must not call two. Only
    the template `{target}` takes dial strings: `PJSIP/200`.
    """
    if template != AS_IT_IS:
        bare = _NOT_IN_TARGETS.sub("", target.strip())
        return template.replace(AS_IT_IS, bare) if bare else ""
    bare = _NOT_IN_DIAL_STRINGS.sub("", target.strip())
    technology, _, resource = bare.partition("/")
    if not technology or not resource:
        return ""
    # Without `/n`, Asterisk would put the other end's channel in the place of this one, whose end would end the call.
    return f"{bare}/n" if technology == "Local" and not bare.endswith("/n") else bare


def dial_string_of_program(template: str, target: str) -> str:
    """As `dial_string_for`; a target with a slash, which a program or an operator gives, is a dial string itself."""
    return dial_string_for(AS_IT_IS if "/" in target else template, target)
