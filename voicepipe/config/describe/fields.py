"""Describes settings and options classes: types in words, defaults, bounds, units, docstrings.

`voicepipe components`, the JSON Schema and the reference tables are all made from this. Docstrings under fields are
read from the source of the class's module; without the source they are empty.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

import attrs
from attrs import field, frozen

from voicepipe.components.values import CaFile, Directory, File, Secret
from voicepipe.config.describe.docstrings import documented_fields, paragraphs

if TYPE_CHECKING:
    from collections.abc import Iterator

WORDS: dict[Any, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    NoneType: "null",
    Any: "anything",
    Secret: "secret",
    File: "file",
    CaFile: "file",
    Directory: "directory",
}
"""The names of types, for people who write YAML."""

UNIONS: frozenset[Any] = frozenset({Union, UnionType})
_NUMBERS = frozenset({int, float})
_UNIT = re.compile(r", in (?P<unit>[A-Za-z][A-Za-z ]*?)\s*(?:[.,;:(]|$)")
_SUFFIXES = {"ms": "ms", "s": "s", "minutes": "minutes", "hz": "Hz", "bytes": "bytes"}


@frozen
class Bounds:
    """The bounds of a field's value, from those of its validators that attrs provides."""

    minimum: float | None = None
    """The least number."""
    exclusive_minimum: float | None = None
    """The number that the value must be more than."""
    maximum: float | None = None
    """The greatest number."""
    exclusive_maximum: float | None = None
    """The number that the value must be less than."""
    min_length: int | None = None
    """The least number of characters or entries."""
    max_length: int | None = None
    """The greatest number of characters or entries."""
    choices: tuple[Any, ...] = ()
    """All valid values; empty: no such list."""
    pattern: str | None = None
    """A regular expression of Python's that is found in the text; with `^` and `$` where it must match the whole."""

    def __str__(self) -> str:
        """Returns the bounds in words, such as `80 to 450` or `more than 0`; empty if there are none."""
        if self.minimum is not None and self.maximum is not None:
            words = [f"{self.minimum:g} to {self.maximum:g}"]
        else:
            words = [f"{word} {bound:g}" for word, bound in self._limits() if bound is not None]
        if self.min_length is not None:
            words.append("not empty" if self.min_length == 1 else f"length at least {self.min_length}")
        if self.max_length is not None:
            words.append(f"length at most {self.max_length}")
        if self.choices:
            words.append(f"one of {', '.join(map(str, self.choices))}")
        if self.pattern is not None:
            words.append(f"matches {self.pattern}")
        return ", ".join(words)

    def _limits(self) -> tuple[tuple[str, float | None], ...]:
        return (
            ("at least", self.minimum),
            ("more than", self.exclusive_minimum),
            ("at most", self.maximum),
            ("less than", self.exclusive_maximum),
        )


@frozen
class DescribedField:
    """A field of a settings or options class: a key that the operator may write."""

    name: str
    """The key."""
    type: Any
    """The field's type, resolved."""
    default: Any
    """The value if the key is left out; `attrs.NOTHING` if it is required."""
    bounds: Bounds
    """The bounds of its value."""
    doc: str
    """The docstring under it, each paragraph on a line; empty if there is none."""

    @property
    def required(self) -> bool:
        """Whether the key is required."""
        return self.default is attrs.NOTHING

    @property
    def kind(self) -> str:
        """The type in words: `whole number`, `list of text`."""
        return kind_of(self.type)

    @property
    def unit(self) -> str | None:
        """The unit of a number, from the docstring (`..., in ms.`) or else the name (`idle_prompt_s`)."""
        if not _NUMBERS & {self.type, *get_args(self.type)}:
            return None
        if unit := _UNIT.search(self.doc):
            return unit["unit"]
        return _SUFFIXES.get(self.name.rpartition("_")[2]) if "_" in self.name else None

    @property
    def section(self) -> Described | None:
        """The description of the class whose fields are the keys below this one; None if there is none."""
        types = (self.type, *get_args(self.type))
        classes = [kind for kind in types if attrs.has(kind) and kind not in WORDS]
        return describe(classes[0]) if classes else None


