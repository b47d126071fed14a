"""Components that references were resolved to, each with the cursor of its options."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from voicepipe.config.settings import ComponentSettings
from voicepipe.documents import Cursor


@frozen
class Resolved:
    """A component with its settings and their normal form."""

    settings: ComponentSettings
    """The settings, with files read and secrets resolved."""
    written: Any
    """The settings in normal form, with secrets as they are written."""
    cursor: Cursor
    """The cursor of its options, each at its own place: in the definition, or laid over it."""


@frozen
class ResolvedReference:
    """The components that a reference in `stt:`, `llm:` or `tts:` leads to, in failover order."""

    components: tuple[Resolved, ...]
    """The components, at least one."""
