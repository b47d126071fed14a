"""The name by which the engine's own commands ask the engine."""

from __future__ import annotations

COMMAND = "reference-engine"
"""The beginning of the header `User-Agent`."""
