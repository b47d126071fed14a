"""JSON responses that can hold any file name, UTF-8 or not."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import JSONResponse


class JSONAnswer(JSONResponse):
    """A JSON body in UTF-8.

    Bytes of a file name that are no UTF-8 are lone surrogates in Python, which UTF-8 has no form for. They are
    written as JSON escapes them, and read back as what they were.
    """

    def render(self, content: Any) -> bytes:
        """The body's bytes."""
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8", "backslashreplace")
