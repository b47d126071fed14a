"""Tool calls, and text, as every API takes them: ids, names, arguments. Pure.

This is the one place where ids for servers are made. A call keeps its id in the conversation, as the model gave it or
the call made it; what a server is sent is made of it, always the same, since another vendor's may be refused there:
Mistral takes nine letters or digits and nothing else, OpenAI at most 40 characters.
"""

from __future__ import annotations

import json
import re
import string
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from voicepipe.components.requests import ToolCall

NO_RESULT = "no result"
"""Stands for the result of a tool that has none: it was cancelled, runs still, or returned nothing."""

ID_CHARS = string.ascii_letters + string.digits
ID_LENGTH = 9
TAKEN_ID = re.compile(rf"[a-zA-Z0-9]{{{ID_LENGTH}}}")
TAKEN_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def clean(text: str) -> str:
    """The text without white space around it, NULs, and halves of characters, which can't be sent."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "").strip()


def wire_id(call_id: str, repeats: int = 0) -> str:
    """The id of a tool call for servers.

    Args:
        call_id: the call's own.
        repeats: how many calls before it had the same.

    """
    if not repeats and TAKEN_ID.fullmatch(call_id):
        return call_id
    number = int.from_bytes(sha256(f"{repeats} {call_id}".encode(errors="surrogatepass")).digest()[:16])
    chars = []
    for _ in range(ID_LENGTH):
        number, index = divmod(number, len(ID_CHARS))
        chars.append(ID_CHARS[index])
    return "".join(chars)


def wire_name(name: str) -> str:
    """The name of a tool that was called; models invent some that no server takes back."""
    return name if TAKEN_NAME.fullmatch(name) else re.sub(r"[^a-zA-Z0-9_-]", "_", name)[:64] or "unnamed"


def wire_arguments(call: ToolCall) -> str:
    """The arguments as JSON; what JSON has no word for (NaN) is null."""
    arguments = json.loads(json.dumps(dict(call.arguments), default=str), parse_constant=lambda _: None)
    return clean(json.dumps(arguments, ensure_ascii=False))
