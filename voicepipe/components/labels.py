"""Names of components: their roles, and the labels by which logs and records name them."""

from __future__ import annotations

from attrs import frozen

from voicepipe.roles import ROLES, Role

__all__ = ["ROLES", "ComponentLabel", "Role"]


@frozen
class ComponentLabel:
    """A component as logs and records name it."""

    name: str
    """The name under `components:`, else the adapter's."""
    adapter: str
    """The adapter's name."""
    model: str | None
    """The model or voice, where the adapter has one."""
