"""Resolves references, the values of `stt:`, `llm:` and `tts:`, to adapters with their options."""

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
from voicepipe.config.identity import identity, sha256_of, written_fields
from voicepipe.config.reading import ConfigContext
from voicepipe.config.resolved import Resolved, ResolvedReference
from voicepipe.config.settings import ComponentSettings
from voicepipe.documents import Cursor, Refused, among, did_you_mean, likely, path_of, shown
from voicepipe.documents.nodes import MappingNode, ScalarNode, SequenceNode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from voicepipe.components.registry import Registry
    from voicepipe.config.files import Files
    from voicepipe.documents.source import Source
    from voicepipe.errors import Problem

REFERENCE = "a component, an adapter, a mapping with `type:`, or a list of those"

MAX_ALTERNATIVES = 100
MAX_TRAIL = 30
"""The depth of components that refer to components; enough in practice, and a bound for nested lists."""


@frozen
class _Leaf:
    """One alternative of a reference: the name of an adapter, and its options."""

    cursor: Cursor
    adapter: str
    name: str
    items: tuple[Cursor, ...] = ()
    """The list items that led to it, the outermost first."""


@frozen
class _Way:
    """The path on which a reference was reached."""

    role: Role | None
    """The role that the reference is used in; None if it is not known."""
    trail: tuple[str, ...] = ()
    """The components that led here."""
    name: str = ""
    """The component whose definition this is, if it is one."""


class SetContext(ConfigContext):
    """The context of a pipeline set's file: its adapters, tools and components, and what was made of them so far.

    A component that a thousand pipelines use is followed, read and checked once: the caches are keyed by all that the
    result depends on, and trials share them.
    """

    def __init__(
        self,
        source: Source,
        *,
        registry: Registry,
        environ: Mapping[str, str],
        files: Files,
        tools: tuple[str, ...],
        allow_missing: bool = False,
    ) -> None:
        super().__init__(source, environ=environ, files=files, allow_missing=allow_missing)
        self.registry, self.tools = registry, tools
        self.components: dict[str, Cursor] = {}
        self.used: set[str] = set()
        self.leaves: dict[tuple[Role | None, str], list[_Leaf]] = {}
        self.resolved: dict[tuple[Any, ...], Resolved | None] = {}
        self.checked: dict[str, tuple[Problem, ...]] = {}
        self.not_installed: dict[tuple[Role, str], tuple[Problem, ...]] = {}

    def clear(self) -> None:
        """Drops all cursors: they refer to this context and it to them, which only the garbage collector would free."""
        self.components.clear()
        self.leaves.clear()
        self.resolved.clear()


def set_context(cursor: Cursor) -> SetContext:
    """Returns the context of a cursor; raises `TypeError` for a document that is not a pipeline set."""
    if not isinstance(cursor.context, SetContext):
        raise TypeError("references and tools are for pipeline sets, not for other documents")
    return cursor.context


class _Options(Cursor):
    """The options of a component, from its reference and from the pipeline's `options`."""

    def __init__(self, leaf: _Leaf, layer: Cursor | None) -> None:
        cursor = leaf.cursor
        super().__init__(cursor.context, cursor.node, cursor.parent, cursor.key, cursor.key_node)
        own = cursor.entries() if isinstance(cursor.node, MappingNode) else {}
        own.pop("type", None)
        self._entries = own | (layer.entries() if layer else {})
        self.noun = f"options of {leaf.adapter}"
        self._adapter = leaf.adapter

    def sample(self, name: str, of: Any) -> str:
        """A secret is usually a variable with the adapter's name."""
        variable = re.sub(r"[^A-Z0-9]", "_", f"{self._adapter}_{name}".upper())
        return f'"${{{variable}}}"' if of is Secret else ""

    def entries(self) -> dict[str, Cursor]:
        """Returns the options by name, each with its own location."""
        return self._entries


def read_reference(cursor: Cursor, _: Any) -> ResolvedReference:
    """Returns the components of a pipeline's reference, with the pipeline's `options` for the role applied."""
    role = next(role for role in ROLES if role == cursor.key)
    return resolve(cursor, role, _layer(cursor, role))


