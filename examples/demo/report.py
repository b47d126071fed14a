"""What is left when the calls are over: transcripts, the list of checks, and a summary."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from examples.demo.calls import Call
    from examples.demo.checks import Checks
    from examples.demo.expectations import Voice
    from examples.demo.screen import Screen


def transcript(call: Call) -> str:
    """A call in words: what the engine logged, with the times at which the caller heard it."""
    started, ended = call.started, call.ended
    chain = ", ".join(f"{role} {started[role]['adapter']} {started[role]['model']}" for role in ("stt", "llm", "tts"))
    lines = [
        f"{call.name}, {call.uuid}",
        f"answered by pipeline {started['pipeline']} on version {started['version']} of set {started['set']}: {chain}",
        "",
    ]
    callers = iter([spoke.at_s for spoke in call.spoke if spoke.who == "caller"])
    agents = iter([spoke.at_s for spoke in call.spoke if spoke.who == "agent"])
    for turn in call.turns:
        if turn["trigger"] == "utterance":
            lines.append(_line(next(callers, None), "caller", turn["heard"]))
        after = "" if turn["response_ms"] is None else f"   (after {turn['response_ms']:.0f} ms)"
        cut = "   (interrupted)" if turn["interrupted"] else ""
        lines.append(_line(next(agents, None), "agent", turn["said"] + after + cut))
    lines.append(_line(ended["duration_s"], "ended", f"{ended['outcome']}, {ended['turns']} turns"))
    return "\n".join(lines) + "\n"


def _line(at_s: float | None, who: str, text: str) -> str:
    at = "     ?" if at_s is None else f"{at_s:6.2f}"
    return f"{at}  {who:<6}  {text}"


def write_transcript(call: Call, output: Path) -> None:
    """Writes it beside the recording."""
    (output / f"{call.file_name}.txt").write_text(transcript(call), encoding="utf-8")


def write_checks(checks: Checks, output: Path) -> Path:
    """Writes all expectations, one a line; gives the file."""
    path = output / "checks.txt"
    path.write_text("".join(f"{check}\n" for check in checks.done), encoding="utf-8")
    return path


def summarise(screen: Screen, calls: Iterable[Call], voices: Sequence[Voice]) -> None:
    """Shows the calls and the two agents' voices as tables."""
    screen.heading("What happened")
    rows = [
        (
            call.name,
            call.started["pipeline"],
            str(call.started["version"]),
            str(call.started["tts"]["model"]),
            str(call.ended["turns"]),
            ", ".join(f"{turn['response_ms']:.0f}" for turn in call.turns if turn["response_ms"] is not None) + " ms",
            call.ended["outcome"],
            f"{call.ended['duration_s']:.1f} s",
        )
        for call in calls
    ]
    screen.table(("", "pipeline", "version", "voice", "turns", "replies after", "outcome", "length"), rows)
    screen.text("")
    figures = [
        (voice.pipeline, f"{voice.greeting_s:.2f} s", f"{voice.pitch_hz:.0f} Hz", f"{voice.brightness_hz:.0f} Hz")
        for voice in voices
    ]
    screen.table(("agent of", "greeting", "pitch", "centre of the spectrum"), figures)


def conclude(screen: Screen, checks: Checks, output: Path) -> None:
    """Shows whether all went as expected, and where to look and listen."""
    screen.text("")
    total, failed = len(checks.done), checks.failed
    where = output / "checks.txt"
    if failed:
        screen.block([f"{len(failed)} of {total} expectations did NOT come true ({where}):"], "bad", indent=0)
        for check in failed:
            screen.block([f"{check.about}: {check.expected}"], indent=2)
            screen.block([f"found: {check.found}"], "faint", indent=4)
    else:
        screen.block([f"All {total} expectations came true ({where})."], "good", indent=0)
    left = f"In {output}: call-*.wav (caller left, agent right), a transcript .txt beside each, engine.log, and the "
    screen.block([left + "configuration as it was left."], indent=0)
