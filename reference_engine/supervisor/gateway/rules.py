"""The rule for each operation of the control: which workers are asked, and what is made of their answers.

A rule is a method of `Gateway`. The operations themselves are in `control/operations.py`, which the supervisor does not
import: it brings the SDK along. A test holds the two tables together, so an operation without a rule is noticed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

Rule: TypeAlias = Literal[
    "announce",
    "change",
    "dial",
    "drain_version",
    "healthz",
    "pass_on",
    "pass_to_holder",
    "pause",
    "readyz",
    "show_call",
    "show_calls",
    "show_metrics",
    "show_now",
    "show_sets",
    "show_version",
    "withdraw",
]
"""A method of `Gateway`."""

RULES: Final[Mapping[tuple[str, str], Rule]] = {
    ("POST", "/-/reload"): "change",
    ("POST", "/sets/{set}/rollback"): "change",
    ("GET", "/sets"): "show_sets",
    ("GET", "/sets/{set}/versions/{version}"): "show_version",
    ("POST", "/sets/{set}/versions/{version}/drain"): "drain_version",
    ("GET", "/configurations/{digest}"): "pass_on",
    ("GET", "/calls"): "show_calls",
    ("POST", "/calls"): "dial",
    ("GET", "/calls/{call}"): "show_call",
    ("PUT", "/calls/{call}"): "announce",
    ("POST", "/calls/{call}"): "announce",
    ("DELETE", "/calls/{call}"): "withdraw",
    ("POST", "/calls/{call}/say"): "pass_to_holder",
    ("POST", "/calls/{call}/play"): "pass_to_holder",
    ("POST", "/calls/{call}/tell"): "pass_to_holder",
    ("POST", "/calls/{call}/transfer"): "pass_to_holder",
    ("POST", "/calls/{call}/hang-up"): "pass_to_holder",
    ("POST", "/calls/{call}/variables"): "pass_to_holder",
    ("POST", "/calls/{call}/language"): "pass_to_holder",
    ("POST", "/calls/{call}/recording"): "pass_to_holder",
    ("POST", "/-/pause"): "pause",
    ("POST", "/-/resume"): "pause",
    ("GET", "/healthz"): "healthz",
    ("GET", "/readyz"): "readyz",
    ("GET", "/metrics"): "show_metrics",
    ("GET", "/openapi.json"): "pass_on",
}
"""The rules by method and path, as `operations.py` has them."""

INTERNAL: Final[Mapping[tuple[str, str], Rule]] = {("GET", "/-/now"): "show_now"}
"""The rules of requests that only workers make, for the operator's pages."""


def rule_of(method: str, path: str) -> Rule:
    """Returns the rule for a request; what no rule is for, pages among it, goes to one worker.

    Args:
        method: the method; HEAD is answered as GET is.
        path: the path, decoded.

    """
    method = "GET" if method == "HEAD" else method
    return next((rule for of, pattern, rule in _PATTERNS if of == method and pattern.fullmatch(path)), "pass_on")


_PATTERNS: Final = tuple(
    (method, re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))), rule)
    for (method, path), rule in {**RULES, **INTERNAL}.items()
)
