"""What `voicepipe` exports is what it promises to keep."""

import subprocess
import sys
from types import FunctionType

import voicepipe

VENDORS = {"vosk", "espeakng_loader", "openai", "deepgram", "numpy", "soxr", "httpx", "starlette", "hypercorn"}


def test_all_is_sorted_and_complete() -> None:
    exported = {name for name in vars(voicepipe) if not name.startswith("_")}
    modules = {name for name in exported if type(getattr(voicepipe, name)).__name__ == "module"}
    assert voicepipe.__all__ == sorted(voicepipe.__all__)
    assert set(voicepipe.__all__) == exported - modules - {"annotations"}


def test_everything_exported_says_what_it_is() -> None:
    exported = {name: getattr(voicepipe, name) for name in voicepipe.__all__}
    silent = [name for name, what in exported.items() if isinstance(what, type | FunctionType) and not what.__doc__]
    assert silent == []


def test_importing_it_imports_no_vendor() -> None:
    show = "import sys, voicepipe; print(*{name.partition('.')[0] for name in sys.modules})"
    run = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True)
    assert set(run.stdout.split()) & VENDORS == set()
