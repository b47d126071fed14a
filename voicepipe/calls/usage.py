"""The use that a call makes of its components: tokens, characters and seconds of audio.

Two kinds of figures are kept apart. What passes between the call and a component is counted here, so it is known of any
adapter: audio that is sent to be recognised, characters that are sent to be spoken, speech that comes back. What a
provider itself has counted is known only where it tells, by `Usage`: tokens, and what it charges for. A figure that is
not known is None, never 0. A reply that was interrupted shows the difference: its model was asked, but never told what
that has cost, so `requests` is one more than `reported`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen

from voicepipe.components.labels import ComponentLabel, Role

if TYPE_CHECKING:
    from voicepipe.components.events import Usage


@frozen(kw_only=True)
class ComponentUsage:
    """The use of one component by one call."""

    role: Role
    """The component's role."""
    component: str
    """The component's name."""
    adapter: str
    """The adapter's name."""
    model: str | None
    """The model or voice, where the adapter has one."""
    requests: int
    """The number of streams that the call opened or tried to open: a language model's are replies."""
    reported: int
    """The number of these of which the provider reported the usage."""
    input_tokens: int | None = None
    """Tokens of the requests, as the provider reports; None: it does not."""
    output_tokens: int | None = None
    """Tokens of the answers, as the provider reports; None: it does not."""
    characters: int | None = None
    """Characters that were sent to a text-to-speech; None for other roles."""
    audio_s: float | None = None
    """Audio that was sent to a speech-to-text, or that came from a text-to-speech, in s; None for a language model."""
    charged_characters: int | None = None
    """Characters that the provider charges for; None: it does not report it."""
    charged_audio_s: float | None = None
    """Audio that the provider charges for, in s; None: it does not report it."""
    cost: float | None = None
    """What that costs by the file's `prices`; None: there is no price, or no figure."""
    cost_is_least: bool = False
    """True if it costs more, because the provider told the usage of some requests only."""
    currency: str | None = None
    """The currency of `cost`."""


class UsageTotal:
    """Adds up what a call uses of one component.

    Args:
        role: the component's role; the figures that are counted here for it begin at 0, the others are unknown.
        label: the component.

    """

    def __init__(self, role: Role, label: ComponentLabel) -> None:
        self._role, self._label = role, label
        self.figures: dict[str, Any] = {"requests": 0, "reported": 0}
        """Fields of `ComponentUsage` that are known so far."""
        if role != "llm":
            self.figures["audio_s"] = 0.0
        if role == "tts":
            self.figures["characters"] = 0

    def add(self, name: str, amount: float | None) -> None:
        """Adds to a figure; None adds nothing."""
        if amount is not None:
            self.figures[name] = self.figures.get(name, 0) + amount

    @property
    def usage(self) -> ComponentUsage:
        """The total so far."""
        label = self._label
        return ComponentUsage(
            role=self._role, component=label.name, adapter=label.adapter, model=label.model, **self.figures
        )


class StreamUsage:
    """Adds what one stream uses to the total of its component.

    Args:
        total: the component's.

    """

    def __init__(self, total: UsageTotal) -> None:
        self._total = total
        self._is_reported = False
        total.add("requests", 1)

    def count_audio(self, ms: float) -> None:
        """Adds audio that was sent or has come, in ms."""
        self._total.figures["audio_s"] += ms / 1000

    def count_text(self, text: str) -> None:
        """Adds text that was sent to be spoken."""
        self._total.figures["characters"] += len(text)

    def report(self, usage: Usage) -> None:
        """Adds the usage that the provider reports."""
        total = self._total
        total.add("input_tokens", usage.input_tokens)
        total.add("output_tokens", usage.output_tokens)
        total.add("charged_characters", usage.characters)
        total.add("charged_audio_s", usage.audio_s)
        if not self._is_reported:
            self._is_reported = True
            total.add("reported", 1)
