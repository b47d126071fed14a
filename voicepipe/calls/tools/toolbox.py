"""The tools that one call offers to its model: those that its pipeline lists, as far as the transport can do them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voicepipe.calls.tools.builtin import ENDING_TOOLS, EndingTool, send_dtmf

if TYPE_CHECKING:
    from collections.abc import Iterable

    from voicepipe.components.requests import Tool
    from voicepipe.tools.functions import FunctionTool
    from voicepipe.transports.protocol import Transport


class Toolbox:
    """Holds the tools that the model of a call may call.

    Args:
        names: the tools that the pipeline lists; unknown names are left out.
        functions: tools that are functions; those that are not listed are left out.
        transport: the call's; tools that it can't carry out are left out.

    """

    def __init__(self, names: Iterable[str], functions: Iterable[FunctionTool], transport: Transport) -> None:
        self._tools: dict[str, EndingTool | FunctionTool] = {}
        own = {function.name: function for function in functions}
        for name in names:
            if (ending := ENDING_TOOLS.get(name)) is not None:
                if ending.needs <= transport.can:
                    self._tools[name] = ending
            elif name == "send_dtmf":
                if "send_dtmf" in transport.can:
                    self._tools[name] = send_dtmf(transport)
            elif name in own:
                self._tools[name] = own[name]

    @property
    def offered(self) -> tuple[Tool, ...]:
        """The tools as the model sees them, in the pipeline's order."""
        return tuple(tool.tool for tool in self._tools.values())

    def get(self, name: str) -> EndingTool | FunctionTool | None:
        """Returns the tool of that name; None: it is not offered."""
        return self._tools.get(name)
