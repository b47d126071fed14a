"""Tools that are async Python functions of the program, which a model may call.

    @voicepipe.tool(filler="One moment, please.")
    async def book(day: Literal["monday", "tuesday"], name: str) -> str: ...

The model's description of the tool is made from the signature and the docstring.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, overload

from attrs import Factory, field, frozen
from attrs.validators import ge, gt, matches_re, min_len

from voicepipe.components.requests import Tool
from voicepipe.tools.context import ToolContext
from voicepipe.tools.schemas import arguments_check
from voicepipe.tools.signatures import description_of, parameters_of

NAME = r"[A-Za-z_][A-Za-z0-9_-]{0,63}"
"""The pattern of a tool's name: names that all vendors' APIs accept."""

TIMEOUT_S = 10.0
"""The default time limit of a tool, in s."""

FILLER_AFTER_MS = 1000
"""The default silence before a filler is spoken, in ms."""


@frozen
class FunctionTool:
    """A tool that runs while the conversation goes on, and whose result is given to the model."""

    name: str = field(validator=matches_re(NAME))
    """The name by which the model calls the tool, and a pipeline's `tools:` lists it."""
    description: str = field(validator=min_len(1))
    """For the model: what it does and when to use it."""
    parameters: Mapping[str, Any]
    """JSON Schema of the arguments, of type `object`."""
    function: Callable[[Mapping[str, Any], ToolContext], Awaitable[Any]] = field(repr=False)
    """Receives valid arguments by name, and returns text or a value that JSON can represent. The model is given the
    text of a `ToolError`; of any other exception, only that the tool failed."""
    timeout_s: float = field(default=TIMEOUT_S, validator=gt(0), kw_only=True)
    """The time limit, in s, after which the tool is cancelled and the model informed; also after the call's end."""
    filler: str = field(default="", kw_only=True)
    """A sentence that is spoken once if the tool takes long; empty: none."""
    filler_after_ms: int = field(default=FILLER_AFTER_MS, validator=ge(0), kw_only=True)
    """The time before the filler, from the end of playout of the reply that called the tool, in ms."""
    cancellable: bool = field(default=False, kw_only=True)
    """Whether the tool is cancelled when the caller interrupts or hangs up; otherwise it runs to its end."""
    check: Callable[[Mapping[str, Any]], str] = field(
        default=Factory(lambda self: arguments_check(self.parameters), takes_self=True), kw_only=True, repr=False
    )
    """Returns the faults of arguments as text for the model, empty if there are none; by default from `parameters`."""

    @property
    def tool(self) -> Tool:
        """The tool as it is described to the model."""
        return Tool(self.name, self.description, self.parameters)


def text_of(result: Any) -> str:
    """Returns a tool's result as text for the model: text unchanged, None as `done`, anything else as JSON.

    Raises:
        TypeError: JSON can't represent the type of a value.
        ValueError: the value refers to itself.

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
    """Makes a tool of an async function; a decorator, with or without arguments.

    The function's name is the tool's, its docstring the description (with Google's `Args:` for the parameters). Types
    may be `str`, `int`, `float`, `bool`, `Literal[...]`, `list[...]` of those, and `... | None`; a parameter with a
    default is optional. A parameter of type `ToolContext` receives the call's context, and is hidden from the model.

    Args:
        function: the function to run.
        timeout_s: the time limit, in s.
        filler: a sentence that is spoken once if the tool takes long; empty: none.
        filler_after_ms: the time before the filler, in ms.
        cancellable: whether the tool is cancelled when the caller interrupts or hangs up.

    Raises:
        TypeError: the function is not async, has no docstring, or a parameter's type has no JSON Schema.

    """

    def decorate(function: AsyncFunction) -> FunctionTool:
        name = getattr(function, "__name__", repr(function))
        if not inspect.iscoroutinefunction(function):
            hint = "make it `async def`, and use trio.to_thread.run_sync for what blocks"
            raise TypeError(f"the tool {name} is not async: {hint}")
        parameters, takes_context = parameters_of(function, ToolContext)

        async def run(arguments: Mapping[str, Any], context: ToolContext) -> Any:
            with_context = {takes_context: context} if takes_context else {}
            return await function(**arguments, **with_context)

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

    return decorate if function is None else decorate(function)
