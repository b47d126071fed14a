"""Throws mutated AudioSocket captures at the decoder, in random pieces.

    python tests/fuzz/fuzz_audiosocket.py --seconds 10 [--seed 1]

Whatever the bytes are: the decoder gives frames or one TransportError, keeps no more than one frame, and comes to
the same result however the bytes were split. A failure prints the seed of its round and a traceback.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path

from voicepipe.errors import TransportError
from voicepipe.transports.audiosocket.audio import AudioCheck
from voicepipe.transports.audiosocket.wire_format import HEADER_BYTES, KINDS, MAX_PAYLOAD, RATES, Decoder

CAPTURES = Path(__file__).parents[1] / "data" / "asterisk"


def decode(pieces: list[bytes]) -> tuple[list[tuple[int, bytes]], str]:
    """The frames that a connection gives, and the error that ends it, or ""."""
    decoder, frames = Decoder(), []
    for piece in pieces:
        try:
            for kind, payload in decoder.feed(piece):
                assert len(payload) <= MAX_PAYLOAD
                frames.append((kind, bytes(payload)))
        except TransportError as error:
            return frames, str(error)
        assert len(decoder._rest) < HEADER_BYTES + MAX_PAYLOAD
    return frames, ""


def check(frames: list[tuple[int, bytes]], rate: int) -> None:
    """Any audio is either understood or refused."""
    audio = AudioCheck(rate)
    try:
        for number, (kind, payload) in enumerate(frames):
            if kind in RATES:
                audio.see(kind, payload, number / 50)
                assert RATES[audio.kind] == audio.rate or audio.kind == 0x10
    except TransportError:
        pass


def split(data: bytes, rng: random.Random) -> list[bytes]:
    """The same bytes in random pieces: usually a few, sometimes single bytes."""
    cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.choice((1, 3, 20, len(data)))))
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def mutate(data: bytes, rng: random.Random) -> bytes:
    """A few kilobytes of a capture, damaged."""
    start = rng.choice((0, 0, rng.randrange(len(data))))
    mutant = bytearray(data[start : start + rng.randrange(4, 4000)])
    for _ in range(rng.randrange(6)):
        at = rng.randrange(len(mutant))
        match rng.randrange(5):
            case 0:
                mutant[at] = rng.randrange(256)
            case 1:
                mutant[at] ^= 1 << rng.randrange(8)
            case 2:
                del mutant[at : at + rng.randrange(1, 10)]
            case 3:
                mutant[at:at] = rng.randbytes(rng.randrange(1, 10))
            case 4:
                mutant[at:at] = mutant[at : at + rng.randrange(400)]
        mutant = mutant or bytearray(1)
    return bytes(mutant)


def fuzz(seconds: float, seed: int, *, least: int = 1) -> tuple[int, int]:
    """Rounds that were played, so many at least, and how many of them ended in an error."""
    captures = [path.read_bytes() for path in sorted(CAPTURES.rglob("*.bin"))]
    rounds = errors = 0
    until = time.monotonic() + seconds
    while rounds < least or time.monotonic() < until:
        rng = random.Random(seed + rounds)
        try:
            data = mutate(rng.choice(captures), rng)
            whole = decode([data])
            assert decode(split(data, rng)) == whole
            check(whole[0], rng.choice(list(KINDS)))
        except Exception:
            sys.stderr.write(f"--seed {seed + rounds}\n")
            raise
        rounds, errors = rounds + 1, errors + bool(whole[1])
    return rounds, errors


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    arguments = parser.parse_args()
    played, refused = fuzz(arguments.seconds, arguments.seed)
    sys.stdout.write(f"{played} rounds, {refused} of them refused, none failed\n")
