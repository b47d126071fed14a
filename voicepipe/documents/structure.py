"""Readers of attrs classes, lists, mappings, unions and free-form values; `reading.py` explains how they work together.

The type decides what a scalar is: text stays as typed, numbers are plain decimal numbers, only `true` and `false` are
booleans. Free-form values (`Any`) use YAML 1.2's core schema.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from math import isfinite
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import attrs
from cattrs import BaseConverter

from voicepipe.documents.nodes import MappingNode, ScalarNode, SequenceNode
from voicepipe.documents.reading import UNIONS, Cursor, Refused
from voicepipe.documents.scalars import (
    Reader,
    core_schema_value,
    literal_reader,
    read_bool,
    read_float,
    read_int,
    read_string,
)
from voicepipe.documents.suggestions import among, did_you_mean, likely, shown

MAPPINGS: frozenset[Any] = frozenset({Mapping, dict})

_SCALARS = frozenset({str, int, float, bool})
_BOUND = re.compile(r"(?P<length>Length of )?'\w+' must be (?P<sign>>=|<=|>|<) (?P<bound>.*?): ")
_SIGNS = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}


def _tuple_reader(of: Any) -> Reader:
    element, *rest = get_args(of)
    if rest != [...]:
        raise TypeError(f"lists are tuple[T, ...], not {of}")

    def read_tuple(cursor: Cursor, _: Any) -> tuple[Any, ...]:
        return tuple(_read_all({item.key: item for item in cursor.items()}, element).values())

    return read_tuple


def _mapping_reader(of: Any) -> Reader:
    value = get_args(of)[1]

    def read_mapping(cursor: Cursor, _: Any) -> dict[Any, Any]:
        return _read_all(cursor.entries(), value)

    return read_mapping


def _read_all(cursors: Mapping[Any, Cursor], of: Any) -> dict[Any, Any]:
    """Returns every value read; raises `Refused` once all were tried, if any was refused."""
    values = {}
    for key, cursor in cursors.items():
        try:
            values[key] = cursor.read(of)
        except Refused:
            continue
    if len(values) < len(cursors):
        raise Refused
    return values


def _union_reader(of: Any) -> Reader:
    """Makes the reader of a union: the kind of node picks the alternative, and a trial tells scalar types apart."""
    arguments = get_args(of)
    alternatives = [alternative for alternative in arguments if alternative is not NoneType]
    classes = [alternative for alternative in alternatives if attrs.has(alternative)]
    mappings = [alternative for alternative in alternatives if get_origin(alternative) in MAPPINGS]
    lists = [alternative for alternative in alternatives if get_origin(alternative) is tuple]
    scalars = [alternative for alternative in alternatives if alternative not in (*classes, *mappings, *lists)]
    words = [str(word) for scalar in scalars if get_origin(scalar) is Literal for word in get_args(scalar)]

    def read_alternative(cursor: Cursor, of: Any) -> Any:
        if len(alternatives) < len(arguments) and cursor.null:
            return None
        choice: Any = None
        if len(alternatives) == 1:
            choice = alternatives[0]
        elif isinstance(cursor.node, MappingNode) and (classes or mappings):
            keys = set(cursor.node.entries)
            # The class with most of these keys is meant, so its messages are the ones that help.
            by_likeness = sorted(classes, key=lambda cls: -len(keys & {field.name for field in attrs.fields(cls)}))
            choice = (by_likeness or mappings)[0]
        elif isinstance(cursor.node, SequenceNode) and lists:
            choice = lists[0]
        elif isinstance(cursor.node, ScalarNode) and not cursor.null:
            choice = _scalar_type(cursor, scalars)
        if choice is None:
            given = cursor.node.text if isinstance(cursor.node, ScalarNode) else ""
            expected = cursor.context.describe(of)
            hint = did_you_mean(given, words, "valid") if words and given else cursor.example(expected)
            cursor.refuse(f"expected {expected}, got {cursor.given}", hint)
        return cursor.read(choice)

    return read_alternative


def _scalar_type(cursor: Cursor, types: list[Any]) -> Any:
    """Returns the first of several types that a scalar can be read as, `str` last; None if there is none."""
    if len(types) == 1 and get_origin(types[0]) is not Literal:
        return types[0]  # its own message is better than that of the union
    for scalar_type in sorted(types, key=lambda scalar_type: scalar_type is str):
        try:
            cursor.trial().read(scalar_type)
        except Refused:
            continue
        return scalar_type
    return None


def _read_any(cursor: Cursor, _: Any) -> Any:
    """Returns a value by YAML 1.2's core schema; quoted scalars, and those with `${...}`, are text."""
    node, context = cursor.node, cursor.context
    if isinstance(node, SequenceNode):
        return tuple(_read_all({item.key: item for item in cursor.items()}, Any).values())
    if isinstance(node, MappingNode):
        return _read_all(cursor.entries(), Any)
    text = context.resolve(cursor, node)
    if not node.plain or not context.is_literal(node):
        return text
    try:
        value = core_schema_value(text)
    except ValueError:
        cursor.refuse(f"expected a shorter number, got {cursor.given}", "put it into quotes if it is text")
    if isinstance(value, float) and not isfinite(value):
        # JSON has no such number for a provider; and NaN differs from itself, so every reload would find a change.
        cursor.refuse(f"expected a finite number, got {cursor.given}", "put it into quotes if it is text")
    return value


