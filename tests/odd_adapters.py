"""An adapter named `odd`, installed for a test: what its check does besides checking, the YAML says."""

from __future__ import annotations

import importlib
import json
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from voicepipe.components.registry import installed
from voicepipe.roles import ROLES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

_MODULE = """
import json, os, signal, subprocess, sys, threading, time
from contextlib import asynccontextmanager
from pathlib import Path

from attrs import frozen

from voicepipe import Adapter, File, Secret
from voicepipe.testing.components import ScriptedLanguageModel, ScriptedSpeechToText, ToneTextToSpeech


@frozen
class Options:
    do: str = "nothing"
    note: str = ""
    word: Secret | None = None
    file: File | None = None

    def __reduce__(self):
        if self.do == "unpicklable":
            raise TypeError(f"can't pickle {str(self.word)}")
        return Options, (self.do, self.note, self.word, self.file)


class Abandoned(BaseException):
    pass


def abandon(options):
    raise Abandoned(str(options.word))


def hang(options):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    note(options, child=child.pid)
    time.sleep(600)


def note(options, **more):
    seen = {
        "pid": os.getpid(), "parent": os.getppid(), "nice": os.nice(0),
        "argv": Path("/proc/self/cmdline").read_bytes().decode(errors="replace"),
        "environ": Path("/proc/self/environ").read_bytes().decode(errors="replace"),
    }
    partly = Path(options.note + ".partly")
    partly.write_text(json.dumps(seen | more))
    partly.rename(options.note)


def hang_once(options):
    if not Path(options.note).exists():
        hang(options)


def shout(options):
    print("x" * 200_000)
    os.write(1, b"y" * 200_000)
    os.system("echo shouted")


DO = {
    "nothing": lambda options: None,
    "abandon": abandon,
    "hang": hang,
    "hang once": hang_once,
    "note": note,
    "shout": shout,
    "unpicklable": lambda options: None,
    "exit": lambda options: os._exit(3),
    "leave": lambda options: os._exit(0),
    "kill": lambda options: os.kill(os.getpid(), signal.SIGKILL),
    "thread": lambda options: threading.Thread(target=time.sleep, args=(600,)).start(),
}


def check(options):
    DO[options.do](options)
    return ()


def of(role, make):
    @asynccontextmanager
    async def open(options, resources):
        yield make()

    return Adapter(name="odd", role=role, options=Options, open=open, check=check)


stt = of("stt", ScriptedSpeechToText)
llm = of("llm", lambda: ScriptedLanguageModel(lambda request: "Hello."))
tts = of("tts", ToneTextToSpeech)
"""


@contextmanager
def odd_adapters(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Installs the adapter, for this process and for its helpers, in a directory of its own."""
    package = directory / "odd-1.0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1.0\n")
    points = "\n".join(f"[voicepipe.{role}]\nodd = odd_adapter:{role}\n" for role in ROLES)
    (package / "entry_points.txt").write_text(points)
    (directory / "odd_adapter.py").write_text(_MODULE)
    monkeypatch.syspath_prepend(str(directory))
    importlib.invalidate_caches()
    installed.cache_clear()
    try:
        yield
    finally:
        installed.cache_clear()
        sys.modules.pop("odd_adapter", None)  # else the next test would get this one's


def odd_pipeline(**tts: str) -> str:
    """A file with one pipeline, whose tts has these options."""
    pipeline = {"stt": "odd", "llm": "odd", "tts": {"type": "odd", **tts}}
    return json.dumps({"pipelines": {"default": pipeline}})
