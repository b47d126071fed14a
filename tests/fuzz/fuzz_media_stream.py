"""Throws mutated calls at the decoder of media streams, of each carrier in turn.

    python tests/fuzz/fuzz_media_stream.py --seconds 10 [--seed 1]

Whatever the messages are: the decoder gives audio, events, nothing or a TransportError in a few words, what it says of
a call is bounded and can be written as UTF-8, and messages to the carrier can be made. A failure prints the seed of its
round and a traceback.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from media_streams import CARRIERS, wire

from voicepipe.audio import AudioFormat
from voicepipe.errors import TransportError
from voicepipe.transports.media_stream.dialects import DIALECTS
from voicepipe.transports.media_stream.texts import MOST, NUMBER_CHARACTERS, VALUE_CHARACTERS
from voicepipe.transports.media_stream.wire_format import StreamDecoder, StreamEncoder, StreamStarted

ODD = ["", "[]", "{}", "null", "NaN", "1e999", "-0", '"\\ud800"', "[" * 200, "9" * 30, '{"event":"start"}', '""']


def messages_of(carrier, rng):
    """A call of a carrier."""
    stream = carrier(caller="+4915112345", tenant="acme", odd="\x00\u202e")
    body = [stream.media(), stream.key(rng.choice("0*#A")), stream.mark(str(rng.randrange(99))), stream.media()]
    rng.shuffle(body)
    return [wire(message) for message in (*stream.opening(), *body, stream.stop())]


def mutate(message, rng):
    """A message, damaged: some of its characters, or a value of it."""
    if rng.randrange(3) == 0:
        return rng.choice((rng.choice(ODD), message[: rng.randrange(len(message) + 1)], rng.randbytes(9)))
    data = bytearray(message if isinstance(message, bytes) else message.encode())
    for _ in range(rng.randrange(1, 5)):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(3):
            case 0:
                data[at:at] = rng.choice(ODD).encode()
            case 1:
                del data[at : at + rng.randrange(1, 12)]
            case 2:
                data[at : at + 1] = bytes((rng.randrange(256),))
    return bytes(data) if isinstance(message, bytes) else data.decode("utf-8", "replace")


def play(name, messages):
    """Whether a call was refused."""
    dialect = DIALECTS[name]
    decoder = StreamDecoder(dialect, dialect.audio[0])
    for message in messages:
        refused = ""
        try:
            item = decoder.feed(message)
        except TransportError as error:
            item, refused = None, str(error)
        assert len(refused) < 600
        if isinstance(item, StreamStarted):
            check(item, dialect)
        if refused:
            return True
    return False


def check(started, dialect):
    assert isinstance(started.audio, AudioFormat)
    assert len(started.variables) <= MOST
    assert max(map(len, (started.caller, started.called, started.call_id))) <= NUMBER_CHARACTERS
    assert all(len(value) <= VALUE_CHARACTERS for value in started.variables.values())
    json.dumps(dict(started.variables), ensure_ascii=False).encode()
    encoder = StreamEncoder(dialect, started)
    for message in (*encoder.audio(bytes(started.audio.bytes_in(60))), encoder.mark(1), encoder.clear()):
        assert isinstance(message, bytes) or json.loads(message)


def fuzz(seconds, seed, *, least=1):
    """Rounds that were played, so many at least, and how many of them ended in an error."""
    rounds = errors = 0
    until = time.monotonic() + seconds
    while rounds < least or time.monotonic() < until:
        rng = random.Random(seed + rounds)
        carrier = CARRIERS[rounds % len(CARRIERS)]
        try:
            messages = messages_of(carrier, rng)
            for _ in range(rng.randrange(3)):
                at = rng.randrange(len(messages))
                messages[at] = mutate(messages[at], rng)
            errors += play(carrier.name, messages)
        except Exception:
            sys.stderr.write(f"--seed {seed + rounds}\n")
            raise
        rounds += 1
    return rounds, errors


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    arguments = parser.parse_args()
    played, refused = fuzz(arguments.seconds, arguments.seed)
    sys.stdout.write(f"{played} rounds, {refused} of them refused, none failed\n")
