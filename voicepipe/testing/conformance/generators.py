"""Finds async generators that were begun during a check and not closed."""

from __future__ import annotations

import sys
import warnings
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

AnyGenerator = Any
"""An `AsyncGeneratorType`: typeshed's hooks take the abstract class, which has no frame."""


class Generators:
    """The async generators that were begun since it was made."""

    def __init__(self, module: str) -> None:
        self._package = module.partition(".")[0]
        self._begun: WeakSet[AnyGenerator] = WeakSet()
        self._hooks = sys.get_asyncgen_hooks()
        self.dropped: list[str] = []
        """The adapter's generators that were collected before their end, when it is too late for their cleanup.

        Those of libraries don't count: openai and httpx leave some behind when a stream is read to its end.
        """

    def unfinished(self) -> list[str]:
        """Returns the generators that are suspended and still referenced."""
        waiting = (generator for generator in self._begun if generator.ag_frame and not generator.ag_running)
        return [_name(generator) for generator in waiting]

    def begin(self, generator: AnyGenerator) -> None:
        """Notes a generator; the interpreter's hook for its first step."""
        self._begun.add(generator)
        if self._hooks.firstiter is not None:
            self._hooks.firstiter(generator)

    def drop(self, generator: AnyGenerator) -> None:
        """Notes a generator that is collected before its end; the interpreter's hook for that."""
        module = str(generator.ag_frame.f_globals.get("__name__", "")) if generator.ag_frame else ""
        if module.partition(".")[0] == self._package:
            self.dropped.append(_name(generator))
        finalizer: Callable[[AnyGenerator], object] | None = self._hooks.finalizer
        if finalizer is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)  # the check reports it
                finalizer(generator)


_watching: ContextVar[Generators] = ContextVar("_watching")


@contextmanager
def watching_generators(module: str) -> Iterator[None]:
    """Watches the generators of this thread during the block, in which `generators()` returns them.

    Args:
        module: the adapter's module, to tell its generators from those of libraries.

    """
    watch = Generators(module)
    before = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(firstiter=watch.begin, finalizer=watch.drop)
    token = _watching.set(watch)
    try:
        yield
    finally:
        _watching.reset(token)
        sys.set_asyncgen_hooks(*before)


def generators() -> Generators:
    """Returns the generators of the running check."""
    return _watching.get()


def _name(generator: AnyGenerator) -> str:
    code = generator.ag_code
    return f"{generator.__qualname__} ({code.co_filename}:{code.co_firstlineno})"
