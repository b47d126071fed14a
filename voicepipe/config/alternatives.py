"""Follows references down to their alternatives; the head of `references.py` explains references."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from voicepipe.components.labels import ROLES, Role
from voicepipe.config.set_context import Alternative, set_context
from voicepipe.documents import Cursor, Refused, among, did_you_mean, likely, shown
from voicepipe.documents.nodes import MappingNode, ScalarNode, SequenceNode

if TYPE_CHECKING:
    from collections.abc import Iterator

REFERENCE = "a component, an adapter, a mapping with `type:`, or a list of those"
"""The noun phrase for a reference, in messages."""

MAX_ALTERNATIVES = 100
"""The most alternatives of a reference, with those of all components in its lists."""

MAX_TRAIL = 30
"""The depth of components that refer to components; enough in practice, and a bound for nested lists."""


@frozen
class Lookup:
    """The state of following a reference: the role, and the components that were followed so far."""

    role: Role | None
    """The role that the reference is used in; None: any."""
    trail: tuple[str, ...] = ()
    """The components on the way here, the first one first."""
    name: str = ""
    """The component whose definition is being read; empty outside of definitions."""


def alternatives_of(cursor: Cursor, lookup: Lookup) -> list[Alternative]:
    """Returns the alternatives of a reference, in order; reports and leaves out those that can't be followed.

    There are at most `MAX_ALTERNATIVES`: nested lists could multiply without end.
    """
    alternatives = list(islice(_followed(cursor, lookup), MAX_ALTERNATIVES + 1))
    if len(alternatives) > MAX_ALTERNATIVES:
        cursor.report(
            f"more than {MAX_ALTERNATIVES} alternatives, with those of all components in the list",
            "two or three are usual",
            where=cursor.head,
        )
        return []
    return alternatives


def _followed(cursor: Cursor, lookup: Lookup) -> Iterator[Alternative]:
    """Yields the alternatives of a reference, depth first, until one can't be followed."""
    try:
        match cursor.node:
            case SequenceNode():
                if not cursor.node.items:
                    cursor.refuse("the list is empty", "name at least one component or adapter")
                for item in cursor.items():
                    for alternative in _followed(item, evolve(lookup, name="")):
                        yield evolve(alternative, items=(item, *alternative.items))
            case MappingNode():
                yield _inline(cursor, lookup)
            case ScalarNode():
                yield from _named(cursor, lookup)
    except Refused:
        return


def _inline(cursor: Cursor, lookup: Lookup) -> Alternative:
    """Returns the alternative of a mapping with `type:`."""
    kind = cursor.entries().get("type")
    if kind is None:
        if not cursor.sound:
            raise Refused
        for name, at in cursor.entries().items():
            if likely(name, ("type",)):
                where = at.key_where
                cursor.report(f"unknown key {shown(name)}", 'did you mean "type"?', where=where, key=name)
                raise Refused
        hint = f"{lookup.role or 'known'} adapters: {among(set_context(cursor).registry.names(lookup.role))}"
        cursor.report("is required, but missing", hint, where=cursor.head, key="type")
        raise Refused
    adapter = str(kind.text("an adapter's name"))
    _check_adapter(kind, lookup.role, adapter)
    return Alternative(cursor, adapter, lookup.name or adapter)


def _named(cursor: Cursor, lookup: Lookup) -> Iterator[Alternative]:
    """Yields the alternatives of a component, or the adapter itself if no component has that name."""
    context = set_context(cursor)
    target = str(cursor.text(REFERENCE))
    if target not in context.components:
        _check_adapter(cursor, lookup.role, target, or_component=True)
        yield Alternative(cursor, target, lookup.name or target)
        return
    context.used.add(target)
    if len(lookup.trail) == MAX_TRAIL:
        cursor.refuse(f"more than {MAX_TRAIL} components refer to one another", "refer to an adapter directly")
    if target in lookup.trail:
        circle = " -> ".join((*lookup.trail[lookup.trail.index(target) :], target))
        cursor.refuse(f"circular reference: {circle}", "make one of them refer to an adapter")
    cached = lookup.role, target
    if cached not in context.alternatives:
        definition = context.components[target].within(context)
        inside = evolve(lookup, trail=(*lookup.trail, target), name=target)
        context.alternatives[cached] = alternatives_of(definition, inside)
    yield from context.alternatives[cached]


def _check_adapter(cursor: Cursor, role: Role | None, name: str, *, or_component: bool = False) -> None:
    """Refuses a name that no adapter of the role has, with the hint that fits the likely mistake."""
    context = set_context(cursor)
    registry = context.registry
    known = registry.names(role)
    if name in known:
        return
    adapter = f"{role} adapter" if role else "adapter"
    for broken in registry.broken:
        if broken.name == name and role in {None, broken.role}:
            cursor.refuse(broken.message, broken.hint)
    if roles := [other for other in ROLES if registry.get(other, name)]:
        hint = f"{adapter}s: {among(known) or 'none'}"
        cursor.refuse(f"{cursor.given} is an adapter for {' and '.join(roles)}, not for {role}", hint)
    if or_component:
        hint = did_you_mean(name, (*context.components, *known), f"components and {adapter}s")
        cursor.refuse(f"there is no component or {adapter} {cursor.given}", hint)
    if name in context.components:
        cursor.refuse(f"{cursor.given} is a component, not an adapter", "write its name alone, without `type:`")
    cursor.refuse(f"there is no {adapter} {cursor.given}", did_you_mean(name, known, f"{adapter}s"))
