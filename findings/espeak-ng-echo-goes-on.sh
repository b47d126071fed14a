#!/bin/bash
# What:      espeak-ng's variants with an echo (f2 to f5, m2 and others) begin a text with the echo of the text before, and
#            cut off their own echo at the end of a text, in the middle of a wave. Selecting the voice again
#            (espeak_SetVoiceByName) clears the echo; it takes 0.3 ms.
# For whom:  Programs that speak to several people from one process: a listener hears the end of another listener's text.
# How seen:  With six variants, one text was spoken after another, with and without selecting the voice in between.
#            The text begins with a sound that espeak-ng produces only after 13 ms, so audio in the first 10 ms comes from
#            the text before.
# A good guess: each espeak_Synth begins in silence.
# Exit status: not 0 if this has changed.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install -q --disable-pip-version-check espeakng-loader==0.2.4
cat > "$place/look.py" <<'EOF'
import ctypes
from array import array
from importlib.metadata import version

import espeakng_loader

espeak = ctypes.CDLL(espeakng_loader.get_library_path())
rate = espeak.espeak_Initialize(2, 100, espeakng_loader.get_data_path().encode(), 0x8000)
made = bytearray()


@ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
def take(samples, count, events):
    if samples:
        made.extend(ctypes.string_at(samples, count * 2))
    return 0


def speak(text):
    made.clear()
    espeak.espeak_Synth(text, len(text) + 1, 0, 1, 0, 1, None, None)
    return array("h", made)


espeak.espeak_SetSynthCallback(take)
espeak.espeak_Info.restype = ctypes.c_char_p
print("espeak-ng", espeak.espeak_Info(None).decode(), "from espeakng-loader", version("espeakng-loader"))
carried, cleared = [], []
for variant in (b"f2", b"f3", b"f4", b"f5", b"m2", b"m1"):
    voice = b"gmw/en-US+" + variant
    espeak.espeak_SetVoiceByName(voice)
    ends = speak(b"Hello, oh!")[-1]
    after = max(map(abs, speak(b"This is for somebody else.")[: rate // 100]))
    speak(b"Hello, oh!")
    espeak.espeak_SetVoiceByName(voice)
    again = max(map(abs, speak(b"This is for somebody else.")[: rate // 100]))
    print(f"{variant.decode()}: first 10 ms of the second text up to {after}, with the voice chosen again {again};"
          f" the first text ends at {ends}")
    carried.append(after > 0)
    cleared.append(again == 0)
print("\nA good guess: nothing in the first 10 ms, ever.")
print("Seen: something with the five that have an echo, nothing with m1, which has none, nor after choosing again.")
raise SystemExit(0 if carried == [True] * 5 + [False] and all(cleared) else 1)
EOF
"$place/venv/bin/python" "$place/look.py"
