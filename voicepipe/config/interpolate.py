"""Resolves `${...}` in a value.

`${NAME}` is an environment variable, `${NAME:-default}` one that may be unset or empty, `${file:path}` the
content of a file without its last line break. `$$` is a dollar, and so is a `$` before anything else.
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
    """A `${...}` can't be resolved; the text says why, and `hint` what to do. It quotes no values.

    `missing` is the reference, if it names a variable or a file that is not on this machine; else empty.
    """

    def __init__(self, message: str, hint: str, *, missing: str = "") -> None:
        super().__init__(message)
        self.hint, self.missing = hint, missing


def is_literal(text: str) -> bool:
    """Returns True if the text contains no `${...}`."""
    return "${" not in text or all(match[0] == "$$" for match in _DOLLAR.finditer(text))


def interpolate(
    text: str,
    environ: Mapping[str, str],
    read: Callable[[str], str],
    resolved: Callable[[str, str], None] = lambda _value, _written: None,
) -> str:
    """Returns the text with every `${...}` resolved, and `$$` replaced by `$`.

    Args:
        text: the value as it is written in the YAML.
        environ: environment variables.
        read: returns the text of a file for `${file:...}`; raises `Unresolved`.
        resolved: called with each value that is not in the text itself, and its `${...}`.

    Raises:
        Unresolved: a reference is not closed or misspelt, or its variable or file is missing.

    """

    def value(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        inner = match["inner"]
        if match["close"] is None:
            raise Unresolved("unclosed ${", "write ${NAME}, or $${ for a literal ${")
        if inner.startswith("file:"):
            content = read(inner.removeprefix("file:"))
            resolved(content, match[0])
            return content
        if not (variable := _VARIABLE.fullmatch(inner)):
            hint = "write ${NAME}, ${NAME:-default} or ${file:/path}; $${ for a literal ${"
            raise Unresolved(f"invalid reference {shown(match[0])}", hint)
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
    """Returns the text with all but the references masked: `Bearer ${TOKEN:-abc}` becomes `***${TOKEN:-***}`."""

    def reference(match: re.Match[str]) -> str:
        name, _, default = (match["inner"] or "").partition(":-")
        return f"${{{name}:-***}}" if default and not name.startswith("file:") else match[0]

    parts: list[str] = []
    end = 0
    for match in _DOLLAR.finditer(text):
        if match["inner"] is not None:
            parts += ["***"] if match.start() > end else []
            parts.append(reference(match))
            end = match.end()
    return "".join(parts) + ("***" if end < len(text) else "")
