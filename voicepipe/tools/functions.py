"""Tools of an integrator's own: async Python functions that a model may call.

    @voicepipe.tool(filler="One moment, please.")
    async def book(day: Literal["monday", "tuesday"], name: str) -> str: ...

What the model is told of it is made from the signature and the docstring.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, overload

from attrs import Factory, field, frozen
from attrs.validators import ge, gt, matches_re, min_len

from voicepipe.components.requests import CallInfo, Tool
from voicepipe.tools.schemas import arguments_check
from voicepipe.tools.signatures import description_of, parameters_of

NAME = r"[A-Za-z_][A-Za-z0-9_-]{0,63}"
"""What a tool may be called: what the APIs of all vendors take."""

TIMEOUT_S = 10.0
"""How long a tool may take, unless it says otherwise, in s."""

FILLER_AFTER_MS = 1000
"""How long it is quiet before a filler is said, unless a tool says otherwise, in ms."""


@frozen
class ToolContext:
    """Which call a tool runs for."""

    call_id: str
    """Unique; what the call's events bear."""
    info: CallInfo
    """Who rings whom."""


@frozen
class FunctionTool:
    """A tool that runs while the conversation goes on; its result is given to the model."""

    name: str = field(validator=matches_re(NAME))
    """What the model calls it, and what stands under a pipeline's `tools:`."""
    description: str = field(validator=min_len(1))
    """For the model: what it does and when to use it."""
    parameters: Mapping[str, Any]
    """JSON Schema of the arguments: an object's."""
    function: Callable[[Mapping[str, Any], ToolContext], Awaitable[Any]] = field(repr=False)
    """Gets arguments that fit, by name, and returns text, or something that JSON can hold. The text of a `ToolError` is
    for the model; of any other exception it only learns that there was one."""
    timeout_s: float = field(default=TIMEOUT_S, validator=gt(0), kw_only=True)
    """How long it may take, in s; then it is cancelled, and the model is told. A call that has ended waits as long."""
    filler: str = field(default="", kw_only=True)
    """Said once if it takes long; empty: nothing is."""
    filler_after_ms: int = field(default=FILLER_AFTER_MS, validator=ge(0), kw_only=True)
    """How long that is, from when the reply that called it has been heard, in ms."""
    cancellable: bool = field(default=False, kw_only=True)
    """Whether it is cancelled when the caller interrupts or hangs up. If not, it ends whatever the caller does."""
    check: Callable[[Mapping[str, Any]], str] = field(
        default=Factory(lambda self: arguments_check(self.parameters), takes_self=True), kw_only=True, repr=False
    )
    """Says what is wrong with arguments, for the model; empty: nothing. Made of `parameters` if left out."""

    @property
    def tool(self) -> Tool:
        """As the model sees it."""
        return Tool(self.name, self.description, self.parameters)


def text_of(result: Any) -> str:
    """What a tool returned as the model gets it: text as it is, nothing as `done`, all else as JSON.

    Raises:
        TypeError: JSON can't hold it.
        ValueError: likewise.

    """
    if isinstance(result, str):
        return str(result)
    return "done" if result is None else json.dumps(result, ensure_ascii=False)


AsyncFunction = Callable[..., Awaitable[Any]]


@overload
def tool(function: AsyncFunction, /) -> FunctionTool: ...


@overload
def tool(
    *,
    timeout_s: float = TIMEOUT_S,
    filler: str = "",
    filler_after_ms: int = FILLER_AFTER_MS,
    cancellable: bool = False,
) -> Callable[[AsyncFunction], FunctionTool]: ...


def tool(
    function: AsyncFunction | None = None,
    /,
    *,
    timeout_s: float = TIMEOUT_S,
    filler: str = "",
    filler_after_ms: int = FILLER_AFTER_MS,
    cancellable: bool = False,
) -> FunctionTool | Callable[[AsyncFunction], FunctionTool]:
    """A tool made of an async function: a decorator, with or without arguments.

    The function's name is the tool's, its docstring the description (with Google's `Args:` for the parameters). Types
    may be `str`, `int`, `float`, `bool`, `Literal[...]`, `list[...]` of those, and `... | None`; a parameter with a
    default may be left out. A parameter of type `ToolContext` is told which call it is, and the model nothing of it.

    Args:
        function: what is run.
        timeout_s: how long it may take, in s.
        filler: said once if it takes long; empty: nothing is.
        filler_after_ms: how long that is, in ms.
        cancellable: whether it is cancelled when the caller interrupts or hangs up.

    Raises:
        TypeError: it is not async, has no docstring, or a parameter has a type that no model can be told.

    """

    def made(function: AsyncFunction) -> FunctionTool:
        name = getattr(function, "__name__", repr(function))
        if not inspect.iscoroutinefunction(function):
            hint = "make it `async def`, and use trio.to_thread.run_sync for what blocks"
            raise TypeError(f"the tool {name} is not async: {hint}")
        parameters, takes_context = parameters_of(function, ToolContext)

        async def run(arguments: Mapping[str, Any], context: ToolContext) -> Any:
            own = {takes_context: context} if takes_context else {}
            return await function(**arguments, **own)

        return FunctionTool(
            name,
            description_of(function),
            parameters,
            run,
            timeout_s=timeout_s,
            filler=filler,
            filler_after_ms=filler_after_ms,
            cancellable=cancellable,
        )

    return made if function is None else made(function)
