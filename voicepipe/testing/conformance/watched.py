"""Values that note which of their fields are read, to tell whether an adapter looks at its request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def watched(value: T, read: set[str]) -> T:
    """Returns a copy of a value that notes which of its fields are read; its class is derived from the value's.

    Args:
        value: an instance of an attrs class.
        read: receives the names of fields that are read; pickling reads all of them.

    """
    kind: Any = type(value)
    names = [field.name for field in attrs.fields(kind)]
    values = {name: getattr(value, name) for name in names}

    def read_field(self: Any, name: str) -> Any:
        if name in values:
            read.add(name)
        return object.__getattribute__(self, name)

    def reduced(self: Any) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        del self
        read.update(names)
        return kind, tuple(values.values())

    derived = type(kind.__name__, (kind,), {"__slots__": (), "__getattribute__": read_field, "__reduce__": reduced})
    made: T = derived(**values)
    read.clear()
    return made
