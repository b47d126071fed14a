"""Tells calls that another component than the first choice served. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def has_failed_over(
    first: Mapping[str, Mapping[str, Any]], used: Iterable[tuple[str, str]], steps: Iterable[str]
) -> bool:
    """Returns whether another component than the first choice of its role served a call.

    That is so after a step to an alternative. Without one it is so if the first choice was passed over from the
    beginning, because its circuit breaker was open: the call's use then has others of its role, and not the first.

    Args:
        first: the first choice by role, with its `name`.
        used: role and component of what the call used.
        steps: the steps that were taken after failures: `retry`, `alternate`, `apology`.

    """
    if "alternate" in steps:
        return True
    names: dict[str, set[str]] = {}
    for role, component in used:
        names.setdefault(role, set()).add(component)
    return any(role in first and first[role]["name"] not in of_role for role, of_role in names.items())
