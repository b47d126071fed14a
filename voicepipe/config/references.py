"""References: what stands after `stt:`, `llm:` or `tts:`, led back to adapters with their options."""

from __future__ import annotations

import re
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import attrs
from attrs import frozen

from voicepipe.components.labels import ROLES, Role
from voicepipe.components.values import Secret
from voicepipe.config.checks import check, check_installed, label_of, placed
from voicepipe.config.keys import identity, sha256_of, written_fields
from voicepipe.config.reading import SetContext, set_context
from voicepipe.config.resolved import Alternatives, Resolved
from voicepipe.config.settings import ComponentSettings
from voicepipe.documents import Cursor, Refused, among, did_you_mean, likely, path_of, shown
from voicepipe.documents.nodes import Mapping, Scalar, Sequence

if TYPE_CHECKING:
    from collections.abc import Iterator

REFERENCE = "a component, an adapter, a mapping with `type:`, or a list of those"

MAX_ALTERNATIVES = 100
MAX_TRAIL = 30
"""More than anybody needs, and little enough for lists of lists that are made to explode."""


@frozen
class _Leaf:
    """One alternative of a reference: an adapter's name, and the options that stand with it."""

    place: Cursor
    adapter: str
    name: str
    items: tuple[Cursor, ...] = ()
    """The list items that led to it, the outermost first."""


@frozen
class _Way:
    """How a reference was come to."""

    role: Role | None
    """What it is used as; None if that is not known."""
    trail: tuple[str, ...] = ()
    """The components that led here."""
    name: str = ""
    """The component whose definition this is, if it is one."""


class _Options(Cursor):
    """The options of a component, gathered from its reference and from what is laid over it."""

    def __init__(self, leaf: _Leaf, layer: Cursor | None) -> None:
        place = leaf.place
        super().__init__(place.reading, place.node, place.parent, place.key, place.key_node)
        own = place.entries() if isinstance(place.node, Mapping) else {}
        own.pop("type", None)
        self._entries = own | (layer.entries() if layer else {})
        self.noun = f"options of {leaf.adapter}"
        self._adapter = leaf.adapter

    def sample(self, name: str, of: Any) -> str:
        """A secret is usually a variable with the adapter's name."""
        variable = re.sub(r"[^A-Z0-9]", "_", f"{self._adapter}_{name}".upper())
        return f'"${{{variable}}}"' if of is Secret else ""

    def entries(self) -> dict[str, Cursor]:
        """By name; each knows where it stands itself."""
        return self._entries


def alternatives_hook(place: Cursor, _: Any) -> Alternatives:
    """A pipeline's reference, with the pipeline's options for that role laid over it."""
    role = next(role for role in ROLES if role == place.key)
    return resolve(place, role, _layer(place, role))


def resolve(place: Cursor, role: Role, layer: Cursor | None = None) -> Alternatives:
    """All alternatives that a reference leads to, opened by nobody yet.

    Raises:
        Refused: at least one is wrong; every problem of all of them was reported.

    """
    reading = set_context(place)
    leaves = _limited(place, _leaves(place, _Way(role)))
    if layer and any(leaf.items for leaf in leaves):
        hint = f"put them into the elements of the list: `- {{type: {leaves[0].adapter}, ...}}`"
        layer.refuse("options can't be laid over a list of alternatives", hint, where=layer.head)
    found = [_component(reading, leaf, role, layer) for leaf in leaves]
    components = tuple(one for one in found if one)
    if len(components) < len(found) or not found:
        raise Refused
    _check_repeated(reading, leaves, components)
    return Alternatives(components)


def _check_repeated(reading: SetContext, leaves: list[_Leaf], components: tuple[Resolved, ...]) -> None:
    """Reports alternatives that are the same component as an earlier one."""
    first: dict[str, _Leaf] = {}
    for leaf, component in zip(leaves, components, strict=True):
        before = first.setdefault(component.settings.key, leaf)
        if before is leaf:
            continue
        pairs = zip(leaf.items, before.items, strict=False)
        at, earlier = next(pair for pair in pairs if pair[0].key != pair[1].key)
        message = f"{shown(leaf.name)} is the same component as {path_of(earlier.keys)}, with the same options"
        at.moved(reading).report(message, "remove one of the two: what has just failed is no alternative to itself")


