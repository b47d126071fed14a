"""The tasks of a call: its nursery, as the parts of the call get it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from voicepipe.calls.turns.events import Ending
from voicepipe.errors import TransportError
from voicepipe.nurseries import defect_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import trio


class Tasks(Protocol):
    """Where a part of a call starts tasks; a `trio.Nursery` is one."""

    def start_soon(self, function: Callable[..., Awaitable[object]], /, *args: Any) -> None:
        """Runs it beside the call, at the longest until the call ends."""


class CallTasks:
    """Tasks whose exceptions end the call in its own way, and not by cancelling it.

    Args:
        nursery: the call's.
        end: ends the call.

    """

    def __init__(self, nursery: trio.Nursery, end: Callable[[Ending], None]) -> None:
        self._nursery, self._end = nursery, end
        self._defect: Exception | None = None

    def start_soon(self, function: Callable[..., Awaitable[object]], /, *args: Any) -> None:
        """Runs it beside the call, at the longest until the call ends."""
        self._nursery.start_soon(self._run, function, args, name=function)

    def fail(self, error: Exception | SystemExit) -> None:
        """Ends the call by what a task raised, or what was raised on its behalf in a task that all calls share."""
        if isinstance(error, TransportError):
            self._end(Ending("failed", str(error)))
            return
        self._defect = self._defect or defect_of(error)
        self._end(Ending("failed", f"{type(self._defect).__name__}: {self._defect}"))

    def raise_defect(self) -> None:
        """Raises, once the call is over, the first of those that were no `TransportError`."""
        defect, self._defect = self._defect, None
        try:
            if defect is not None:
                raise defect
        finally:
            del defect  # else it would hold itself, and the call, by its own traceback

    def detach(self) -> None:
        """Knows the call no more: otherwise the two would stay until the garbage collector comes."""
        self._end = _ignore

    async def _run(self, function: Callable[..., Awaitable[object]], args: tuple[Any, ...]) -> None:
        try:
            await function(*args)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the edge of a call
            self.fail(error)


def _ignore(_ending: Ending) -> None:
    pass
