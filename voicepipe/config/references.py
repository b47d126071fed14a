"""Resolves references, the values of `stt:`, `llm:` and `tts:`, to components: adapters with their options.

Theory of operation
===================

*References.* A reference is the name of a component or of an adapter, a mapping with `type:`, or a list of those. A
component, under `components:`, is a name for another reference. So names may lead to names, and lists may hold lists:

    components:
      house_voice: {type: elevenlabs, voice: anna}
      voices: [house_voice, espeak]
    pipelines:
      sales:
        tts: voices                     # two alternatives, in failover order: elevenlabs, then espeak
      night:
        tts: house_voice
        options: {tts: {speed: 0.9}}    # laid over the options of the only alternative

*Following.* `alternatives.py` follows a reference, depth first, to its alternatives: each is the name of an adapter and
the cursor of its options. Components that refer to each other in a circle are refused. A depth of `MAX_TRAIL` and a
number of `MAX_ALTERNATIVES` bound what is left, because nested lists multiply.

*Roles.* One definition may mean two things: `type: deepgram` is speech-to-text under `stt:`, and text-to-speech under
`tts:`. So a definition is read when a reference leads to it, in that reference's role, and once for each role. A
component that no reference uses has no role. `check_components` tries it in each, reports nothing if one fits, and
else the problems for the role with the fewest.

*Options.* An alternative's options are its own mapping without `type`, with the pipeline's `options.<role>` laid over
it, key by key. `_Options` is the cursor of that mapping: each entry keeps its own place, so a wrong value is reported
where it was written. A list takes no such layer, because its entries are of different adapters.

*From an alternative to a component* (`_structured`):

1. The adapter's requirements on this machine are checked, such as an installed library.
2. The options are read as the adapter's options class.
3. The key is computed: a digest of role, adapter and options, with the values of secrets and the hashes of files.
   Components with equal keys are one component, for all pipelines, versions and sets.
4. The adapter's own check judges the options, once for each key.
5. The normal form is made, with secrets as they are written. It goes into the digest of the configuration.

A failover list must not contain one key twice: the component that has just failed would be asked again.

*Caches.* A file of 1,000 pipelines names few components, so all results are kept in the `SetContext`. A component that
was refused is kept as None: its problem has been reported, and is not reported for each pipeline that uses it. Trials
share the caches, which is why `check_components` has to come after all pipelines: what a trial was refused, nobody
reads again.

*Problems.* An alternative that is wrong keeps no other from being read: all problems are reported, then `Refused` is
raised.
"""

from __future__ import annotations

import re
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from voicepipe.components.labels import ROLES, Role
from voicepipe.components.values import Secret
from voicepipe.config.alternatives import Lookup, alternatives_of
from voicepipe.config.checks import check, check_installed, label_of, placed
from voicepipe.config.identity import identity, sha256_of, written_fields
from voicepipe.config.resolved import Resolved, ResolvedReference
from voicepipe.config.set_context import set_context
from voicepipe.config.settings import ComponentSettings
from voicepipe.documents import Cursor, Refused, path_of, shown
from voicepipe.documents.nodes import MappingNode

if TYPE_CHECKING:
    from voicepipe.config.set_context import Alternative, SetContext


def read_reference(cursor: Cursor, _: Any) -> ResolvedReference:
    """Returns the components of a pipeline's reference, with the pipeline's `options` for the role applied."""
    role = next(role for role in ROLES if role == cursor.key)
    return resolve(cursor, role, _layer(cursor, role))


def resolve(cursor: Cursor, role: Role, layer: Cursor | None = None) -> ResolvedReference:
    """Returns the components that a reference leads to, in failover order.

    Args:
        cursor: the reference.
        role: the role that it is used in.
        layer: options that are laid over those of its only alternative; None: none.

    Raises:
        Refused: an alternative is wrong; the problems of all of them were reported.

    """
    context = set_context(cursor)
    alternatives = alternatives_of(cursor, Lookup(role))
    if layer and any(alternative.items for alternative in alternatives):
        hint = f"put them into the entries of the list: `- {{type: {alternatives[0].adapter}, ...}}`"
        layer.refuse("options can't be applied to a list of alternatives", hint, where=layer.head)
    read = [_component(context, alternative, role, layer) for alternative in alternatives]
    components = tuple(component for component in read if component)
    if len(components) < len(read) or not read:
        raise Refused
    _check_repeated(context, alternatives, components)
    return ResolvedReference(components)


