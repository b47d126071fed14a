"""Checks of `base_url`, the option that names a vendor's region or another server."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from voicepipe.errors import Location, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator


def check_base_url(base_url: str, hint: str) -> Iterator[Problem]:
    """Gives a problem if the address is not an HTTP URL with a host and without a query.

    Args:
        base_url: the option's value.
        hint: an example of the option.

    """
    try:
        url = urlsplit(base_url)
        valid = url.scheme in {"http", "https"} and bool(url.hostname) and not url.query and url.port != 0
    except ValueError:  # unbalanced brackets, or a port that is no number
        valid = False
    if not valid:
        yield Problem(Location(""), "base_url", "is not an http:// or https:// address", hint)