def check_components(reading: SetContext) -> None:
    """Reports components that bear an adapter's name, and what is wrong with those that no pipeline uses."""
    for name, place in reading.components.items():
        if name in reading.registry.names():
            where = place.location(place.key_node or place.node)
            place.report(f"{shown(name)} is an adapter's name", f"choose another, such as my_{name}", where=where)
    for name, place in reading.components.items():
        if name not in reading.used:
            _fits_some_role(reading, name, place)


def _fits_some_role(reading: SetContext, name: str, place: Cursor) -> None:
    """Reports an unused component that would be wrong in any role, for the role that it comes nearest to."""
    trials: list[tuple[bool, int, SetContext]] = []
    for role in ROLES:
        trial = reading.trial()
        leaves = _limited(place.moved(trial), _leaves(place.moved(trial), _Way(role, (name,), name)))
        components = tuple(one for leaf in leaves if (one := _component(trial, leaf, role, None)))
        if len(components) == len(leaves):
            _check_repeated(trial, leaves, components)
        if not trial.problems:
            return
        trials.append((not leaves, len(trial.problems), trial))
    any_role = reading.trial()
    list(_leaves(place.moved(any_role), _Way(None, (name,), name)))
    no_leaves, _, nearest = min(trials, key=itemgetter(0, 1))
    for problem in (any_role if no_leaves and any_role.problems else nearest).problems:
        reading.report(problem)


def _layer(place: Cursor, role: Role) -> Cursor | None:
    """The pipeline's `options.<role>`, if it is a mapping; if not, its own hook says so."""
    pipeline = place.parent
    if pipeline is None or not isinstance(pipeline.node, Mapping):
        return None
    options = pipeline.entries().get("options")
    if options is None or not isinstance(options.node, Mapping):
        return None
    layer = options.entries().get(role)
    return layer if layer and isinstance(layer.node, Mapping) else None


def _leaves(place: Cursor, way: _Way) -> Iterator[_Leaf]:
    """The alternatives of a reference, in order; what can't be followed is reported and left out."""
    try:
        match place.node:
            case Sequence():
                if not place.node.items:
                    place.refuse("the list is empty", "name at least one component or adapter")
                for item in place.items():
                    for leaf in _leaves(item, attrs.evolve(way, name="")):
                        yield attrs.evolve(leaf, items=(item, *leaf.items))
            case Mapping():
                yield _inline(place, way)
            case Scalar():
                yield from _named(place, way)
    except Refused:
        return


def _inline(place: Cursor, way: _Way) -> _Leaf:
    """A mapping with `type:`."""
    kind = place.entries().get("type")
    if kind is None:
        if not place.sound:
            raise Refused
        for name, at in place.entries().items():
            if likely(name, ("type",)):
                where = place.location(at.key_node or at.node)
                place.report(f"unknown key {shown(name)}", 'did you mean "type"?', where=where, key=name)
                raise Refused
        hint = f"{way.role or 'known'} adapters: {among(set_context(place).registry.names(way.role))}"
        place.report("is required, but missing", hint, where=place.head, key="type")
        raise Refused
    adapter = str(kind.text("an adapter's name"))
    _check_adapter(kind, way.role, adapter)
    return _Leaf(place, adapter, way.name or adapter)


