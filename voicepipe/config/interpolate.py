"""`${...}` in a value: what it asks for, and what it comes to.

`${NAME}` is an environment variable, `${NAME:-default}` one that may be unset or empty, `${file:path}` the
content of a file without its last line break. `$$` is a dollar; one that begins nothing stands for itself.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from voicepipe.documents import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_DOLLAR = re.compile(r"\$(?:\$|\{(?P<inner>[^{}]*)(?P<close>\})?)")
_VARIABLE = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>.*))?", re.DOTALL)


class Unresolved(Exception):  # noqa: N818 - becomes a located Problem where the value stands
    """A `${...}` comes to nothing; the text says which, `hint` what to do. Holds no values."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def is_literal(text: str) -> bool:
    """Whether the text has no `${...}` in it."""
    return "${" not in text or all(found[0] == "$$" for found in _DOLLAR.finditer(text))


def interpolate(text: str, environ: Mapping[str, str], read: Callable[[str], str]) -> str:
    """The text with every `${...}` replaced, and `$$` by `$`.

    Args:
        text: as it stands in the YAML.
        environ: environment variables.
        read: the text of a file for `${file:...}`; raises `Unresolved`.

    Raises:
        Unresolved: one is not closed, misspelt, or refers to what is not there.

    """

    def value(found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        inner = found["inner"]
        if found["close"] is None:
            raise Unresolved("a ${ is not closed", "write ${NAME}, or $${ where a dollar and a brace are meant")
        if inner.startswith("file:"):
            return read(inner.removeprefix("file:"))
        if not (variable := _VARIABLE.fullmatch(inner)):
            hint = "write ${NAME}, ${NAME:-default} or ${file:/path}; $${ where a dollar and a brace are meant"
            raise Unresolved(f"{shown(found[0])} refers to nothing", hint)
        name, default = variable["name"], variable["default"]
        if set_to := environ.get(name):
            return set_to
        if default is not None:
            return default
        state = "empty" if name in environ else "not set"
        hint = f"export {name}=..., or write ${{{name}:-default}}"
        raise Unresolved(f"the environment variable {name} is {state}", hint)

    return _DOLLAR.sub(value, text)
