"""Normal forms, which are equal for equal configurations and equal components, and their digest.

The digest of a configuration may be shown, so it is made of secrets as they are written (`${NAME}`), or of `***` if the
YAML holds the value itself. The key of a component is never shown, and is made of the values of secrets.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any

import attrs

from voicepipe.components.values import Directory, File, Secret
from voicepipe.config.interpolate import is_literal
from voicepipe.documents.nodes import MappingNode, Node, ScalarNode, SequenceNode


class Hidden(dict[str, str]):
    """The source of a value that must not be shown: `{"secret": "${API_KEY}"}`, or `***` if the file holds it."""

    def __init__(self, source: str, value: str) -> None:
        super().__init__(secret=source)
        self.value = value

    def __reduce__(self) -> tuple[type[Hidden], tuple[str, str]]:
        return Hidden, (self["secret"], self.value)


def identity(value: Any) -> Any:
    """Returns a value in normal form, with the values of secrets, and the digests of files and directories."""
    if isinstance(value, File):
        return {"file": str(value.path), "sha256": value.digest}
    if isinstance(value, Directory):
        return {"directory": str(value.path), "fingerprint": value.fingerprint}
    if isinstance(value, tuple):
        return [identity(item) for item in value]
    if isinstance(value, Mapping) or attrs.has(type(value)):
        return {name: identity(item) for name, item in _fields(value)}
    return str(value) if isinstance(value, str) else value


def written(value: Any, node: Node | None) -> Any:
    """Returns a value in normal form that may be shown: defaults filled in, secrets and paths as they are written.

    Args:
        value: the value of the node.
        node: the node; None if the value is a default.

    """
    if isinstance(node, ScalarNode):
        return _written_scalar(value, node)
    if isinstance(value, Mapping) or attrs.has(type(value)):
        nodes = node.entries if isinstance(node, MappingNode) else {}
        return written_fields(value, {name: at[1] for name, at in nodes.items()})
    if isinstance(value, tuple):
        items = node.items if isinstance(node, SequenceNode) else [None] * len(value)
        return [written(item, at) for item, at in zip(value, items, strict=True)]
    return str(value) if isinstance(value, str) else value


def written_fields(value: Any, nodes: Mapping[str, Node]) -> dict[str, Any]:
    """Returns the fields of an attrs object, or the values of a mapping, in normal form that may be shown."""
    return {name: written(item, nodes.get(name)) for name, item in _fields(value)}


def _written_scalar(value: Any, node: ScalarNode) -> Any:
    if isinstance(value, File):
        return {"file": node.text, "sha256": value.digest}
    if isinstance(value, Directory):
        return {"directory": node.text, "fingerprint": value.fingerprint}
    if isinstance(value, Secret):
        return Hidden(value.source, str(value))
    if not is_literal(node.text):
        return Hidden(node.text, str(value))
    return str(value) if isinstance(value, str) else value


def _fields(value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return value.items()
    return ((field.name, getattr(value, field.name)) for field in attrs.fields(type(value)))


def sha256_of(normal: Any) -> str:
    """Returns the SHA-256, in hex, of a normal form; the order of keys doesn't matter."""
    return sha256(json.dumps(normal, sort_keys=True, default=repr).encode()).hexdigest()
