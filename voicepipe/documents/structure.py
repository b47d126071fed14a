"""Nodes in, typed values out, with every problem reported where it stands.

One walk both builds and reports: cattrs finds the hook for a type, and the hooks take a `Cursor` instead of
plain data. The type decides what a scalar is: text stays as typed, numbers are plain decimal numbers, only
`true` and `false` are booleans. Free-form values (`Any`) use YAML 1.2's core schema.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from math import isfinite
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import attrs
from cattrs import BaseConverter

from voicepipe.documents.nodes import Mapping as MappingNode
from voicepipe.documents.nodes import Scalar, Sequence
from voicepipe.documents.reading import UNIONS, Cursor, Refused
from voicepipe.documents.scalars import Hook, bool_hook, float_hook, free, int_hook, literal_hook, text_hook
from voicepipe.documents.words import among, did_you_mean, likely, shown

MAPPINGS: frozenset[Any] = frozenset({Mapping, dict})


_SCALARS = frozenset({str, int, float, bool})
_BOUND = re.compile(r"(?P<length>Length of )?'\w+' must be (?P<sign>>=|<=|>|<) (?P<bound>.*?): ")
_SIGNS = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}


def _tuple(of: Any, converter: BaseConverter) -> Hook:
    element, *rest = get_args(of)
    if rest != [...]:
        raise TypeError(f"lists are tuple[T, ...], not {of}")

    def structure(place: Cursor, _: Any) -> tuple[Any, ...]:
        hook = converter.get_structure_hook(element)
        return tuple(_all({item.key: item for item in place.items()}, hook, element).values())

    return structure


def _mapping(of: Any, converter: BaseConverter) -> Hook:
    value = get_args(of)[1]

    def structure(place: Cursor, _: Any) -> dict[Any, Any]:
        return _all(place.entries(), converter.get_structure_hook(value), value)

    return structure


def _all(places: Mapping[Any, Cursor], hook: Hook, of: Any) -> dict[Any, Any]:
    """Every value structured; raises `Refused` after all were tried."""
    values = {}
    for key, place in places.items():
        try:
            values[key] = hook(place, of)
        except Refused:
            continue
    if len(values) < len(places):
        raise Refused
    return values


def _union(of: Any, converter: BaseConverter) -> Hook:
    """What stands there picks the alternative: null, a list, a mapping, or the first type that takes the scalar."""
    arguments = get_args(of)
    alternatives = [one for one in arguments if one is not NoneType]
    classes = [one for one in alternatives if attrs.has(one)]
    mappings = [one for one in alternatives if get_origin(one) in MAPPINGS]
    lists = [one for one in alternatives if get_origin(one) is tuple]
    scalars = [one for one in alternatives if one not in (*classes, *mappings, *lists)]

    def structure(place: Cursor, of: Any) -> Any:
        if len(alternatives) < len(arguments) and place.null:
            return None
        choice: Any = None
        if len(alternatives) == 1:
            choice = alternatives[0]
        elif isinstance(place.node, MappingNode) and (classes or mappings):
            keys = set(place.node.entries)
            fitting = sorted(classes, key=lambda one: -len(keys & {field.name for field in attrs.fields(one)}))
            choice = (fitting or mappings)[0]
        elif isinstance(place.node, Sequence) and lists:
            choice = lists[0]
        elif isinstance(place.node, Scalar) and not place.null:
            choice = _fitting(place, scalars)
        if choice is None:
            given = place.node.text if isinstance(place.node, Scalar) else ""
            words = [str(word) for one in scalars if get_origin(one) is Literal for word in get_args(one)]
            hint = did_you_mean(given, words, "valid") if words and given else place.example(place.reading.describe(of))
            place.refuse(f"expected {place.reading.describe(of)}, got {place.given}", hint)
        return converter.get_structure_hook(choice)(place, choice)

    return structure


def _fitting(place: Cursor, types: list[Any]) -> Any:
    """The first of several types that takes a scalar; if it is the only one, it says itself what is wrong."""
    if len(types) == 1 and get_origin(types[0]) is not Literal:
        return types[0]
    for one in sorted(types, key=lambda one: one is str):
        trial = place.reading.trial()
        try:
            trial.structure(place.moved(trial), one)
        except Refused:
            continue
        return one
    return None


def _free(place: Cursor, _: Any) -> Any:
    """Any value by YAML 1.2's core schema; what is quoted, or has `${...}` in it, is text."""
    node, reading = place.node, place.reading
    if isinstance(node, Sequence):
        return tuple(_all({item.key: item for item in place.items()}, _free, Any).values())
    if isinstance(node, MappingNode):
        return _all(place.entries(), _free, Any)
    text = reading.text(place, node)
    if not node.plain or not reading.literal(node):
        return text
    try:
        value = free(text)
    except ValueError:
        place.refuse(f"expected a shorter number, got {place.given}", "quotes make text of it")
    if isinstance(value, float) and not isfinite(value):
        # JSON has no such number for a provider; and NaN differs from itself, so that each reload would find a change.
        place.refuse(f"expected a number that is finite, got {place.given}", "quotes make text of it")
    return value


def _attrs(of: Any, converter: BaseConverter) -> Hook:
    """For an attrs class: keys are fields, and validators speak at the place of their field's value."""
    attrs.resolve_types(of)
    fields = {field.name: field for field in attrs.fields(of) if field.init}
    secret: dict[str, bool] = {}

    def structure(place: Cursor, _: Any) -> Any:
        places = place.entries()
        whole = _keys_fit(place, of, places, fields)
        values: dict[str, Any] = {}
        for key, child in places.items():
            if (field := fields.get(key)) is None:
                continue
            child.default, child.field = field.default, (of, key)
            if key not in secret:
                secret[key] = place.reading.hides(field.type)
            if secret[key]:
                child.conceal()
            try:
                values[key] = converter.get_structure_hook(field.type)(child, field.type)
            except Refused:
                whole &= field.default is not attrs.NOTHING and place.reading.unknown(child)
        if not whole:
            _judge(of, values, places)
            raise Refused
        return _instance(place, of, values, places)

    return structure


