"""Calls' records: a JSON object a line, in a file that other programs read."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

from reference_engine.errors import EngineError, hint_for_path
from reference_engine.lines import LineWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from voicepipe import CallRecord

    Keep: TypeAlias = "Callable[[CallRecord], None]"


@contextmanager
def open_records(path: Path | None) -> Iterator[Keep]:
    """What keeps a call's record; without a path nothing is kept.

    Each record is written as a whole, at the end of the file; a file that is moved away is written to until the
    engine is started again, as a log would be.

    Raises:
        EngineError: the file can't be written.

    """
    if path is None:
        yield lambda _record: None
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        hint = hint_for_path(error, "`records`")
        raise EngineError(f"records: {path} can't be written: {error.strerror}; {hint}") from None
    try:
        with LineWriter(descriptor) as lines:
            yield lambda record: lines.write(json.dumps(record.as_data(), ensure_ascii=False))
    finally:
        os.close(descriptor)
