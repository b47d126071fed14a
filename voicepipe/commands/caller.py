"""The caller of `voicepipe call`: holds the conversation, and reports it line by line."""

from __future__ import annotations

import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

import trio

from voicepipe.testing.asterisk_websocket_caller import open_asterisk_websocket_call
from voicepipe.testing.audiosocket_caller import open_audiosocket_call, write_stereo_wav
from voicepipe.testing.conversation import Line, Spoke, converse
from voicepipe.testing.speaker import open_speaker

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import AsyncIterator

    from voicepipe.testing.caller import Caller

LISTEN_ON_S = 2.0
"""The time after the last reply in which the agent may hang up before the caller does, in s."""


async def call(arguments: Namespace) -> list[str]:
    """Holds the call, and returns the problems with it."""
    async with open_speaker(arguments.voice) as speaker:
        lines = [Line(text, await speaker.say(text)) for text in arguments.say]
    spoke: list[Spoke] = []

    def tell(what: Spoke) -> None:
        spoke.append(what)
        words = f'"{what.text}"' if what.text else f"level {what.level}"
        show(what.at_s, what.who, f"{what.seconds:5.2f} s  {words}")

    said = 0
    async with _open_call(arguments) as caller:
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


@asynccontextmanager
async def _open_call(arguments: Namespace) -> AsyncIterator[Caller]:
    if isinstance(arguments.address, str):
        parts = urlsplit(arguments.address)
        url = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        username, password = unquote(parts.username or ""), unquote(parts.password or "")
        async with open_asterisk_websocket_call(
            url, variables=dict(arguments.variable), username=username, password=password
        ) as caller:
            _say(f"calling {url}; the channel's ID is {caller.asterisk.channel_id}")
            yield caller
        return
    host, port = arguments.address
    async with open_audiosocket_call(host, port) as audiosocket_caller:
        _say(f"calling {host}:{port}; AudioSocket's UUID is {audiosocket_caller.call_id}")
        yield audiosocket_caller


def how_it_ended(caller: Caller) -> tuple[str, str]:
    """Returns the side that ended the call, and how it did."""
    if caller.how == "caller":
        return "caller", "hung up"
    return "agent", f"hung up ({caller.how})"


def show(at_s: float, who: str, what: str) -> None:
    """Writes one line of the report."""
    _say(f"{at_s:7.2f}  {who:<7} {what}")


def _say(text: str) -> None:
    """Writes a line and flushes it, because it reports the present."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
