"""The calls under measurement: pipelines from a file, AudioSocket calls on them, through the public API.

`python server.py FILE [--reload S] [--pauses] [--mulaw]` prints its port, takes calls until its input ends, and prints
as JSON what it measured: the response times of the calls in ms, the steps that they are made of, how its reloads went,
with `--pauses` or `--task-times` what `loop_turns` notes, and which voicepipe that was.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from argparse import ArgumentParser
from importlib import import_module
from pathlib import Path

import trio
from bench_components import FINAL, PRECISELY
from loop_turns import LoopTurns, TaskTimes
from mulaw_calls import MulawCall
from sampler import sampled, write

import voicepipe
from voicepipe import ReplyStarted, Transcribed, TurnEnded

TRANSPORTS = {
    "asterisk_websocket": "voicepipe.transports.asterisk_websocket.listener",
    "media_stream": "voicepipe.transports.media_stream.transport_type",
}
"""The module of each, which is imported when it is measured: earlier revisions, which are measured too, have none."""
OPTIONS = {
    "media_stream": {
        "dialect": "twilio",
        "public_url": "http://127.0.0.1",
        "token": voicepipe.Secret("the-token-of-the-benchmark"),
    }
}
STEPS = "final_ms", "asked_ms", "first_token_ms", "first_audio_ms", "heard_ms"


class Responses:
    """An observer's notes: from the recogniser's final transcript to the first audio that was written, in ms."""

    def __init__(self):
        self.ms = []
        self.steps = []  # of each reply to an utterance

    def of_a_call(self):
        final_at = None

        def observe(event):
            nonlocal final_at
            if isinstance(event, Transcribed):
                if event.final and event.text.startswith(FINAL):
                    final_at = float(event.text.removeprefix(FINAL).removesuffix(PRECISELY))
            elif isinstance(event, ReplyStarted) and final_at is not None:
                self.ms.append((time.perf_counter() - final_at) * 1000)
                final_at = None
            elif isinstance(event, TurnEnded) and event.trigger == "utterance":
                self.steps.append(steps_of(event.timings))

        return observe


def steps_of(timings):
    """The steps of a reply, as a dict of ms since the caller's last speech."""
    return {name: getattr(timings, name) for name in STEPS}


async def reload_every(seconds, pipelines, outcomes):
    """Changes the file and has it read again; the change is a pause that no call notices."""
    text, number = pipelines.path.read_text(), 0
    while True:
        await trio.sleep(seconds)
        number += 1
        pipelines.path.write_text(text.replace("gap_ms: 0", f"gap_ms: {number}"))
        outcomes.append(type(await pipelines.reload()).__name__)


async def main(arguments):
    responses, outcomes, collector = Responses(), [], voicepipe.Collector()
    turns = TaskTimes() if arguments.task_times else LoopTurns()

    async with (
        voicepipe.open_pipeline_set(arguments.file, observer=collector.observe_set) as pipelines,
        trio.open_nursery() as nursery,
    ):

        async def answer(transport):
            with pipelines.pin() as snapshot:
                pipeline = snapshot.choose(transport.info)
                if arguments.mulaw:
                    transport = MulawCall(transport)
                async with voicepipe.open_call(pipeline, transport, observer=responses.of_a_call()) as call:
                    await call.run()

        async def serve(task_status):
            if arguments.transport == "audiosocket":
                await voicepipe.serve_audiosocket(answer, port=0, max_connections=2000, task_status=task_status)
                return
            transport = getattr(import_module(TRANSPORTS[arguments.transport]), arguments.transport)
            context = voicepipe.ListenerContext(max_connections=2000)
            async with transport.open(transport.options(port=0, **OPTIONS.get(transport.name, {})), context) as opened:
                task_status.started(opened)
                await opened.serve(answer)

        listener = await nursery.start(serve)
        print(listener.address[1], flush=True)
        if arguments.reload:
            nursery.start_soon(reload_every, arguments.reload, pipelines, outcomes)
        nursery.start_soon(collector.run)
        if arguments.pauses or arguments.task_times:
            trio.lowlevel.add_instrument(turns)
        if arguments.profile is None:
            await trio.to_thread.run_sync(sys.stdin.read)
        else:
            await trio.sleep(arguments.profile_after)
            with sampled() as stacks:
                await trio.to_thread.run_sync(sys.stdin.read)
            write(stacks, arguments.profile)
        nursery.cancel_scope.cancel()
    measured = {"response_ms": responses.ms, "steps": responses.steps, "reloads": outcomes, **turns.noted()}
    measured["package"] = str(Path(voicepipe.__file__).parent)
    print(json.dumps(measured), flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="the pipelines")
    parser.add_argument(
        "--transport",
        choices=("audiosocket", *TRANSPORTS),
        default="audiosocket",
        help="over which calls come (default: audiosocket)",
    )
    parser.add_argument("--reload", type=float, default=0, help="reload them so often, in s (default: never)")
    parser.add_argument("--mulaw", action="store_true", help="calls are in mu-law, converted from what callers send")
    parser.add_argument("--pauses", action="store_true", help="note the longest turns of the loop")
    parser.add_argument(
        "--task-times", action="store_true", help="note the CPU time of tasks besides, which costs some"
    )
    parser.add_argument("--profile", type=Path, help="a folder for a profile of the calls")
    parser.add_argument("--profile-after", type=float, default=0, help="seconds before it begins (default: 0)")
    trio.run(main, parser.parse_args())
