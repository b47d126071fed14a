"""Components that references were resolved to, each with the cursor of its options."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from voicepipe.config.settings import ComponentSettings
from voicepipe.documents import Cursor


@frozen
class Resolved:
    """A component as it is used, and as the digest sees it."""

    settings: ComponentSettings
    """Files read, secrets resolved."""
    written: Any
    """The same in normal form, with secrets as they are written."""
    cursor: Cursor
    """Its options by name, each where it stands: in its definition, or laid over it."""


@frozen
class ResolvedReference:
    """The components that a reference in `stt:`, `llm:` or `tts:` leads to, in failover order."""

    components: tuple[Resolved, ...]
    """At least one."""