def _instance(place: Cursor, of: Any, values: Mapping[str, Any], places: Mapping[str, Cursor]) -> Any:
    """The instance that these values make; validators say nothing of those that stand for what is not at hand."""
    arguments = {field.alias: values[field.name] for field in attrs.fields(of) if field.name in values}
    try:
        return of(**arguments)
    except (TypeError, ValueError) as error:
        if _judge(of, values, places):
            raise Refused from None
        if not any(place.reading.unknown(places[key]) for key in values):
            place.report(str(error), where=place.head)
            raise Refused from None
    try:
        with attrs.validators.disabled():
            return of(**arguments)
    except (TypeError, ValueError):
        raise Refused from None


def _keys_fit(place: Cursor, of: Any, places: Mapping[str, Cursor], fields: Mapping[str, Any]) -> bool:
    """Reports unknown and missing keys; a misspelt one is not missing as well, for one mistake is one error."""
    unknown = [key for key in places if key not in fields]
    missing = [name for name, field in fields.items() if field.default is attrs.NOTHING and name not in places]
    for key in unknown:
        free = tuple(name for name in fields if name not in places)
        guess = likely(key, free)
        if guess in missing:
            missing.remove(guess)
        child = places[key]
        meant = guess or likely(key, tuple(fields))
        if any(place.reading.hides(fields[name].type) for name in ((meant,) if meant else free)):
            child.conceal()
        hint = did_you_mean(key, fields, place.noun, guess)
        child.report(f"unknown key {shown(key)}", hint, where=child.location(child.key_node or child.node))
    for name in missing if place.sound else ():
        kind = fields[name].type
        _, said = place.reading.about(of, name)
        sample = place.sample(name, kind)
        hint = f"add `{name}: {sample}`" if sample else f"add `{name}:` with {place.reading.describe(kind)}"
        hint += f": {said}" if said and (kind in _SCALARS or sample) else ""  # else the kind says it
        place.report("is required, but missing", hint, where=place.head, key=name)
    return not unknown and not missing


def _judge(of: Any, values: Mapping[str, Any], places: Mapping[str, Cursor]) -> bool:
    """Reports what converters and validators have against the values, and says whether they have anything."""
    instance = of.__new__(of)
    for name, value in values.items():
        object.__setattr__(instance, name, value)
    found = False
    for field in attrs.fields(of):
        if field.name not in values or places[field.name].reading.unknown(places[field.name]):
            continue
        if error := _complaint(field, instance, values[field.name]):
            found = True
            place, message = places[field.name], _in_words(error, values[field.name])
            if isinstance(place.node, Scalar):
                if not place.showable and str(values[field.name]):
                    message = message.replace(str(values[field.name]), place.given)
                message += f", got {place.given}"
            place.report(message, place.example("another value", message))
    return found


def _complaint(field: Any, instance: Any, value: Any) -> Exception | None:
    try:
        if field.converter is not None:
            value = field.converter(value)
        if field.validator is not None:
            field.validator(instance, field, value)
    except AttributeError:  # it compares with a field that has no value
        return None
    except (TypeError, ValueError) as error:
        return error
    return None


def _in_words(error: Exception, value: Any) -> str:
    """A validator's complaint without the field's name, which is in the path."""
    message = str(error.args[0]) if error.args else "is not valid"
    if bound := _BOUND.match(message):
        if bound["length"] and (bound["sign"], bound["bound"]) == (">=", "1"):
            return "must not be empty"
        limit = f"{_SIGNS[bound['sign']]} {bound['bound']}"
        unit = "characters" if isinstance(value, str) else "entries"
        return f"must have {limit} {unit}" if bound["length"] else f"must be {limit}"
    if len(error.args) == 4:  # attrs' in_ and matches_re: message, attribute, options or pattern, value
        options = error.args[2]
        return (
            f"must match {options.pattern}"
            if isinstance(options, re.Pattern)
            else f"must be one of {among(map(str, options))}"
        )
    return message


def converter_with(hooks: Mapping[Any, Hook]) -> BaseConverter:
    """A converter for `Context.converter`: that of plain documents, with hooks for these classes besides."""
    converter = BaseConverter()
    factories: list[tuple[Callable[[Any], bool], Callable[[Any, BaseConverter], Hook]]] = [
        (lambda _of: True, _unsupported),
        (attrs.has, _attrs),
        (lambda of: get_origin(of) in MAPPINGS, _mapping),
        (lambda of: get_origin(of) is tuple, _tuple),
        (lambda of: get_origin(of) in UNIONS, _union),
        (lambda of: get_origin(of) is Literal, literal_hook),
    ]
    register: Any = converter.register_structure_hook_factory  # typed for plain data, not for places
    for takes, factory in factories:
        register(takes, factory)
    converter.register_structure_hook_func(_is_any, _free)
    scalars: dict[Any, Hook] = {str: text_hook, int: int_hook, float: float_hook, bool: bool_hook}
    for of, hook in (scalars | dict(hooks)).items():
        converter.register_structure_hook(of, hook)
    return converter


def _unsupported(of: Any, _: BaseConverter) -> Hook:
    raise TypeError(f"a field of a YAML document can't be {of}: the docstring of voicepipe.documents says what can")


def _is_any(of: Any) -> bool:
    return of is Any