def _class_reader(of: Any) -> Reader:
    """Makes the reader of an attrs class: keys are fields, and each validator's error is placed at its value."""
    attrs.resolve_types(of)
    fields = {field.name: field for field in attrs.fields(of) if field.init}
    secret: dict[str, bool] = {}

    def read_class(cursor: Cursor, _: Any) -> Any:
        cursors = cursor.entries()
        whole = _check_keys(cursor, of, cursors, fields)
        values: dict[str, Any] = {}
        for key, child in cursors.items():
            if (field := fields.get(key)) is None:
                continue
            child.default, child.field = field.default, (of, key)
            if key not in secret:
                secret[key] = cursor.context.is_secret(field.type)
            if secret[key]:
                child.conceal()
            try:
                values[key] = child.read(field.type)
            except Refused:
                whole &= field.default is not attrs.NOTHING and child.unknown
        if not whole:
            _judge(of, values, cursors)
            raise Refused
        return _instance(cursor, of, values, cursors)

    return read_class


def _instance(cursor: Cursor, of: Any, values: Mapping[str, Any], cursors: Mapping[str, Cursor]) -> Any:
    """Returns an instance of the class; validators don't judge values that are not available on this machine."""
    arguments = {field.alias: values[field.name] for field in attrs.fields(of) if field.name in values}
    try:
        return of(**arguments)
    except (TypeError, ValueError) as error:
        if _judge(of, values, cursors):
            raise Refused from None
        if not any(cursors[key].unknown for key in values):
            message, hint = error.args if len(error.args) == 2 else (error, "")  # a class may give a hint as well
            cursor.report(str(message), str(hint), where=cursor.head)
            raise Refused from None
    try:
        with attrs.validators.disabled():
            return of(**arguments)
    except (TypeError, ValueError):
        raise Refused from None


def _check_keys(cursor: Cursor, of: Any, cursors: Mapping[str, Cursor], fields: Mapping[str, Any]) -> bool:
    """Reports unknown and missing keys and returns True if there are none; a misspelt key is not missing as well."""
    unknown = [key for key in cursors if key not in fields]
    missing = [name for name, field in fields.items() if field.default is attrs.NOTHING and name not in cursors]
    for key in unknown:
        free = tuple(name for name in fields if name not in cursors)
        guess = likely(key, free)
        if guess in missing:
            missing.remove(guess)
        child = cursors[key]
        meant = guess or likely(key, tuple(fields))
        if any(cursor.context.is_secret(fields[name].type) for name in ((meant,) if meant else free)):
            child.conceal()
        hint = did_you_mean(key, fields, cursor.noun, guess)
        child.report(f"unknown key {shown(key)}", hint, where=child.key_where)
    for name in missing if cursor.sound else ():
        kind = fields[name].type
        _, sentence = cursor.context.describe_field(of, name)
        sample = cursor.sample(name, kind)
        hint = f"add `{name}: {sample}`" if sample else f"add `{name}:` with {cursor.context.describe(kind)}"
        hint += f": {sentence}" if sentence and (kind in _SCALARS or sample) else ""  # else the kind says it
        cursor.report("is required, but missing", hint, where=cursor.head, key=name)
    return not unknown and not missing


def _judge(of: Any, values: Mapping[str, Any], cursors: Mapping[str, Cursor]) -> bool:
    """Reports every value that its converter or validator rejects; returns True if there is one.

    It works on an object without the values that were refused, so that a problem of one field hides none of another.
    """
    instance = of.__new__(of)
    for name, value in values.items():
        object.__setattr__(instance, name, value)
    rejected = False
    for field in attrs.fields(of):
        if field.name not in values or cursors[field.name].unknown:
            continue
        if error := _validation_error(field, instance, values[field.name]):
            rejected = True
            cursor, message = cursors[field.name], _message_of(error, values[field.name])
            if isinstance(cursor.node, ScalarNode):
                if not cursor.showable and str(values[field.name]):
                    message = message.replace(str(values[field.name]), cursor.given)
                message += f", got {cursor.given}"
            cursor.report(message, cursor.example("another value", message))
    return rejected


def _validation_error(field: Any, instance: Any, value: Any) -> Exception | None:
    try:
        if field.converter is not None:
            value = field.converter(value)
        if field.validator is not None:
            field.validator(instance, field, value)
    except AttributeError:  # the validator compares with a field that was refused
        return None
    except (TypeError, ValueError) as error:
        return error
    return None


def _message_of(error: Exception, value: Any) -> str:
    """Returns a validator's message without the name of the field, which is in the problem's path."""
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


def converter_with(readers: Mapping[Any, Reader]) -> BaseConverter:
    """Returns a converter for `Context.converter`, with the readers of plain documents and those given by type."""
    converter = BaseConverter()
    factories: list[tuple[Callable[[Any], bool], Callable[[Any], Reader]]] = [
        (lambda _of: True, _unsupported),
        (attrs.has, _class_reader),
        (lambda of: get_origin(of) in MAPPINGS, _mapping_reader),
        (lambda of: get_origin(of) is tuple, _tuple_reader),
        (lambda of: get_origin(of) in UNIONS, _union_reader),
        (lambda of: get_origin(of) is Literal, literal_reader),
    ]
    register: Any = converter.register_structure_hook_factory  # typed for plain data, not for cursors
    for takes, factory in factories:
        register(takes, factory)
    converter.register_structure_hook_func(_is_any, _read_any)
    scalars: dict[Any, Reader] = {str: read_string, int: read_int, float: read_float, bool: read_bool}
    for of, reader in (scalars | dict(readers)).items():
        converter.register_structure_hook(of, reader)
    return converter


def _unsupported(of: Any) -> Reader:
    raise TypeError(f"a field of a YAML document can't be {of}: the docstring of voicepipe.documents says what can")


def _is_any(of: Any) -> bool:
    return of is Any