def _named(place: Cursor, way: _Way) -> Iterator[_Leaf]:
    """A component's name, or else an adapter's."""
    reading = set_context(place)
    target = str(place.text(REFERENCE))
    if target not in reading.components:
        _check_adapter(place, way.role, target, or_component=True)
        yield _Leaf(place, target, way.name or target)
        return
    reading.used.add(target)
    if len(way.trail) == MAX_TRAIL:
        place.refuse(f"leads through more than {MAX_TRAIL} components", "name an adapter sooner")
    if target in way.trail:
        circle = " -> ".join((*way.trail[way.trail.index(target) :], target))
        place.refuse(f"goes in a circle: {circle}", "let one of them name an adapter")
    flattened = way.role, target
    if flattened not in reading.leaves:
        definition = reading.components[target].moved(reading)
        on = attrs.evolve(way, trail=(*way.trail, target), name=target)
        reading.leaves[flattened] = _limited(definition, _leaves(definition, on))
    yield from reading.leaves[flattened]


def _limited(place: Cursor, leaves: Iterator[_Leaf]) -> list[_Leaf]:
    """So many alternatives as can make sense, so that lists of lists don't explode."""
    found = list(islice(leaves, MAX_ALTERNATIVES + 1))
    if len(found) > MAX_ALTERNATIVES:
        place.report(f"comes to more than {MAX_ALTERNATIVES} alternatives", "two or three are usual", where=place.head)
        return []
    return found


def _check_adapter(place: Cursor, role: Role | None, name: str, *, or_component: bool = False) -> None:
    """Refuses a name that is no adapter's of that role."""
    reading = set_context(place)
    registry = reading.registry
    known = registry.names(role)
    if name in known:
        return
    adapter = f"{role} adapter" if role else "adapter"
    for broken in registry.broken:
        if broken.name == name and role in {None, broken.role}:
            place.refuse(broken.message, broken.hint)
    if roles := [other for other in ROLES if registry.get(other, name)]:
        hint = f"{adapter}s: {among(known) or 'none'}"
        place.refuse(f"{place.given} is an adapter for {' and '.join(roles)}, not for {role}", hint)
    if or_component:
        hint = did_you_mean(name, (*reading.components, *known), f"components and {adapter}s")
        place.refuse(f"there is no component or {adapter} {place.given}", hint)
    if name in reading.components:
        place.refuse(f"{place.given} is a component, not an adapter", "write its name alone, without `type:`")
    place.refuse(f"there is no {adapter} {place.given}", did_you_mean(name, known, f"{adapter}s"))


def _component(reading: SetContext, leaf: _Leaf, role: Role, layer: Cursor | None) -> Resolved | None:
    """A leaf with its options; None if they are wrong, which was reported."""
    cached = (role, id(leaf.place.node), leaf.name, leaf.adapter, id(layer.node) if layer else 0)
    if cached not in reading.resolved:
        try:
            reading.resolved[cached] = _structured(reading, leaf, role, layer)
        except Refused:
            reading.resolved[cached] = None
    return reading.resolved[cached]


def _structured(reading: SetContext, leaf: _Leaf, role: Role, layer: Cursor | None) -> Resolved:
    adapter = reading.registry.get(role, leaf.adapter)
    if adapter is None:
        raise Refused
    place = _Options(leaf, layer)
    lacking = reading.lacking.get((role, leaf.adapter))
    if lacking is None:
        lacking = reading.lacking[role, leaf.adapter] = tuple(check_installed(adapter))
    for problem in lacking:
        reading.report(placed(problem, place, None))
    options = reading.structure(place, adapter.options)
    key = sha256_of({"adapter": leaf.adapter, "role": role, "options": identity(options)})
    if key not in reading.checked:
        reading.checked[key] = tuple(check(adapter, options, reading.secrets))
    for problem in reading.checked[key]:
        reading.report(placed(problem, place, options))
    if reading.checked[key] or lacking:
        raise Refused
    nodes = {name: at.node for name, at in place.entries().items()}
    normal = {"name": leaf.name, "adapter": leaf.adapter, "options": written_fields(options, nodes)}
    settings = ComponentSettings(
        role=role,
        adapter=leaf.adapter,
        options=options,
        name=leaf.name,
        where=place.where,
        path=path_of(place.keys),
        key=key,
        model=label_of(adapter, options, reading.secrets),
        secrets=reading.secrets,
    )
    return Resolved(settings, normal, place)
