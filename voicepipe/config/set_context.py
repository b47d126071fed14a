"""The context of a pipeline set's file: its adapters, components and tools, and what references were resolved to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen

from voicepipe.config.reading import ConfigContext
from voicepipe.documents import Cursor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from voicepipe.components.labels import Role
    from voicepipe.components.registry import Registry
    from voicepipe.config.files import Files
    from voicepipe.config.resolved import Resolved
    from voicepipe.documents.source import Source
    from voicepipe.errors import Problem


@frozen
class Alternative:
    """One alternative of a reference: the name of an adapter, and its options."""

    cursor: Cursor
    """The name, or the mapping with `type:`."""
    adapter: str
    """The name of the adapter."""
    name: str
    """The name of the component that defines it, or else of the adapter."""
    items: tuple[Cursor, ...] = ()
    """The list items that led to it, the outermost first."""


class SetContext(ConfigContext):
    """The context of a pipeline set's file.

    A component that a thousand pipelines use is followed, read and checked once: the caches are keyed by all that the
    result depends on. Trials share them.
    """

    def __init__(
        self,
        source: Source,
        *,
        registry: Registry,
        environ: Mapping[str, str],
        files: Files,
        tools: tuple[str, ...],
        allow_missing: bool = False,
    ) -> None:
        super().__init__(source, environ=environ, files=files, allow_missing=allow_missing)
        self.registry = registry
        """The adapters that the file may name."""
        self.tools = tools
        """The names of all tools that pipelines may list."""
        self.components: dict[str, Cursor] = {}
        """The definitions under `components:`, by name."""
        self.used: set[str] = set()
        """The names of components that a reference has led to."""
        self.alternatives: dict[tuple[Role | None, str], list[Alternative]] = {}
        """The alternatives of a component, by role and name."""
        self.resolved: dict[tuple[Any, ...], Resolved | None] = {}
        """Components with their options; None for one that was refused."""
        self.checked: dict[str, tuple[Problem, ...]] = {}
        """The problems that an adapter's check found, by the component's key."""
        self.not_installed: dict[tuple[Role, str], tuple[Problem, ...]] = {}
        """The problems of an adapter with this machine, by role and name."""

    def clear(self) -> None:
        """Drops all cursors: they refer to this context, a cycle that only the garbage collector would free."""
        self.components.clear()
        self.alternatives.clear()
        self.resolved.clear()


def set_context(cursor: Cursor) -> SetContext:
    """Returns the context of a cursor; raises `TypeError` for a document that is not a pipeline set."""
    if not isinstance(cursor.context, SetContext):
        raise TypeError("references and tools are for pipeline sets, not for other documents")
    return cursor.context
