"""Warns of prices that no component has, and of components that have no price: a typing mistake in a name does both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voicepipe.components.labels import ROLES
from voicepipe.config.patterns import matches
from voicepipe.documents import did_you_mean, items_of
from voicepipe.documents.suggestions import path_of
from voicepipe.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from voicepipe.config.price_settings import PricesSettings
    from voicepipe.config.settings import PipelineSettings
    from voicepipe.documents import Cursor


def price_warnings(
    prices: PricesSettings | None, cursor: Cursor | None, pipelines: Iterable[PipelineSettings]
) -> Iterator[Problem]:
    """Yields a warning for each price that is never used, and for each component whose cost is not known.

    Args:
        prices: the section `prices`.
        cursor: the section in the document.
        pipelines: the pipelines of the file.

    """
    if prices is None or cursor is None:
        return
    components = {
        (component.adapter, component.model or ""): component
        for pipeline in pipelines
        for role in ROLES
        for component in pipeline.role(role)
    }
    used = [prices.item_for(*key) for key in components]
    adapters = sorted({adapter for adapter, _ in components})
    for item, place in zip(prices.items, items_of(cursor.entries().get("items")), strict=False):
        if any(item is other for other in used):
            continue
        models = sorted({model for adapter, model in components if adapter == item.adapter and model})
        key = "model" if item.adapter in adapters else "adapter"
        at = place.entries().get(key, place)
        taken = any(adapter == item.adapter and matches(item.model, model) for adapter, model in components)
        if taken:
            message, hint = "an earlier item has the price of every component that this one is for", "move it up"
        elif key == "adapter":
            message = "no pipeline has a component of this adapter"
            hint = did_you_mean(item.adapter, adapters, "adapters in this file")
        else:
            message = "no pipeline has a component of this model"
            hint = did_you_mean(item.model, models, "models in this file") if models else "leave `model` out"
        yield Problem(at.where, path_of(at.keys), message, hint)
    for (adapter, model), component in components.items():
        if prices.item_for(adapter, model) is None:
            name = f"{adapter} {model}".strip()
            hint = f"add an item with `adapter: {adapter}`; with `free: true`, if it costs nothing"
            yield Problem(component.where, component.path, f"prices has no item for {name}: costs are incomplete", hint)
