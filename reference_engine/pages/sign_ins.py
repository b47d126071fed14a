"""Keeps who is signed in to the operator's page, and limits attempts to sign in. Nothing of it is stored on disk.

A browser keeps a random ID in a cookie; this process keeps only the ID's hash, with a digest of the token that was
given. A token that was replaced by a reload thus signs out everybody at their next request.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from hashlib import sha256
from hmac import compare_digest

import trio
from attrs import field, frozen

SIGNED_IN_S = 12 * 60 * 60.0
"""The time after which the token must be given again, in s."""

MAX_SIGN_INS = 64
"""The most sign-ins at once; a further one ends the oldest."""

MAX_ATTEMPTS = 5
"""The wrong tokens that one address may give within `ATTEMPTS_S`."""

ATTEMPTS_S = 60.0
"""The time for which a wrong token counts, in s."""

MAX_ADDRESSES = 1024
"""The most addresses whose wrong tokens are counted; a further one displaces the oldest."""


@frozen
class SignIn:
    """One browser that is signed in."""

    token_digest: bytes = field(repr=False)
    """The digest of the token that was given."""
    until: float
    """The end of it, on trio's clock."""
    form_token: str = field(factory=lambda: secrets.token_urlsafe(24), repr=False)
    """The value that each form of it must have, which a page from elsewhere can't know."""


class SignIns:
    """The browsers that are signed in."""

    def __init__(self) -> None:
        self._sign_ins: OrderedDict[bytes, SignIn] = OrderedDict()

    def begin(self, token: str) -> str:
        """Returns the ID of a new sign-in with a token that was found to be right."""
        name = secrets.token_urlsafe(32)
        self._sign_ins[_digest(name)] = SignIn(_digest(token), trio.current_time() + SIGNED_IN_S)
        while len(self._sign_ins) > MAX_SIGN_INS:
            self._sign_ins.popitem(last=False)
        return name

    def find(self, name: str, token: str) -> SignIn | None:
        """Returns the sign-in of that ID; None if there is none, its time is up, or the token is another one now."""
        sign_in = self._sign_ins.get(key := _digest(name))
        if sign_in is None:
            return None
        if sign_in.until <= trio.current_time() or not compare_digest(sign_in.token_digest, _digest(token)):
            del self._sign_ins[key]
            return None
        return sign_in

    def end(self, name: str) -> None:
        """Ends a sign-in; no-op if there is none of that ID."""
        self._sign_ins.pop(_digest(name), None)

    def __len__(self) -> int:
        return len(self._sign_ins)


class WrongTokens:
    """Counts wrong tokens by the address that they came from."""

    def __init__(self) -> None:
        self._failed: OrderedDict[str, list[float]] = OrderedDict()

    def wait_s(self, address: str) -> float:
        """Returns the time until an address may try again, in s; 0: now."""
        now = trio.current_time()
        times = [at for at in self._failed.get(address, ()) if at > now - ATTEMPTS_S]
        return times[-MAX_ATTEMPTS] + ATTEMPTS_S - now if len(times) >= MAX_ATTEMPTS else 0.0

    def fail(self, address: str) -> None:
        """Counts a wrong token."""
        self._failed[address] = [*self._failed.pop(address, ()), trio.current_time()][-MAX_ATTEMPTS:]
        while len(self._failed) > MAX_ADDRESSES:
            self._failed.popitem(last=False)


def _digest(text: str) -> bytes:
    return sha256(text.encode("utf-8", "surrogateescape")).digest()
