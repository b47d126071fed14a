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
    """A `${...}` comes to nothing; the text says which, `hint` what to do. Holds no values.

    `missing` is what it refers to, if it could be given on another machine: a variable or a file that is not here.
    """

    def __init__(self, message: str, hint: str, *, missing: str = "") -> None:
        super().__init__(message)
        self.hint, self.missing = hint, missing


def is_literal(text: str) -> bool:
    """Returns True if the text contains no `${...}`."""
    return "${" not in text or all(found[0] == "$$" for found in _DOLLAR.finditer(text))


def interpolate(
    text: str,
    environ: Mapping[str, str],
    read: Callable[[str], str],
    resolved: Callable[[str, str], None] = lambda _value, _written: None,
) -> str:
    """Returns the text with every `${...}` resolved, and `$$` replaced by `$`.

    Args:
        text: as it stands in the YAML.
        environ: environment variables.
        read: the text of a file for `${file:...}`; raises `Unresolved`.
        resolved: told each value that doesn't stand in the text itself, and the `${...}` for it.

    Raises:
        Unresolved: one is not closed, misspelt, or refers to what is not there.

    """

    def value(found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        inner = found["inner"]
        if found["close"] is None:
            raise Unresolved("unclosed ${", "write ${NAME}, or $${ for a literal ${")
        if inner.startswith("file:"):
            content = read(inner.removeprefix("file:"))
            resolved(content, found[0])
            return content
        if not (variable := _VARIABLE.fullmatch(inner)):
            hint = "write ${NAME}, ${NAME:-default} or ${file:/path}; $${ for a literal ${"
            raise Unresolved(f"invalid reference {shown(found[0])}", hint)
        name, default = variable["name"], variable["default"]
        if set_to := environ.get(name):
            resolved(set_to, f"${{{name}}}")
            return set_to
        if default is not None:
            return default
        state = "empty" if name in environ else "not set"
        hint = f"export {name}=..., or write ${{{name}:-default}}"
        raise Unresolved(f"the environment variable {name} is {state}", hint, missing=f"${{{name}}}")

    return _DOLLAR.sub(value, text)


def without_literals(text: str) -> str:
    """The text with nothing of its own left: `Bearer ${TOKEN:-abc}` becomes `***${TOKEN:-***}`."""

    def reference(found: re.Match[str]) -> str:
        name, _, default = (found["inner"] or "").partition(":-")
        return f"${{{name}:-***}}" if default and not name.startswith("file:") else found[0]

    parts: list[str] = []
    end = 0
    for found in _DOLLAR.finditer(text):
        if found["inner"] is not None:
            parts += ["***"] if found.start() > end else []
            parts.append(reference(found))
            end = found.end()
    return "".join(parts) + ("***" if end < len(text) else "")
