"""Masks what looks like a key in a text, for keys that nobody has declared as secrets: in a prompt, or in a URL."""

from __future__ import annotations

import re

_KEY = re.compile(
    r"""
      -----BEGIN[ ][A-Z0-9 ]*PRIVATE[ ]KEY-----.*?(?:-----END[ ][A-Z0-9 ]*PRIVATE[ ]KEY-----|\Z)
    | \b(?:sk|pk|rk)[-_](?:[A-Za-z0-9]+[-_])*(?=[A-Za-z0-9_-]*[0-9])[A-Za-z0-9_-]{16,}   # OpenAI, Anthropic, Stripe
    | \b(?:AKIA|ASIA)[0-9A-Z]{16}\b                                                  # AWS
    | \b(?:gh[pousr]_|github_pat_|glpat-|hf_|xox[abeprs]-)[\w-]{10,}                   # GitHub, GitLab, ... Slack
    | \bAIza[\w-]{30,}                                                               # Google
    | \beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*                                              # a JSON Web Token (RFC 7519)
    """,
    re.VERBOSE | re.DOTALL,
)
_CREDENTIALS = re.compile(r"(?i)\b(bearer|basic)(\s+)(?=\S*[0-9])[A-Za-z0-9._~+/-]{8,}=*")
"""A scheme and its credentials, as in a header (RFC 9110, 11.6.2)."""

_PARAMETER = re.compile(
    r"(?i)(?<=[?&;])([\w.-]*(?:key|token|secret|password|passwd|credential|signature|sig)s?=)[^&;#\s\"']+"
)
"""A parameter in the query of a URL whose name tells a secret."""

_NAMED = re.compile(
    r"(?i)\b((?:pass(?:word|wd|phrase)|secret|token|api[_ -]?key|pin)s?)(\s*(?:is|:|=)\s*[\"'`]?)"
    r"(?=[^\s\"'`{}]*[0-9])(?![0-9]{1,3}\b)[^\s\"'`{},;&#]{4,}"
)
"""A secret that a sentence tells: `the password is swordfish7`. It has a digit, unlike most words."""

SHORTEST = 8
"""The length of the shortest text that can tell a secret, in characters: `pin=1234`."""


def without_keys(text: str) -> str:
    """Returns the text with `***` in place of what looks like a key, a token, a password or a private key.

    What a vendor's keys look like is public; a secret of another shape is found only if something names it.
    """
    if len(text) < SHORTEST:
        return text
    text = _KEY.sub("***", text)
    text = _CREDENTIALS.sub(r"\1\2***", text)
    text = _NAMED.sub(r"\1\2***", text)
    return _PARAMETER.sub(r"\1***", text)
