"""The tools of one call: what its pipeline lists, as far as the transport can do it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voicepipe.calls.tools.builtin import ENDING_TOOLS, EndingTool, send_dtmf

if TYPE_CHECKING:
    from collections.abc import Iterable

    from voicepipe.components.requests import Tool
    from voicepipe.tools.functions import FunctionTool
    from voicepipe.transports.protocol import Transport


class Toolbox:
    """What the model of a call may call.

    Args:
        names: what the pipeline lists; of others nothing is known here.
        functions: those that run, by the same names.
        transport: says what it can do.

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
        """As the model sees them, in the pipeline's order."""
        return tuple(one.tool for one in self._tools.values())

    def get(self, name: str) -> EndingTool | FunctionTool | None:
        """The tool of that name, if it is offered."""
        return self._tools.get(name)