def resolve(cursor: Cursor, role: Role, layer: Cursor | None = None) -> ResolvedReference:
    """Returns all alternatives that a reference leads to; opens none.

    Raises:
        Refused: at least one is wrong; every problem of all of them was reported.

    """
    context = set_context(cursor)
    leaves = _limited(cursor, _leaves(cursor, _Way(role)))
    if layer and any(leaf.items for leaf in leaves):
        hint = f"put them into the entries of the list: `- {{type: {leaves[0].adapter}, ...}}`"
        layer.refuse("options can't be applied to a list of alternatives", hint, where=layer.head)
    read = [_component(context, leaf, role, layer) for leaf in leaves]
    components = tuple(component for component in read if component)
    if len(components) < len(read) or not read:
        raise Refused
    _check_repeated(context, leaves, components)
    return ResolvedReference(components)


def _check_repeated(context: SetContext, leaves: list[_Leaf], components: tuple[Resolved, ...]) -> None:
    """Reports alternatives that are the same component as an earlier one."""
    first: dict[str, _Leaf] = {}
    for leaf, component in zip(leaves, components, strict=True):
        before = first.setdefault(component.settings.key, leaf)
        if before is leaf:
            continue
        pairs = zip(leaf.items, before.items, strict=False)
        at, earlier = next(pair for pair in pairs if pair[0].key != pair[1].key)
        message = f"{shown(leaf.name)} is the same component as {path_of(earlier.keys)}, with the same options"
        at.within(context).report(
            message, "remove one of the two: a failover list must not contain the same component twice"
        )


def check_components(context: SetContext) -> None:
    """Reports components named like an adapter, and the problems of components that no pipeline uses."""
    for name, cursor in context.components.items():
        if name in context.registry.names():
            where = cursor.key_where
            cursor.report(
                f"{shown(name)} is the name of an adapter", f"choose another name, such as my_{name}", where=where
            )
    for name, cursor in context.components.items():
        if name not in context.used:
            _fits_some_role(context, name, cursor)


def _fits_some_role(context: SetContext, name: str, cursor: Cursor) -> None:
    """Reports an unused component that would be wrong in any role, for the role that it comes nearest to."""
    trials: list[tuple[bool, int, SetContext]] = []
    for role in ROLES:
        trial = context.trial()
        leaves = _limited(cursor.within(trial), _leaves(cursor.within(trial), _Way(role, (name,), name)))
        components = tuple(component for leaf in leaves if (component := _component(trial, leaf, role, None)))
        if len(components) == len(leaves):
            _check_repeated(trial, leaves, components)
        if not trial.problems:
            return
        trials.append((not leaves, len(trial.problems), trial))
    any_role = context.trial()
    list(_leaves(cursor.within(any_role), _Way(None, (name,), name)))
    no_leaves, _, nearest = min(trials, key=itemgetter(0, 1))
    for problem in (any_role if no_leaves and any_role.problems else nearest).problems:
        context.report(problem)


def _layer(cursor: Cursor, role: Role) -> Cursor | None:
    """The pipeline's `options.<role>`, if it is a mapping; its own reader reports anything else."""
    pipeline = cursor.parent
    if pipeline is None or not isinstance(pipeline.node, MappingNode):
        return None
    options = pipeline.entries().get("options")
    if options is None or not isinstance(options.node, MappingNode):
        return None
    layer = options.entries().get(role)
    return layer if layer and isinstance(layer.node, MappingNode) else None


def _leaves(cursor: Cursor, way: _Way) -> Iterator[_Leaf]:
    """Yields the alternatives of a reference in order; reports and leaves out those that can't be followed."""
    try:
        match cursor.node:
            case SequenceNode():
                if not cursor.node.items:
                    cursor.refuse("the list is empty", "name at least one component or adapter")
                for item in cursor.items():
                    for leaf in _leaves(item, attrs.evolve(way, name="")):
                        yield attrs.evolve(leaf, items=(item, *leaf.items))
            case MappingNode():
                yield _inline(cursor, way)
            case ScalarNode():
                yield from _named(cursor, way)
    except Refused:
        return


