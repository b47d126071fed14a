"""The tools that end a call; what a model may call is what its pipeline lists and the transport can do."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import frozen

from voicepipe.calls.turn_events import Ending
from voicepipe.errors import ComponentError
from voicepipe.requests import Tool, ToolCall
from voicepipe.transports.protocol import Capability

if TYPE_CHECKING:
    from collections.abc import Iterable


@frozen
class EndingTool:
    """A tool that ends the call when the reply that called it has been heard."""

    tool: Tool
    """As the model sees it."""
    needs: frozenset[Capability]
    """What the transport must be able to do."""
    ending: Callable[[ToolCall], Ending]
    """How the call ends."""


TOOLS: dict[str, EndingTool] = {
    "hang_up": EndingTool(
        tool=Tool(
            name="hang_up",
            description="Ends the call when this reply has been spoken. Use it when the conversation is over.",
            parameters={"type": "object", "properties": {}},
        ),
        needs=frozenset(),
        ending=lambda _call: Ending("agent_hung_up"),
    ),
    "transfer": EndingTool(
        tool=Tool(
            name="transfer",
            description="Hands the caller to somebody else when this reply has been spoken.",
            parameters={
                "type": "object",
                "properties": {"target": {"type": "string", "description": "The number or extension to call."}},
                "required": ["target"],
            },
        ),
        needs=frozenset({"transfer"}),
        ending=lambda call: Ending("transfer_requested", str(call.arguments.get("target", ""))),
    ),
}
"""By name."""


def offered_tools(names: Iterable[str], can: frozenset[Capability]) -> tuple[Tool, ...]:
    """Those of a pipeline's tools that the transport supports."""
    return tuple(TOOLS[name].tool for name in names if name in TOOLS and TOOLS[name].needs <= can)


def ending_of(
    calls: Iterable[ToolCall], offered: Iterable[Tool], on_refused: Callable[[ComponentError], None]
) -> Ending | None:
    """How a reply's tool calls end the call, the last one decides; None: they don't.

    Args:
        calls: what the model asked for.
        offered: what it may call.
        on_refused: told of each call of something else.

    """
    ending, known = None, {tool.name for tool in offered}
    for call in calls:
        if call.name in known:
            ending = TOOLS[call.name].ending(call)
        else:
            on_refused(
                ComponentError(
                    f"called the tool {call.name!r}, which this call does not offer",
                    retryable=False,
                    hint=f"list {call.name} under the pipeline's `tools:`, and check that the transport supports it",
                )
            )
    return ending
