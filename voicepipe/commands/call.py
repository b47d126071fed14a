"""`voicepipe call`: places one call to a running engine, says what it is told to, and tells who spoke when."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from voicepipe.errors import ComponentError
from voicepipe.testing.audiosocket_caller import AudioSocketCaller, open_audiosocket_call, write_stereo_wav
from voicepipe.testing.conversation import Line, Spoke, converse
from voicepipe.testing.speaker import open_speaker

if TYPE_CHECKING:
    from argparse import _SubParsersAction

_DESCRIPTION = """\
Places one call over AudioSocket, as Asterisk would. A synthetic voice says each line once the agent has finished
speaking. It tells who spoke when, how long and how loud; what the agent said is in the engine's log. It needs
espeak-ng: pip install 'voicepipe-telephony[espeak]'.
"""

_EXAMPLES = """\
examples:
  voicepipe call                                            # 127.0.0.1:9092: listens to the greeting
  voicepipe call --say "I want an appointment on Monday" --say "yes please"
  voicepipe call 10.0.0.5:9092 --say hello --voice en-us+f3 --wav call.wav

exit status: 0 the agent spoke and every line was said, 1 not so (nobody answers, the agent is silent or hangs up
too early, the time is over), 2 wrong usage
"""

LISTEN_ON_S = 2.0
"""How long after the last reply the agent may hang up before the caller does."""


def add_to(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Describes the subcommand."""
    parser = commands.add_parser(
        "call",
        help="call a running engine, and say something",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "address",
        nargs="?",
        type=address,
        default=("127.0.0.1", 9092),
        metavar="HOST:PORT",
        help="where the engine listens (default: 127.0.0.1:9092)",
    )
    parser.add_argument("--say", action="append", default=[], metavar="TEXT", help="a line; may be given several times")
    parser.add_argument("--voice", default="en-gb", help="the caller's espeak-ng voice (default: %(default)s)")
    parser.add_argument("--wav", type=Path, metavar="FILE", help="write the call there: caller left, agent right")
    parser.add_argument("--timeout", type=float, default=60.0, metavar="S", help="the longest call (default: 60)")
    parser.set_defaults(run=run)


def run(arguments: Namespace) -> int:
    """Places the call; returns the exit status."""
    try:
        wrong = trio.run(call, arguments)
    except OSError as error:
        host, port = arguments.address
        hint = f"does an engine listen there? reference-engine run FILE --audiosocket {host}:{port}"
        wrong = [f"the call could not be placed: {error}\n  hint: {hint}"]
    except ComponentError as error:
        wrong = [f"the caller can't speak: {error}"]
    for what in wrong:
        sys.stderr.write(f"{what}\n")
    return 1 if wrong else 0


async def call(arguments: Namespace) -> list[str]:
    """Holds the call; gives what was wrong with it."""
    async with open_speaker(arguments.voice) as speaker:
        lines = [Line(text, await speaker.say(text)) for text in arguments.say]
    host, port = arguments.address
    spoke: list[Spoke] = []

    def tell(what: Spoke) -> None:
        spoke.append(what)
        words = f'"{what.text}"' if what.text else f"level {what.level}"
        show(what.at_s, what.who, f"{what.seconds:5.2f} s  {words}")

    said = 0
    async with open_audiosocket_call(host, port) as caller:
        _say(f"call {caller.call_id} to {host}:{port}")
        with trio.move_on_after(arguments.timeout) as patience:
            said = await converse(caller, lines, tell)
            with trio.move_on_after(LISTEN_ON_S):
                await caller.hung_up.wait()
        await caller.hang_up()
        show(caller.seconds, *how_it_ended(caller))
        if arguments.wav:
            write_stereo_wav(arguments.wav, *caller.recording(), caller.audio.rate)
            _say(f"{arguments.wav}: the caller left, the agent right")
    replies = sum(what.who == "agent" for what in spoke)
    if patience.cancelled_caught:
        return [f"the call was not over after {arguments.timeout:g} s, {replies} replies in"]
    if not replies:
        return ["the agent did not speak"]
    if said < len(lines):
        return [f"the agent hung up before {lines[said].text!r} could be said"]
    return []


def how_it_ended(caller: AudioSocketCaller) -> tuple[str, str]:
    """Who ended the call, and how."""
    if caller.how == "caller":
        return "caller", "hung up"
    return "agent", f"hung up ({caller.how})"


def show(at_s: float, who: str, what: str) -> None:
    """One line of the account."""
    _say(f"{at_s:7.2f}  {who:<7} {what}")


def _say(text: str) -> None:
    """Writes a line at once, for it tells what happens now."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def address(text: str) -> tuple[str, int]:
    """`HOST:PORT` taken apart."""
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isdecimal() and int(port) < 2**16):
        raise ArgumentTypeError(f"{text!r} is not HOST:PORT, such as 127.0.0.1:9092")
    return host.removeprefix("[").removesuffix("]"), int(port)