@frozen
class Described:
    """The description of a settings or options class."""

    doc: str
    """Its docstring, each paragraph on a line."""
    fields: tuple[DescribedField, ...] = field(factory=tuple)
    """The fields in the class's order, those of its bases first."""

    @property
    def summary(self) -> str:
        """The docstring's first paragraph."""
        return self.doc.partition("\n")[0]


def describe(cls: type) -> Described:
    """Returns the description of an attrs class, from its fields, validators and docstrings."""
    attrs.resolve_types(cls)
    documented = documented_fields(cls)
    return Described(
        doc=paragraphs(cls.__doc__ or ""),
        fields=tuple(
            DescribedField(
                name=attribute.name,
                type=attribute.type,
                default=attribute.default.factory() if _is_factory(attribute.default) else attribute.default,
                bounds=bounds_of(attribute.validator),
                doc=documented[attribute.name].doc if attribute.name in documented else "",
            )
            for attribute in attrs.fields(cls)
            if attribute.init
        ),
    )


def kind_of(of: Any) -> str:
    """Returns a type in words, for operators."""
    origin, inside = get_origin(of), get_args(of)
    if word := WORDS.get(of):
        return word
    if origin is Literal:
        return ("one of " if len(inside) > 1 else "") + ", ".join(map(str, inside))
    if origin in UNIONS:
        return " or ".join(map(kind_of, inside))
    if origin is tuple:
        return f"list of {kind_of(inside[0])}"
    if origin in {Mapping, dict}:
        return f"mapping of names to {kind_of(inside[1])}"
    return "text" if isinstance(of, type) and issubclass(of, str) else "mapping"


def bounds_of(validator: Any) -> Bounds:
    """Returns the bounds of a validator; of one that isn't attrs' own, such as a function, they are not known."""
    bounds: dict[str, Any] = {}
    for single in _each(validator):
        if hasattr(single, "compare_op"):
            bounds[_COMPARED[single.compare_op]] = single.bound
        elif hasattr(single, "min_length"):
            bounds["min_length"] = single.min_length
        elif hasattr(single, "max_length"):
            bounds["max_length"] = single.max_length
        elif hasattr(single, "match_func"):
            bounds["pattern"] = _anchored(single.pattern.pattern, single.match_func.__name__)
        elif hasattr(single, "options"):
            bounds["choices"] = tuple(single.options)
    return Bounds(**bounds)


_COMPARED = {">=": "minimum", ">": "exclusive_minimum", "<=": "maximum", "<": "exclusive_maximum"}


def _each(validator: Any) -> Iterator[Any]:
    """Yields the single validators in a validator; a value must satisfy them all."""
    if hasattr(validator, "_validators"):  # and_, or a list of them
        for part in validator._validators:  # noqa: SLF001 - attrs has no public name for them
            yield from _each(part)
    elif type(validator).__name__ == "_OptionalValidator":
        yield from _each(validator.validator)
    else:
        yield validator


def _anchored(pattern: str, matched: str) -> str:
    if matched == "search":
        return pattern
    whole = f"(?:{pattern})" if "|" in pattern else pattern
    return f"^{whole}{'$' if matched == 'fullmatch' else ''}"


def _is_factory(default: Any) -> bool:
    return isinstance(default, attrs.Factory)  # type: ignore[arg-type]  # to mypy it is a function


def as_data(value: Any) -> Any:
    """Returns a default as data for JSON."""
    if attrs.has(type(value)):
        return {attribute.name: as_data(getattr(value, attribute.name)) for attribute in attrs.fields(type(value))}
    if isinstance(value, Mapping):
        return {name: as_data(item) for name, item in value.items()}
    return [as_data(item) for item in value] if isinstance(value, tuple) else value