def _inline(cursor: Cursor, way: _Way) -> _Leaf:
    """A mapping with `type:`."""
    kind = cursor.entries().get("type")
    if kind is None:
        if not cursor.sound:
            raise Refused
        for name, at in cursor.entries().items():
            if likely(name, ("type",)):
                where = at.key_where
                cursor.report(f"unknown key {shown(name)}", 'did you mean "type"?', where=where, key=name)
                raise Refused
        hint = f"{way.role or 'known'} adapters: {among(set_context(cursor).registry.names(way.role))}"
        cursor.report("is required, but missing", hint, where=cursor.head, key="type")
        raise Refused
    adapter = str(kind.text("an adapter's name"))
    _check_adapter(kind, way.role, adapter)
    return _Leaf(cursor, adapter, way.name or adapter)


def _named(cursor: Cursor, way: _Way) -> Iterator[_Leaf]:
    """A component's name, or else an adapter's."""
    context = set_context(cursor)
    target = str(cursor.text(REFERENCE))
    if target not in context.components:
        _check_adapter(cursor, way.role, target, or_component=True)
        yield _Leaf(cursor, target, way.name or target)
        return
    context.used.add(target)
    if len(way.trail) == MAX_TRAIL:
        cursor.refuse(f"more than {MAX_TRAIL} components refer to one another", "refer to an adapter directly")
    if target in way.trail:
        circle = " -> ".join((*way.trail[way.trail.index(target) :], target))
        cursor.refuse(f"circular reference: {circle}", "make one of them refer to an adapter")
    flattened = way.role, target
    if flattened not in context.leaves:
        definition = context.components[target].within(context)
        on = attrs.evolve(way, trail=(*way.trail, target), name=target)
        context.leaves[flattened] = _limited(definition, _leaves(definition, on))
    yield from context.leaves[flattened]


def _limited(cursor: Cursor, leaves: Iterator[_Leaf]) -> list[_Leaf]:
    """Returns the alternatives, at most `MAX_ALTERNATIVES`: nested lists could multiply without end."""
    found = list(islice(leaves, MAX_ALTERNATIVES + 1))
    if len(found) > MAX_ALTERNATIVES:
        cursor.report(
            f"more than {MAX_ALTERNATIVES} alternatives, with those of all components in the list",
            "two or three are usual",
            where=cursor.head,
        )
        return []
    return found


def _check_adapter(cursor: Cursor, role: Role | None, name: str, *, or_component: bool = False) -> None:
    """Refuses a name that no adapter of the role has."""
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


def _component(context: SetContext, leaf: _Leaf, role: Role, layer: Cursor | None) -> Resolved | None:
    """Returns the component of a leaf with its options; None if they were refused."""
    cached = (role, id(leaf.cursor.node), leaf.name, leaf.adapter, id(layer.node) if layer else 0)
    if cached not in context.resolved:
        try:
            context.resolved[cached] = _structured(context, leaf, role, layer)
        except Refused:
            context.resolved[cached] = None
    return context.resolved[cached]


def _structured(context: SetContext, leaf: _Leaf, role: Role, layer: Cursor | None) -> Resolved:
    adapter = context.registry.get(role, leaf.adapter)
    if adapter is None:
        raise Refused
    cursor = _Options(leaf, layer)
    missing = context.not_installed.get((role, leaf.adapter))
    if missing is None:
        missing = context.not_installed[role, leaf.adapter] = tuple(check_installed(adapter))
    for problem in missing:
        context.report(placed(problem, cursor, None))
    options = cursor.read(adapter.options)
    key = sha256_of({"adapter": leaf.adapter, "role": role, "options": identity(options)})
    if key not in context.checked:
        context.checked[key] = tuple(check(adapter, options, context.secrets))
    for problem in context.checked[key]:
        context.report(placed(problem, cursor, options))
    if context.checked[key] or missing:
        raise Refused
    nodes = {name: at.node for name, at in cursor.entries().items()}
    normal = {"name": leaf.name, "adapter": leaf.adapter, "options": written_fields(options, nodes)}
    settings = ComponentSettings(
        role=role,
        adapter=leaf.adapter,
        options=options,
        name=leaf.name,
        where=cursor.where,
        path=path_of(cursor.keys),
        key=key,
        model=label_of(adapter, options, context.secrets),
        secrets=context.secrets,
    )
    return Resolved(settings, normal, cursor)
