"""YAML files as an editor's language server hands them to a JSON Schema: by YAML 1.2's core schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from voicepipe.documents import parse_document

if TYPE_CHECKING:
    from pathlib import Path


def read_as_editors_do(path: Path) -> Any:
    """The document as plain data; raises `ConfigError` for what no editor takes for a document."""
    return _plain(parse_document(path.read_bytes(), path).structure(Any))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, tuple) else value
