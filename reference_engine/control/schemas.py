"""Makes JSON Schema of attrs classes, for the control's OpenAPI document.

The SDK's maker of schemas is not used here. It describes configurations, which people write: text in place of numbers,
`${...}`, keys that may be left out. These schemas describe exactly what a program has written.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from itertools import pairwise
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

from attrs import NOTHING, asdict, fields, has

from reference_engine.reports.json_types import Keywords, LeftOut

if TYPE_CHECKING:
    from collections.abc import Sequence

Schema: TypeAlias = dict[str, Any]

_TYPES: Mapping[Any, str] = {str: "string", datetime: "string", int: "integer", float: "number", bool: "boolean"}
_UNIONS = frozenset({Union, UnionType})


class NamedSchemas:
    """Schemas of types; types with a name are referred to by it.

    Args:
        named: the types with names in the document: attrs classes, and unions of them.

    """

    def __init__(self, named: Mapping[str, Any]) -> None:
        self._named = named

    def components(self) -> dict[str, Schema]:
        """Returns the schemas of all named types, by name."""
        return {name: self._define(kind) for name, kind in self._named.items()}

    def of(self, kind: Any) -> Schema:
        """Returns the schema of a type; a reference if the type has a name.

        Raises:
            TypeError: the type has no form in JSON.

        """
        for name, named in self._named.items():
            if kind == named:
                return _reference(name)
        return self._define(kind)

    def _define(self, kind: Any) -> Schema:
        origin, inside = get_origin(kind), get_args(kind)
        if kind in _TYPES:
            schema: Schema = {"type": _TYPES[kind]}
        elif origin is Annotated:
            schema = self._define(inside[0]) | _keywords(inside[1:])
        elif origin is Literal:
            schema = {"const": inside[0]} if len(inside) == 1 else {"type": "string", "enum": list(inside)}
        elif origin is tuple:
            schema = {"type": "array", "items": self.of(inside[0])}
        elif origin is Mapping:
            schema = {"type": "object"}
        elif origin in _UNIONS:
            schema = self._union(inside)
        elif has(kind):
            schema = self._object(kind)
        else:
            raise TypeError(f"{kind} has no form in JSON")
        return schema

    def _object(self, cls: type) -> Schema:
        types, docs = get_type_hints(cls, include_extras=True), docs_of_fields(cls)
        properties, required = {}, []
        for field in fields(cls):
            properties[field.name] = self.of(types[field.name]) | {"description": docs[field.name]}
            if field.default is NOTHING:
                required.append(field.name)
        return {
            "type": "object",
            "description": inspect.getdoc(cls),
            "properties": properties,
            "required": required,
            "additionalProperties": False,
        }

    def _union(self, kinds: Sequence[Any]) -> Schema:
        schemas = [self.of(kind) for kind in self._regrouped(kinds) if kind not in {NoneType, LeftOut}]
        if NoneType not in kinds:
            return schemas[0] if len(schemas) == 1 else {"oneOf": schemas}
        if len(schemas) == 1 and schemas[0].keys() == {"type"}:
            return {"type": [schemas[0]["type"], "null"]}
        return {"oneOf": [*schemas, {"type": "null"}]}

    def _regrouped(self, kinds: Sequence[Any]) -> list[Any]:
        """Returns the alternatives of a union, with a named union among them restored: Python flattens unions."""
        for named in self._named.values():
            parts = set(get_args(named)) if get_origin(named) in _UNIONS else set()
            if parts and parts < set(kinds):
                return [named, *(kind for kind in kinds if kind not in parts)]
        return list(kinds)


def _reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _keywords(notes: Sequence[Any]) -> Schema:
    (keywords,) = (note for note in notes if isinstance(note, Keywords))
    return asdict(keywords, filter=lambda _field, value: value is not None)


def docs_of_fields(cls: type) -> dict[str, str]:
    """Returns the docstrings below the fields of a class and its bases, by field, each in one line, from the source."""
    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__[:-1]):
        docs |= _docs_of_module(base.__module__).get(base.__qualname__, {})
    return docs


@cache
def _docs_of_module(module: str) -> Mapping[str, Mapping[str, str]]:
    """The docstrings of fields by class, for all classes at the top of a module.

    A module is parsed once: `inspect.getsource` of a class parses the whole module for each class, which took an engine
    a fifth of a second at each start.
    """
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {each.name: _docs_in(each) for each in tree.body if isinstance(each, ast.ClassDef)}


def _docs_in(definition: ast.ClassDef) -> dict[str, str]:
    docs = {}
    for field, below in pairwise(definition.body):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                docs[name] = " ".join(text.split())
    return docs
