"""Types of values in JSON bodies, and how an attrs class becomes a JSON object.

A class is an object, a field is a key. A field whose value is `LEFT_OUT` is not in the object; any other is, also null.
`control/schemas.py` makes JSON Schema of the same classes: of their types, of `Keywords`, and of the docstrings below
their fields.
"""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

from attrs import frozen, has
from cattrs import Converter
from cattrs.gen import make_dict_unstructure_fn

if TYPE_CHECKING:
    from collections.abc import Callable


class LeftOut(Enum):
    """The type of `LEFT_OUT`, for annotations."""

    LEFT_OUT = "left out"


LEFT_OUT: Final = LeftOut.LEFT_OUT
"""The value of a field that is not in the object."""


@frozen
class Keywords:
    """Constraints of a value in JSON Schema, besides its type."""

    minimum: int | None = None
    """The least value of a number."""
    pattern: str | None = None
    """The regular expression that a text matches."""
    format: str | None = None
    """The format of a text, by its name in JSON Schema."""


Count: TypeAlias = Annotated[int, Keywords(minimum=0)]
"""A number of things, or a version's number."""

Position: TypeAlias = Annotated[int, Keywords(minimum=0)]
"""A line or a column."""

Seconds: TypeAlias = Annotated[float, Keywords(minimum=0)]
"""A duration in s."""

Digest: TypeAlias = Annotated[str, Keywords(pattern="^[0-9a-f]{64}$")]
"""SHA-256 of a configuration, in hexadecimal."""

Moment: TypeAlias = Annotated[datetime, Keywords(format="date-time")]
"""A time in ISO 8601, with the offset of UTC."""


_CONVERTER = Converter(unstruct_collection_overrides={tuple: list})
_CONVERTER.register_unstructure_hook(datetime, datetime.isoformat)
_CONVERTER.register_unstructure_hook(LeftOut, lambda left_out: left_out)


@_CONVERTER.register_unstructure_hook_factory(has)
def _object_hook(cls: type, converter: Converter) -> Callable[[Any], dict[str, Any]]:
    """Makes the hook of a class. cattrs' `omit_if_default` is not used: it moves fields with defaults to the end."""
    unstructure: Callable[[Any], dict[str, Any]] = make_dict_unstructure_fn(cls, converter)
    return lambda body: {name: value for name, value in unstructure(body).items() if value is not LEFT_OUT}


def as_data(body: Any) -> dict[str, Any]:
    """Returns an instance of a body's class as a JSON object: mappings, lists, text, numbers; keys in field order."""
    data: dict[str, Any] = _CONVERTER.unstructure(body)
    return data
