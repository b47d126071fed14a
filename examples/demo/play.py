"""The demonstration from beginning to end: rehearse, start the engine, tell the story, look at what is left of it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

import trio

from examples.demo.calls import rehearse
from examples.demo.cast import EVERYBODY, ONE, THREE
from examples.demo.checks import Checks
from examples.demo.engine import STOP_S, open_engine
from examples.demo.expectations import (
    check_conversation,
    check_difference,
    check_engine,
    check_recording,
    check_reloads,
    measure_voice,
)
from examples.demo.failure import DemoFailed
from examples.demo.report import conclude, summarise, write_checks, write_transcript
from examples.demo.story import tell_story
from voicepipe import ComponentError, open_pipeline_set, open_runtime
from voicepipe.testing.speaker import open_speaker

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from examples.demo.calls import Call
    from examples.demo.cast import Part
    from examples.demo.engine import Record
    from examples.demo.screen import Screen

FILE: Final = "ai-agent.yaml"
LAST_LINES: Final = 10
"""How much of the log is shown when something went wrong."""


async def play(config: Path, output: Path, screen: Screen) -> bool:
    """Plays it; true if everything went as expected. What did not is on the screen.

    Args:
        config: the directory with `ai-agent.yaml`; a copy is used.
        output: the directory that gets the copy, the recordings, the transcripts and the log; made if it isn't there.
        screen: where it shows.

    """
    log = output / "engine.log"
    log.unlink(missing_ok=True)
    checks, reasons = None, []
    try:
        checks = await _play(config, output, screen)
    except* (DemoFailed, ComponentError) as group:
        reasons = _leaves(group)
    if checks is not None:
        conclude(screen, checks, output)
        return not checks.failed
    for reason in reasons:
        screen.text("")
        screen.block([f"The demonstration can't go on: {reason}"], "bad", indent=0)
    if log.exists():
        screen.block([f"The engine's log ({log}) ends with:"], indent=0)
        screen.block(log.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:], "faint", indent=2)
    return False


async def _play(config: Path, output: Path, screen: Screen) -> Checks:
    shutil.copytree(config, output / "config", dirs_exist_ok=True)
    file = output / "config" / FILE
    calls = await _rehearse()
    by_uuid = {call.uuid: call for call in calls.values()}
    by_id: dict[str, Call] = {}

    def tell(record: Record) -> None:
        call_id = record.get("call_id", "")
        if call := by_uuid.get(record.get("transport_id", "")) or by_id.get(call_id):
            by_id[call_id] = call
            call.tell(record, screen)

    screen.text("Times are seconds since the start; what an agent says is shown when it has been said.", "faint")
    screen.event("engine", "starts", f"reference-engine run {file}")
    async with open_engine(file, output / "engine.log", tell) as engine:
        host, port = engine.address
        screen.event("engine", "ready", f"AudioSocket on {host}:{port}, process {engine.process_id}", "good")
        reloads = await tell_story(calls, engine, screen, output)
        status = await engine.stop()
        await engine.log.wait_for("engine.stopped", within_s=STOP_S)
        records = engine.log.records
    checks = Checks()
    for call in calls.values():
        write_transcript(call, output)
        check_conversation(checks, call)
    check_reloads(checks, calls, reloads, records)
    await _look_at_recordings(checks, calls, (config / FILE, file), output, screen)
    check_engine(checks, status, records)
    write_checks(checks, output)
    return checks


async def _rehearse() -> dict[Part, Call]:
    """Everybody's call with everybody's lines, spoken."""
    calls: dict[Part, Call] = {}

    async def prepare(part: Part) -> None:
        async with open_speaker(part.voice) as speaker:
            calls[part] = await rehearse(part, speaker)

    async with trio.open_nursery() as nursery:
        for part in EVERYBODY:
            nursery.start_soon(prepare, part)
    return {part: calls[part] for part in EVERYBODY}


async def _look_at_recordings(
    checks: Checks, calls: dict[Part, Call], files: Iterable[Path], output: Path, screen: Screen
) -> None:
    """Checks the WAVs with the components that the versions' own files name, and shows the summary."""
    screen.event("listener", "checks", "the recordings: the recogniser and both voices, once more")
    recordings = {}
    async with open_runtime() as runtime:
        for file in files:
            async with open_pipeline_set(file, runtime=runtime) as opened:
                for part, call in calls.items():
                    if pipeline := opened.current.pipelines.get(part.pipeline):
                        wav = output / f"{call.file_name}.wav"
                        recordings[part] = await check_recording(checks, call, wav, pipeline)
    if unchecked := calls.keys() - recordings.keys():
        raise DemoFailed(f"no version's file has the pipeline of {', '.join(part.name for part in unchecked)}")
    voices = [measure_voice(calls[part], recordings[part]) for part in (ONE, THREE)]
    check_difference(checks, *voices)
    summarise(screen, calls.values(), voices)


def _leaves(group: BaseExceptionGroup[Exception]) -> list[Exception]:
    leaves: list[Exception] = []
    for error in group.exceptions:
        leaves += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return leaves
