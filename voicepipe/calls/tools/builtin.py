"""The tools that every call has: two that end it, and one that presses keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from attrs import frozen

from voicepipe.calls.turns.events import Ending
from voicepipe.components.requests import Tool
from voicepipe.tools.functions import FunctionTool
from voicepipe.transports.protocol import Capability

if TYPE_CHECKING:
    from voicepipe.tools.context import ToolContext
    from voicepipe.transports.protocol import Transport

KEYS = "0123456789*#ABCD"
"""The keys of a telephone."""

MOST_KEYS = 32
"""The most keys that are pressed at a time: no number has more."""


@frozen
class EndingTool:
    """A tool that ends the call when the reply that called it has been heard."""

    tool: Tool
    """The tool as the model sees it."""
    needs: frozenset[Capability]
    """The capabilities that the transport must have."""
    ending: Callable[[Mapping[str, Any]], Ending]
    """Returns the end of the call, from the arguments."""
    check: Callable[[Mapping[str, Any]], str] = lambda _arguments: ""
    """Returns the fault of the arguments; empty: none."""


def _target_of(arguments: Mapping[str, Any]) -> str:
    target = arguments.get("target")
    return str(target).strip() if isinstance(target, str | int) else ""


ENDING_TOOLS: dict[str, EndingTool] = {
    "hang_up": EndingTool(
        tool=Tool(
            name="hang_up",
            description="Ends the call when this reply has been spoken. Use it when the conversation is over.",
            parameters={"type": "object", "properties": {}},
        ),
        needs=frozenset(),
        ending=lambda _arguments: Ending("agent_hung_up"),
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
        ending=lambda arguments: Ending("transfer_requested", _target_of(arguments)),
        check=lambda arguments: "" if _target_of(arguments) else "a transfer needs a target: a number or an extension",
    ),
}
"""The tools that end a call, by name."""


def _check_keys(arguments: Mapping[str, Any]) -> str:
    digits = arguments.get("digits")
    if isinstance(digits, str) and 0 < len(digits) <= MOST_KEYS and all(digit in KEYS for digit in digits):
        return ""
    return f"digits are 1 to {MOST_KEYS} of {KEYS}"


def send_dtmf(transport: Transport) -> FunctionTool:
    """Makes the tool that presses keys on a call; the transport must have the capability `send_dtmf`."""

    async def press(arguments: Mapping[str, Any], _context: ToolContext) -> None:
        await transport.send_dtmf(arguments["digits"])

    return FunctionTool(
        name="send_dtmf",
        description="Presses telephone keys, for example to get through somebody else's menu.",
        parameters={
            "type": "object",
            "properties": {"digits": {"type": "string", "description": f"Of {KEYS}, without spaces."}},
            "required": ["digits"],
        },
        function=press,
        check=_check_keys,
    )
