"""Settings of prices: the section `prices`."""

from __future__ import annotations

from typing import Any

from attrs import field, fields, frozen
from attrs.validators import and_, ge, le, matches_re, min_len, optional

from voicepipe.config.patterns import matches

_MOST = 1_000_000


def _price() -> Any:
    return field(default=None, validator=optional(and_(ge(0), le(_MOST))))


@frozen
class PriceItem:
    """What one provider charges for an adapter's models; a price that is left out is not charged."""

    adapter: str = field(validator=min_len(1))
    """The adapter's name."""
    model: str = field(default="*", validator=min_len(1))
    """The model or voice, as records name it, or a pattern: `*` is any run of characters, `?` any one. By default all,
    also of an adapter that names none."""
    free: bool = False
    """Whether it costs nothing, as what runs on machines of your own; then there are no prices."""
    per_million_input_tokens: float | None = _price()
    """For a million tokens of requests to a language model."""
    per_million_output_tokens: float | None = _price()
    """For a million tokens of its answers."""
    per_million_characters: float | None = _price()
    """For a million characters that are spoken."""
    per_thousand_characters: float | None = _price()
    """For a thousand of them, in place of a million."""
    per_minute: float | None = _price()
    """For a minute of audio that is recognised or spoken."""
    per_hour: float | None = _price()
    """For an hour of it, in place of a minute."""
    per_request: float | None = _price()
    """For each request: a reply, a stream of speech or of audio."""

    def __attrs_post_init__(self) -> None:
        given = self.prices
        if self.free and given:
            raise ValueError("what is `free` has no price", f"remove `free` or `{next(iter(given))}`")
        if not self.free and not given:
            raise ValueError("has no price", "add one, such as `per_minute`, or `free: true`")
        for one, other in (("per_million_characters", "per_thousand_characters"), ("per_minute", "per_hour")):
            if one in given and other in given:
                raise ValueError(f"has `{one}` and `{other}`, which is one price", "remove one of them")

    @property
    def prices(self) -> dict[str, float]:
        """The prices that are given, by name."""
        return {name: value for name in PRICES if (value := getattr(self, name)) is not None}


PRICES = tuple(attribute.name for attribute in fields(PriceItem) if attribute.name.startswith("per_"))
"""The names of prices."""


@frozen
class PricesSettings:
    """What providers charge, from which the cost of a call is computed."""

    currency: str = field(validator=matches_re(r"[A-Z]{3}"))
    """The currency of all prices, by its ISO 4217 code: `EUR`."""
    items: tuple[PriceItem, ...] = field(validator=min_len(1))
    """The prices: the first item whose adapter and model match is used."""

    def item_for(self, adapter: str, model: str | None) -> PriceItem | None:
        """Returns the prices of an adapter's model; None: they are not known."""
        return next((item for item in self.items if item.adapter == adapter and matches(item.model, model or "")), None)
