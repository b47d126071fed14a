"""Async generators that somebody began and did not end, while a check runs."""

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
    """Those that were begun since it watches."""

    def __init__(self, module: str) -> None:
        self._package = module.partition(".")[0]
        self._begun: WeakSet[AnyGenerator] = WeakSet()
        self._hooks = sys.get_asyncgen_hooks()
        self.dropped: list[str] = []
        """The adapter's own that were left to the collector, which ends them when it likes.

        Those of libraries are not held against it: openai's and httpx's are left so by a stream that was read whole.
        """

    def unfinished(self) -> list[str]:
        """Those that wait half-way, and that somebody still holds."""
        waiting = (generator for generator in self._begun if generator.ag_frame and not generator.ag_running)
        return [_name(generator) for generator in waiting]

    def begin(self, generator: AnyGenerator) -> None:
        """The interpreter's hook for a generator's first step."""
        self._begun.add(generator)
        if self._hooks.firstiter is not None:
            self._hooks.firstiter(generator)

    def drop(self, generator: AnyGenerator) -> None:
        """The interpreter's hook for one that is collected before its end."""
        module = str(generator.ag_frame.f_globals.get("__name__", "")) if generator.ag_frame else ""
        if module.partition(".")[0] == self._package:
            self.dropped.append(_name(generator))
        finalizer: Callable[[AnyGenerator], object] | None = self._hooks.finalizer
        if finalizer is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)  # it is told by the check
                finalizer(generator)


_watching: ContextVar[Generators] = ContextVar("_watching")


@contextmanager
def watching_generators(module: str) -> Iterator[None]:
    """Watches what is begun in this thread; `generators()` gives it to whoever runs within.

    Args:
        module: where the adapter is, to tell its own generators from those of the libraries that it uses.

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
    """Those of the check that runs."""
    return _watching.get()


def _name(generator: AnyGenerator) -> str:
    code = generator.ag_code
    return f"{generator.__qualname__} ({code.co_filename}:{code.co_firstlineno})"
