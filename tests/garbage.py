"""What is left to the garbage collector: objects that nobody refers to any more, but one another."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def left_to_the_collector() -> Iterator[list[object]]:
    """A list that holds, when this is left, what came to be and could not be freed by its last reference meanwhile."""
    left: list[object] = []
    gc.collect()
    gc.disable()
    try:
        yield left
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left += gc.garbage
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def ours(left: list[object]) -> list[str]:
    """The classes of those that are voicepipe's, without what tests are made of."""
    classes = [type(one) for one in left]
    return sorted(
        of.__qualname__
        for of in classes
        if of.__module__.startswith("voicepipe") and not of.__module__.startswith("voicepipe.testing")
    )
