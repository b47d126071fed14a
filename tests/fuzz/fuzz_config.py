"""Throws mutated configuration files at the reader.

    python tests/fuzz/fuzz_config.py --seconds 10 [--seed 1]

Whatever the bytes are: they are a configuration, or a ConfigError whose problems stand inside the file and show no
secret; it is told within seconds and in bounded memory. A failure prints the seed of its round and a traceback.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import sys
import time
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS))

from config_adapters import ENVIRON, REGISTRY  # noqa: E402 - it is beside this directory, not installed

from voicepipe import ConfigError, effective_config, load_config  # noqa: E402
from voicepipe.documents.parse import LINE_BREAK  # noqa: E402

GOOD, BAD = (
    [path.read_bytes() for path in sorted((TESTS / "config" / kind).glob("*.yaml"))] for kind in ("good", "bad")
)
PIECES = (
    [bytes([byte]) for byte in b"\0\t\n\r !\"#$%&'()*,-.:>?@[]`{|}~0"]
    + [b": ", b"- ", b"\n  ", b"---\n", b"...\n", b"<<: ", b"? ", b"!!python/name:os.system ", b"&a ", b"*a ", b"null"]
    + [b"${API_KEY}", b"${", b"${NO}", b"${file:/dev/zero}", b"$$", b"\xff", b"\xc3", b"\xe2\x80\xa8", b"\xef\xbb\xbf"]
    + [b"type: ", b"voice", b"ears", b"default", b"files/model", b"..", b"1e999", b"9" * 400, b"[" * 300, b"{a: " * 80]
)
MOST_S = 10.0
"""Of this process's own time: others may be using the machine. Usually it is a hundredth of a second."""
MOST_GROWTH = 64 << 20
"""Bytes that the process may grow by, from the first round on."""
MOST_BYTES = 1 << 20


def mutate(data: bytes, rng: random.Random) -> bytes:
    """A file, damaged; sometimes blown up."""
    mutant = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        begin = rng.randrange(len(mutant) + 1)
        end = min(len(mutant), begin + rng.randrange(60))
        match rng.randrange(6):
            case 0:
                mutant[begin:end] = b""
            case 1:
                mutant[begin:begin] = rng.choice(PIECES)
            case 2:
                mutant[begin:end] = rng.choice(PIECES)
            case 3:
                mutant[begin:begin] = mutant[begin:end] * rng.choice((1, 1, 2, 300))
            case 4 if mutant:
                mutant[rng.randrange(len(mutant))] ^= 1 << rng.randrange(8)
            case 5:
                other = rng.choice(BAD)
                start = rng.randrange(len(other) + 1)
                mutant[begin:begin] = other[start : start + rng.randrange(200)]
    return bytes(mutant[:MOST_BYTES])


def check(path: Path, content: bytes) -> bool:
    """Whether it is a configuration; whatever it is, nothing else may come of it."""
    path.write_bytes(content)
    began = time.process_time()
    try:
        config = load_config(path, registry=REGISTRY, environ=ENVIRON)
        problems = ()
    except ConfigError as error:
        config, problems = None, error.problems
    took = time.process_time() - began
    assert took < MOST_S, f"it took {took:.1f} s"
    lines = LINE_BREAK.split(content.decode(errors="replace").removeprefix("\ufeff"))
    for problem in problems:
        assert problem.message
        assert problem.hint, problem
        assert ENVIRON["API_KEY"] not in f"{problem} {problem.source}"
        if problem.where.file == path:
            assert 1 <= problem.where.line <= len(lines), problem
            assert 1 <= problem.where.column <= len(lines[problem.where.line - 1]) + 1, problem
    if config is None:
        assert problems
        return False
    assert config.active_pipeline in config.pipelines
    assert ENVIRON["API_KEY"] not in f"{config!r} {json.dumps(effective_config(config))}"
    return True


def fuzz(seconds: float, seed: int, *, least: int = 1) -> tuple[int, int]:
    """Rounds that were played, so many at least, and how many of them were refused."""
    rounds = refused = 0
    until = time.monotonic() + seconds
    with TemporaryDirectory() as directory:
        for kind in ("good", "bad"):
            copytree(TESTS / "config" / kind / "files", Path(directory, "files"), dirs_exist_ok=True)
        path = Path(directory, "set.yaml")
        most = 0
        while rounds < least or time.monotonic() < until:
            rng = random.Random(seed + rounds)
            try:
                refused += not check(path, mutate(rng.choice(rng.choice((GOOD, BAD))), rng))
                grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
                most = most or grown + MOST_GROWTH
                assert grown < most, f"it takes {grown >> 20} MiB"
            except Exception:
                sys.stderr.write(f"--seed {seed + rounds}\n")
                raise
            rounds += 1
    return rounds, refused


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    arguments = parser.parse_args()
    played, refusals = fuzz(arguments.seconds, arguments.seed)
    sys.stdout.write(f"{played} rounds, {refusals} of them refused, none failed\n")
