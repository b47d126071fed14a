"""What `voicepipe` exports is what it promises to keep."""

import subprocess
import sys
from types import FunctionType

import pytest

import voicepipe
from voicepipe import public

VENDORS = {"vosk", "espeakng_loader", "openai", "deepgram", "numpy", "soxr", "httpx", "starlette", "h11"}


def test_all_is_sorted_and_complete() -> None:
    exported = {name for name in vars(public) if not name.startswith("_")}
    modules = {name for name in exported if type(getattr(public, name)).__name__ == "module"}
    assert voicepipe.__all__ == public.__all__ == sorted(public.__all__)
    assert set(public.__all__) == exported - modules - {"annotations"}


def test_everything_exported_says_what_it_is() -> None:
    exported = {name: getattr(voicepipe, name) for name in voicepipe.__all__}
    silent = [name for name, what in exported.items() if isinstance(what, type | FunctionType) and not what.__doc__]
    assert silent == []


def imported_by(program: str) -> set[str]:
    """The top level of what a process has imported after that."""
    show = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    run = subprocess.run([sys.executable, "-c", f"{program}; {show}"], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_importing_it_imports_no_vendor() -> None:
    assert imported_by("from voicepipe import *") & VENDORS == set()


def test_nothing_is_loaded_before_it_is_asked_for() -> None:
    assert imported_by("import voicepipe") & {"trio", "attrs", "yaml"} == set()
    assert {"trio", "attrs"} <= imported_by("import voicepipe; voicepipe.open_call")


def test_a_name_that_is_not_there_is_refused_as_ever() -> None:
    for name in "open_cal", "public_api", "__wrapped__":
        with pytest.raises(AttributeError, match=f"module 'voicepipe' has no attribute '{name}'"):
            getattr(voicepipe, name)
    assert set(voicepipe.__all__) <= set(dir(voicepipe))
