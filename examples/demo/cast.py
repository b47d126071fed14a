"""Who calls, what they say, and what is expected of the answers."""

from __future__ import annotations

from typing import Final

from attrs import frozen


@frozen
class Exchange:
    """What the caller says and how the agent must take it."""

    say: str
    """The caller's words."""
    answer: str
    """What the agent's reply must hold."""


@frozen
class Part:
    """One caller."""

    name: str
    """The call's name: `call one`."""
    voice: str
    """The espeak-ng voice that the caller has."""
    pipeline: str
    """Which pipeline has to answer."""
    version: int
    """On which version."""
    greeting: str
    """What the agent must say first."""
    exchanges: tuple[Exchange, ...]
    """The conversation, up to the agent's hanging up."""


DESK: Final = "Hello, this is the front desk. How can I help you?"
CLOSED: Final = "You have reached us outside office hours. Shall we call you back?"

ONE: Final = Part(
    name="call one",
    voice="en-gb",
    pipeline="default",
    version=1,
    greeting=DESK,
    exchanges=(
        Exchange("I want an appointment on Monday", "An appointment on Monday. Shall I book it?"),
        Exchange("yes please", "Booked, on Monday."),
    ),
)
TWO: Final = Part(
    name="call two",
    voice="en-us+f3",
    pipeline="default",
    version=1,
    greeting=DESK,
    exchanges=(
        Exchange("I need an appointment on Friday", "An appointment on Friday. Shall I book it?"),
        Exchange("yes please", "Booked, on Friday."),
    ),
)
THREE: Final = Part(
    name="call three",
    voice="en-gb+m7",
    pipeline="after_hours",
    version=2,
    greeting=CLOSED,
    exchanges=(
        Exchange("call me back on Tuesday", "We will call you back on Tuesday. Is that right?"),
        Exchange("yes", "Good. We will call you back on Tuesday."),
    ),
)
FOUR: Final = Part(
    name="call four",
    voice="en-gb+f2",
    pipeline="after_hours",
    version=2,
    greeting=CLOSED,
    exchanges=(Exchange("no thank you", "Thank you for calling. Goodbye."),),
)
EVERYBODY: Final = (ONE, TWO, THREE, FOUR)
