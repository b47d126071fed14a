"""What a call's use of components costs, by the prices of its pipeline set. Pure.

Providers charge for what they have counted, so their figures are used where they tell them, and the call's own where
they don't. Of some requests there is neither: a language model whose reply was interrupted never says how many tokens
it took. Then the cost is *at least* the sum of what is known, and is marked so. It is not known if nothing is; it is
never 0 for want of a figure or a price.

Sums are made of decimal fractions, for in binary ones 0.1 has no end, and rounded to a billionth. They leave here as
floats, which are exact to that digit up to a million, and which JSON, databases and spreadsheets have.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from attrs import evolve, frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from voicepipe.calls.usage import ComponentUsage
    from voicepipe.config.price_settings import PriceItem, PricesSettings

_ROUNDED = Decimal("1e-9")


@frozen
class CallCost:
    """What a call costs."""

    amount: float | None = None
    """The sum of what is known; None: nothing is."""
    is_least: bool = False
    """True if it costs more than that."""
    currency: str | None = None
    """The currency; None: there are no prices."""


def with_cost(usage: ComponentUsage, prices: PricesSettings | None) -> ComponentUsage:
    """Returns the use of a component with its cost, as far as it is known."""
    item = None if prices is None else prices.item_for(usage.adapter, usage.model)
    if prices is None or item is None:
        return usage
    known, is_least = [], False
    for amount, is_whole in _amounts(usage, item):
        is_least |= not is_whole
        if amount is not None:
            known.append(amount)
    cost = float(sum(known, Decimal(0)).quantize(_ROUNDED)) if known else None
    return evolve(usage, cost=cost, cost_is_least=is_least and cost is not None, currency=prices.currency)


def cost_of_call(usages: Iterable[ComponentUsage], prices: PricesSettings | None) -> CallCost:
    """Returns the cost of a call, from the use of its components with their costs."""
    if prices is None:
        return CallCost()
    known, is_least = [], False
    for usage in usages:
        is_least |= usage.cost is None or usage.cost_is_least
        if usage.cost is not None:
            known.append(Decimal(str(usage.cost)))
    if not known:
        return CallCost(currency=prices.currency)
    return CallCost(float(sum(known, Decimal(0))), is_least, prices.currency)


def _amounts(usage: ComponentUsage, item: PriceItem) -> Iterator[tuple[Decimal | None, bool]]:
    """Yields what each price of an item comes to, None if that is not known, and whether that is all."""
    if item.free:
        yield Decimal(0), True
    all_told = usage.reported >= usage.requests
    for name, price in item.prices.items():
        of, units = _UNITS[name]
        if not price:
            yield Decimal(0), True
            continue
        charged = getattr(usage, f"charged_{of}" if of in _COUNTED else of)
        counted = getattr(usage, of) if of in _COUNTED else None
        if of == "requests" or (charged is not None and all_told):
            figure, is_whole = charged, True
        elif counted is not None:
            figure, is_whole = max(counted, charged or 0), True
        else:
            figure, is_whole = charged, False
        yield None if figure is None else Decimal(str(figure)) * Decimal(str(price)) / units, is_whole


_COUNTED = ("characters", "audio_s")
"""What the call counts itself, beside what the provider charges for."""

_UNITS = {
    "per_million_input_tokens": ("input_tokens", 1_000_000),
    "per_million_output_tokens": ("output_tokens", 1_000_000),
    "per_million_characters": ("characters", 1_000_000),
    "per_thousand_characters": ("characters", 1000),
    "per_minute": ("audio_s", 60),
    "per_hour": ("audio_s", 3600),
    "per_request": ("requests", 1),
}
"""The figure that each price is of, and how many of it."""