def _check_repeated(context: SetContext, alternatives: list[Alternative], components: tuple[Resolved, ...]) -> None:
    """Reports alternatives that are the same component as an earlier one."""
    first: dict[str, Alternative] = {}
    for alternative, component in zip(alternatives, components, strict=True):
        before = first.setdefault(component.settings.key, alternative)
        if before is alternative:
            continue
        pairs = zip(alternative.items, before.items, strict=False)
        at, earlier = next(pair for pair in pairs if pair[0].key != pair[1].key)
        message = f"{shown(alternative.name)} is the same component as {path_of(earlier.keys)}, with the same options"
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
        alternatives = alternatives_of(cursor.within(trial), Lookup(role, (name,), name))
        components = tuple(
            component for alternative in alternatives if (component := _component(trial, alternative, role, None))
        )
        if len(components) == len(alternatives):
            _check_repeated(trial, alternatives, components)
        if not trial.problems:
            return
        trials.append((not alternatives, len(trial.problems), trial))
    any_role = context.trial()
    alternatives_of(cursor.within(any_role), Lookup(None, (name,), name))
    no_alternatives, _, nearest = min(trials, key=itemgetter(0, 1))
    for problem in (any_role if no_alternatives and any_role.problems else nearest).problems:
        context.report(problem)


def _layer(cursor: Cursor, role: Role) -> Cursor | None:
    """Returns the pipeline's `options.<role>` if it is a mapping; its own reader reports anything else."""
    pipeline = cursor.parent
    if pipeline is None or not isinstance(pipeline.node, MappingNode):
        return None
    options = pipeline.entries().get("options")
    if options is None or not isinstance(options.node, MappingNode):
        return None
    layer = options.entries().get(role)
    return layer if layer and isinstance(layer.node, MappingNode) else None


def _component(context: SetContext, alternative: Alternative, role: Role, layer: Cursor | None) -> Resolved | None:
    """Returns the component of an alternative with its options; None if they were refused."""
    cached = (role, id(alternative.cursor.node), alternative.name, alternative.adapter, id(layer.node) if layer else 0)
    if cached not in context.resolved:
        try:
            context.resolved[cached] = _structured(context, alternative, role, layer)
        except Refused:
            context.resolved[cached] = None
    return context.resolved[cached]


def _structured(context: SetContext, alternative: Alternative, role: Role, layer: Cursor | None) -> Resolved:
    adapter = context.registry.get(role, alternative.adapter)
    if adapter is None:
        raise Refused
    cursor = _Options(alternative, layer)
    missing = context.not_installed.get((role, alternative.adapter))
    if missing is None:
        missing = context.not_installed[role, alternative.adapter] = tuple(check_installed(adapter))
    for problem in missing:
        context.report(placed(problem, cursor, None))
    options = cursor.read(adapter.options)
    key = sha256_of({"adapter": alternative.adapter, "role": role, "options": identity(options)})
    if key not in context.checked:
        context.checked[key] = tuple(check(adapter, options, context.secrets))
    for problem in context.checked[key]:
        context.report(placed(problem, cursor, options))
    if context.checked[key] or missing:
        raise Refused
    nodes = {name: at.node for name, at in cursor.entries().items()}
    normal = {"name": alternative.name, "adapter": alternative.adapter, "options": written_fields(options, nodes)}
    settings = ComponentSettings(
        role=role,
        adapter=alternative.adapter,
        options=options,
        name=alternative.name,
        where=cursor.where,
        path=path_of(cursor.keys),
        key=key,
        model=label_of(adapter, options, context.secrets),
        secrets=context.secrets,
    )
    return Resolved(settings, normal, cursor)


class _Options(Cursor):
    """The options of a component, from its reference and from the pipeline's `options`."""

    def __init__(self, alternative: Alternative, layer: Cursor | None) -> None:
        cursor = alternative.cursor
        super().__init__(cursor.context, cursor.node, cursor.parent, cursor.key, cursor.key_node)
        own = cursor.entries() if isinstance(cursor.node, MappingNode) else {}
        own.pop("type", None)
        self._entries = own | (layer.entries() if layer else {})
        self.noun = f"options of {alternative.adapter}"
        self._adapter = alternative.adapter

    def sample(self, name: str, of: Any) -> str:
        """Returns `${ADAPTER_OPTION}` for a secret, which is usually an environment variable of such a name."""
        variable = re.sub(r"[^A-Z0-9]", "_", f"{self._adapter}_{name}".upper())
        return f'"${{{variable}}}"' if of is Secret else ""

    def entries(self) -> dict[str, Cursor]:
        """Returns the options by name, each with its own location."""
        return self._entries
