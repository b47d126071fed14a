"""API keys: their names in messages, and the check that they can be sent in a header."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voicepipe.errors import Location, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator


def name_of(api_key: object) -> str:
    """Returns the name of a key for messages: `${ACME_API_KEY}` if it came from there, else `api_key`."""
    source = getattr(api_key, "source", "***")
    return "api_key" if source == "***" else str(source)


def check_api_key(api_key: str | None, *, vendor: str = "", hint: str = "") -> Iterator[Problem]:
    """Gives a problem if a key is missing or not valid, without quoting it.

    White space around the key has been removed by the reader of the YAML.

    Args:
        api_key: the value; None or empty: there is none.
        vendor: the name of the service that requires a key; empty: a key is optional.
        hint: an example of the option.

    """
    if not api_key:
        if vendor:
            yield Problem(Location(""), "api_key", f"{vendor} requires a key", hint)
    elif not (api_key.isascii() and api_key.isprintable()) or " " in api_key:
        message = "is not a valid API key: it contains spaces or special characters"
        yield Problem(Location(""), "api_key", message, "copy the key again, without anything around it")
