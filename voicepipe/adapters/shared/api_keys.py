"""What adapters check of an API key before it goes into a header: the same for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voicepipe.errors import Location, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator


def check_api_key(api_key: str | None, *, vendor: str = "", hint: str = "") -> Iterator[Problem]:
    """Says what is wrong with a key, without quoting it; the YAML's reader has taken white space around it away.

    Args:
        api_key: the value; None or empty: there is none.
        vendor: who wants a key; empty: nobody does.
        hint: how it is written.

    """
    if not api_key:
        if vendor:
            yield Problem(Location(""), "api_key", f"{vendor} wants a key", hint)
    elif not (api_key.isascii() and api_key.isprintable()) or " " in api_key:
        message = "is no API key: it has spaces or special characters in it"
        yield Problem(Location(""), "api_key", message, "copy it anew; something may have come along with it")
