"""Voice pipelines for telephone lines: composed in YAML, changed while calls are up.

`voicepipe.public` lists the public API, all of it: what is not there (or in `voicepipe.testing`) is private, whatever
its name. It is loaded when one of its names is asked for, since many a process needs but a part of the library: the
one that reads a reload beside calls, and those in which some components run.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from voicepipe.public import *  # noqa: F403 - its `__all__` is the list

    __version__: str


def __getattr__(name: str) -> Any:
    if name == "__version__":
        metadata = import_module("importlib.metadata")
        return metadata.version(import_module("voicepipe.components.distribution").DISTRIBUTION)
    if name == "__all__" or not name.startswith("_"):
        public = import_module("voicepipe.public")
        if name == "__all__" or name in public.__all__:
            found = globals()[name] = getattr(public, name)
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *import_module("voicepipe.public").__all__})
