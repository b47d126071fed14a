#!/bin/bash
# What:      If a PocketSphinx decoder is used for one caller after another, earlier audio changes later results: times and
#            probabilities of words, and in dictation the words themselves. start_utt() and set_cmn() do not reset
#            that; reinit_feat() does, in a tenth of a millisecond.
# For whom:  Programs that keep decoders in a pool, because making one takes 20 ms (with a language model a second).
# How seen:  One recording was given to a new decoder, to a decoder that had processed loud noise before, and to such a
#            decoder after reinit_feat(), each time with the same initial cepstral mean.
# A good guess: start_utt() begins anew, so all three results are equal.
# Exit status: not 0 if this has changed.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install -q --disable-pip-version-check pocketsphinx==5.1.1
cat > "$place/look.py" <<'EOF'
import math, random
from array import array
from importlib.metadata import version
from pocketsphinx import Config, Decoder, get_model_path

RATE = 16000
CMN = "50,-10,-5,1,-3,-10"


def vowels(seed, noise, seconds):
    """Something like a voice that says vowels, with pauses, over noise."""
    chance, at, samples = random.Random(seed), 0.0, array("h")
    for piece in range(int(seconds * 5)):
        pitch, formants = chance.uniform(100, 180), [chance.uniform(300, 900), chance.uniform(900, 2300)]
        for _ in range(RATE // 5):
            at += pitch / RATE
            since = (at % 1.0) / pitch
            voice = sum(math.sin(2 * math.pi * f * since) * (1 - since * pitch) for f in formants) * 4000
            samples.append(max(-32768, min(32767, int(voice * (piece % 3 != 2) + chance.gauss(0, noise)))))
    return samples.tobytes()


def decoder():
    return Decoder(Config(lm=get_model_path("en-us/en-us.lm.bin"), hmm=get_model_path("en-us/en-us"),
                          dict=get_model_path("en-us/cmudict-en-us.dict"), samprate=RATE, loglevel="FATAL"))


def hear(one, audio):
    one.set_cmn(CMN)
    one.start_utt()
    for at in range(0, len(audio), 3200):
        one.process_raw(audio[at : at + 3200])
    one.end_utt()
    return [(seg.word, seg.start_frame, seg.end_frame, round(seg.prob, 6)) for seg in one.seg()]


caller, other = vowels(1, 60, 4), vowels(2, 3000, 4)
fresh, again = hear(decoder(), caller), hear(decoder(), caller)
used = decoder()
hear(used, other)
after_other = hear(used, caller)
hear(used, other)
used.reinit_feat()
after_reinit = hear(used, caller)

print("pocketsphinx", version("pocketsphinx"))
print("a new decoder                 ", fresh)
print("one that has heard another    ", after_other)
print("the same after reinit_feat()  ", after_reinit)
assert fresh == again, "not even two new decoders agree"
print("\nA good guess: all three are the same.")
print("Seen: the second differs:", after_other != fresh, "- and the third is the first again:", after_reinit == fresh)
raise SystemExit(0 if after_other != fresh and after_reinit == fresh else 1)
EOF
"$place/venv/bin/python" "$place/look.py"
