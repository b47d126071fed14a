"""JSON answers that can contain any file name, UTF-8 or not."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import JSONResponse


class JSONAnswer(JSONResponse):
    """An answer with a JSON body in UTF-8.

    Python represents bytes of a file name that are not UTF-8 by lone surrogates, which UTF-8 can't encode. They are
    written as JSON escapes, which a JSON parser turns into the same surrogates.
    """

    def render(self, content: Any) -> bytes:
        """Returns the bytes of the body."""
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8", "backslashreplace")
