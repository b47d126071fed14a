"""A package in place of `vosk` that ends its process when a model tells it to, as the native library may.

It is no model and no audio that does it, but a word in a file that the real library never looks at.
"""

from __future__ import annotations

import importlib
import sys
from contextlib import contextmanager

PACKAGE = """
import json, os, pathlib, resource, sys

def SetLogLevel(level): pass

def reach(model, stage):
    file = pathlib.Path(model, "ends-at")
    if file.exists() and file.read_text() == stage:
        print(f"LOG: nothing good has come of {stage}", file=sys.stderr, flush=True)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.abort()
    if file.exists() and file.read_text() == stage + " raises":
        raise Exception(f"no {stage}")

class Model:
    def __init__(self, path):
        self.path = path
        reach(path, "loading")
    def vosk_model_find_word(self, word):
        return 0

class KaldiRecognizer:
    def __init__(self, model, rate, grammar=""):
        self.model, self.heard = model, 0
        reach(model.path, "the grammar" if grammar else "the recogniser")
    def SetWords(self, words): pass
    def AcceptWaveform(self, audio):
        self.heard += len(audio)
        reach(self.model.path, "the trial")
        if audio.startswith(b"CALLER"):
            reach(self.model.path, "a caller")
        return False
    def PartialResult(self):
        return json.dumps({"partial": "so" if self.heard else ""})
    def Result(self):
        return self.FinalResult()
    def FinalResult(self):
        reach(self.model.path, "the final transcript")
        heard, self.heard = self.heard, 0
        return json.dumps({"text": "so far" if heard else ""})
"""

FILES = (
    "am/final.mdl",
    "conf/model.conf",
    "conf/mfcc.conf",
    "graph/HCLr.fst",
    "graph/Gr.fst",
    "graph/disambig_tid.int",
)
STAGES = ("loading", "the recogniser", "the grammar", "the trial", "the final transcript")


def write_model(path, ends_at=""):
    """A directory with the files that the adapter looks for; `ends_at`: the stage that ends the process, or raises."""
    for name in FILES:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).touch()
    (path / "graph/words.txt").write_text("<eps> 0\nyes 1\nno 2\n")
    if ends_at:
        (path / "ends-at").write_text(ends_at)
    return path


@contextmanager
def false_vosk(directory):
    """Has the adapter find that package instead of the real one."""
    package = directory / "false/vosk/__init__.py"
    package.parent.mkdir(parents=True)
    package.write_text(PACKAGE)
    before = sys.modules.pop("vosk", None)
    sys.path.insert(0, str(package.parent.parent))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(package.parent.parent))
        if before is not None:
            sys.modules["vosk"] = before
