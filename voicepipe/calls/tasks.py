"""The tasks of a call: its nursery, as the parts of the call get it.

A trio nursery cancels everything in it when a task raises. A call ends in its own way instead: it says goodbye to the
transport, reports its last turn, and raises the defect afterwards. So an exception of a task becomes the end of the
call here, and nothing is cancelled by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from voicepipe.calls.turns.events import Ending
from voicepipe.errors import TransportError
from voicepipe.nurseries import defect_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import trio


class Tasks(Protocol):
    """Starts tasks for a part of a call; `trio.Nursery` has this form."""

    def start_soon(self, function: Callable[..., Awaitable[object]], /, *args: Any) -> None:
        """Starts a task, which runs until the call ends at the longest."""


class CallTasks:
    """Starts tasks whose exceptions end the call in its own way, and not by cancelling it.

    Args:
        nursery: the call's.
        end: called to end the call.

    """

    def __init__(self, nursery: trio.Nursery, end: Callable[[Ending], None]) -> None:
        self._nursery, self._end = nursery, end
        self._defect: Exception | None = None

    def start_soon(self, function: Callable[..., Awaitable[object]], /, *args: Any) -> None:
        """Starts a task, which runs until the call ends at the longest."""
        self._nursery.start_soon(self._run, function, args, name=function)

    def end(self, ending: Ending) -> None:
        """Ends the call at once; no-op if it has ended."""
        self._end(ending)

    def fail(self, error: Exception | SystemExit) -> None:
        """Ends the call because of an exception in one of its tasks, or for it in a task that all calls share."""
        if isinstance(error, TransportError):
            self._end(Ending("failed", str(error)))
            return
        self._defect = self._defect or defect_of(error)
        self._end(Ending("failed", f"{type(self._defect).__name__}: {self._defect}"))

    def raise_defect(self) -> None:
        """Raises the first exception that ended the call and was no `TransportError`; for when the call is over."""
        defect, self._defect = self._defect, None
        try:
            if defect is not None:
                raise defect
        finally:
            del defect  # else it would hold itself, and the call, by its own traceback

    def detach(self) -> None:
        """Forgets the call: otherwise the two would stay until the garbage collector comes."""
        self._end = _ignore

    async def _run(self, function: Callable[..., Awaitable[object]], args: tuple[Any, ...]) -> None:
        try:
            await function(*args)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the boundary of a call
            self.fail(error)


def _ignore(_ending: Ending) -> None:
    pass
