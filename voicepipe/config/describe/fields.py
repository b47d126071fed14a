"""What settings and options classes say of themselves: types in words, defaults, bounds, units, docstrings.

The one source of `voicepipe components`, of the JSON Schema and of the reference tables. Docstrings under fields
are read from the source of the class's module; where that is not there, they are empty.
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
"""How types are called where people read who write YAML."""

UNIONS: frozenset[Any] = frozenset({Union, UnionType})
_NUMBERS = frozenset({int, float})
_UNIT = re.compile(r", in (?P<unit>[A-Za-z][A-Za-z ]*?)\s*(?:[.,;:(]|$)")
_SUFFIXES = {"ms": "ms", "s": "s", "minutes": "minutes", "hz": "Hz", "bytes": "bytes"}


@frozen
class Bounds:
    """What a field's validators ask of its value, as far as attrs' own validators say it."""

    minimum: float | None = None
    """The least number."""
    exclusive_minimum: float | None = None
    """What a number must be more than."""
    maximum: float | None = None
    """The greatest number."""
    exclusive_maximum: float | None = None
    """What a number must be less than."""
    min_length: int | None = None
    """The least number of characters or entries."""
    max_length: int | None = None
    """The greatest number of them."""
    choices: tuple[Any, ...] = ()
    """All values there are; empty: no such list."""
    pattern: str | None = None
    """A regular expression of Python's that is found in the text; with `^` and `$` where it must match the whole."""

    def __str__(self) -> str:
        """In words: `80 to 450`, `more than 0`; empty if there are none."""
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
    """The value if it is left out; `attrs.NOTHING` if it may not be."""
    bounds: Bounds
    """What its validators ask."""
    doc: str
    """The docstring under it, each paragraph on a line; empty if there is none."""

    @property
    def required(self) -> bool:
        """True if it may not be left out."""
        return self.default is attrs.NOTHING

    @property
    def kind(self) -> str:
        """Its type in words: `whole number`, `list of text`."""
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
        """What the class says whose fields stand below this key, if there is one."""
        classes = [one for one in (self.type, *get_args(self.type)) if attrs.has(one) and one not in WORDS]
        return describe(classes[0]) if classes else None


@frozen
class Described:
    """What a settings or options class says of itself."""

    doc: str
    """Its docstring, each paragraph on a line."""
    fields: tuple[DescribedField, ...] = field(factory=tuple)
    """In the class's order, those of its bases first."""

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
                name=one.name,
                type=one.type,
                default=one.default.factory() if _is_factory(one.default) else one.default,
                bounds=bounds_of(one.validator),
                doc=documented[one.name].doc if one.name in documented else "",
            )
            for one in attrs.fields(cls)
            if one.init
        ),
    )


def kind_of(of: Any) -> str:
    """A type in words, as an operator would say it."""
    origin, inside = get_origin(of), get_args(of)
    if word := WORDS.get(of):
        return word
    if origin is Literal:
        return ("one of " if len(inside) > 1 else "") + ", ".join(map(str, inside))
    if origin in UNIONS:
        return " or ".join(kind_of(one) for one in inside)
    if origin is tuple:
        return f"list of {kind_of(inside[0])}"
    if origin in {Mapping, dict}:
        return f"mapping of names to {kind_of(inside[1])}"
    return "text" if isinstance(of, type) and issubclass(of, str) else "mapping"


def bounds_of(validator: Any) -> Bounds:
    """What a validator asks. Those that attrs doesn't know by name, such as a function, ask nothing that shows."""
    found: dict[str, Any] = {}
    for one in _each(validator):
        if hasattr(one, "compare_op"):
            found[_COMPARED[one.compare_op]] = one.bound
        elif hasattr(one, "min_length"):
            found["min_length"] = one.min_length
        elif hasattr(one, "max_length"):
            found["max_length"] = one.max_length
        elif hasattr(one, "match_func"):
            found["pattern"] = _anchored(one.pattern.pattern, one.match_func.__name__)
        elif hasattr(one, "options"):
            found["choices"] = tuple(one.options)
    return Bounds(**found)


_COMPARED = {">=": "minimum", ">": "exclusive_minimum", "<=": "maximum", "<": "exclusive_maximum"}


def _each(validator: Any) -> Iterator[Any]:
    """The validators that a value must all satisfy."""
    if hasattr(validator, "_validators"):  # and_, or a list of them
        for one in validator._validators:  # noqa: SLF001 - attrs tells it in no other way
            yield from _each(one)
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
    """A default as JSON has it."""
    if attrs.has(type(value)):
        return {one.name: as_data(getattr(value, one.name)) for one in attrs.fields(type(value))}
    if isinstance(value, Mapping):
        return {name: as_data(one) for name, one in value.items()}
    return [as_data(one) for one in value] if isinstance(value, tuple) else value
