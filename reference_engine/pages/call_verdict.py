"""Says why a call ended or failed, in one sentence, and what else is worth a look, each with its moment. Sans-I/O.

The sentence is for who has a call's ID and no time. It names the last thing that went wrong before the end: the
component, its own message, and what the engine did about it. What did not end the call is a finding below it.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Literal

from attrs import frozen

from reference_engine.pages.call_words import ROLES, at, one_line, quoted
from reference_engine.pages.filters import counted, length, milliseconds
from reference_engine.pages.timeline import STEPS, ends_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from reference_engine.records.history import CallDetail

    Row = Mapping[str, Any]

SLOW_MS = 2000.0
"""A response time from which a turn is worth a look, in ms."""

WAITED_S = 2.0
"""How long a caller who hung up must have waited for a reply that the wait is worth a word, in s."""

Level = Literal["good", "warn", "bad", "info"]


@frozen
class Finding:
    """Something worth a look."""

    level: Level
    """How bad it is."""
    text: str
    """What it is, in a sentence."""
    at_s: float | None = None
    """Where it is in the call, in s; None: nowhere in particular."""
    answered: str = ""
    """The provider's own words; empty: there were none, or it is no failure of a component."""
    hint: str = ""
    """A remedy; empty: none is known."""


@frozen
class Verdict:
    """Why a call ended, and what else happened."""

    level: Level
    """How bad it is."""
    sentence: str
    """Why it ended or failed."""
    findings: tuple[Finding, ...]
    """What else is worth a look, the worst first."""
    answered: str = ""
    """The own words of the provider whose failure ended the call; empty: there were none."""
    hint: str = ""
    """A remedy for that failure; empty: none is known."""


def verdict_of(detail: CallDetail) -> Verdict:
    """Returns why a call ended, and what else is worth a look."""
    order = {"bad": 0, "warn": 1, "info": 2, "good": 3}
    findings = sorted(_findings(detail), key=lambda finding: (order[finding.level], finding.at_s or 0.0))
    level, sentence = _ending(detail)
    fatal = _fatal(detail) or {}
    return Verdict(level, sentence, tuple(findings), quoted(fatal), fatal.get("hint", ""))


def _fatal(detail: CallDetail) -> Row | None:
    """Returns the failure that ended the call; None: none did."""
    if detail.summary.outcome not in {"failed", "returned_to_dialplan"}:
        return None
    return next((row for row in reversed(detail.failures) if row["what"] == "failed"), None)


def _ending(detail: CallDetail) -> tuple[Level, str]:
    summary, detail_text = detail.summary, detail.summary.detail
    after = "" if summary.duration_s is None else f" after {length(summary.duration_s)}"
    why = f": {detail_text}" if detail_text else ""
    if summary.state == "up":
        return "info", "The call is up."
    if summary.state == "lost":
        last = max((turn["at_s"] for turn in detail.turns), default=None)
        known = "nothing was stored of it" if last is None else f"the last thing that is known of it was {at(last)}"
        return (
            "bad",
            f"The engine that held the call stopped without ending it (killed, or the machine went down); {known}.",
        )
    if summary.outcome == "failed":
        return "bad", _failure(detail, after)
    if summary.outcome == "caller_hung_up":
        return _hung_up(detail, after)
    if summary.outcome == "returned_to_dialplan" and any(row["what"] == "failed" for row in detail.failures):
        return "bad", f"{_failure(detail, after)} The caller was sent back to the dialplan."
    level, words = _ENDINGS.get(summary.outcome or "", ("info", "The call ended{after}: {outcome}{why}."))
    phrase = f" (“{detail_text}”)" if detail_text else ""
    return level, words.format(
        after=after, why=why, phrase=phrase, target=_target(detail), outcome=summary.outcome or "nobody knows how"
    )


_ENDINGS: dict[str, tuple[Level, str]] = {
    "no_audio": ("bad", "No audio came from the caller, so the call was ended{after}{why}."),
    "agent_hung_up": ("good", "The agent hung up{after}."),
    "said_goodbye": ("good", "The caller said goodbye{phrase}, and the call ended{after}."),
    "transferred": ("good", "The caller was transferred to {target}{after}."),
    "transfer_requested": ("good", "The call was handed over to be transferred to {target}{after}."),
    "idle": ("warn", "The caller said nothing for too long, so the agent ended the call{after}."),
    "max_length": ("warn", "The call reached its greatest length (limits.max_call_minutes){after}."),
    "drained": ("info", "The engine was drained, so the call ended after the agent's reply{after}."),
    "cancelled": ("warn", "The engine was stopped, which ended the call{after}{why}."),
    "returned_to_dialplan": ("info", "The caller was sent back to the dialplan{after}{why}."),
}


def _target(detail: CallDetail) -> str:
    if detail.transfers:
        return str(detail.transfers[-1]["target"])
    return detail.summary.detail or "somebody"


def _failure(detail: CallDetail, after: str) -> str:
    failed = [row for row in detail.failures if row["what"] == "failed"]
    if not failed:
        return f"The call failed{after}: {detail.summary.detail or 'its record has no reason'}."
    last = failed[-1]
    others = [row for row in failed if row["role"] == last["role"] and row["component"] != last["component"]]
    role = ROLES.get(last["role"], last["role"])
    sentence = (
        f"The call failed{after} because {role} failed {at(last['at_s'])}: {last['component']}: {_dot(last['message'])}"
    )
    if others:
        first = others[-1]
        sentence += f" Before that {first['component']} had failed {at(first['at_s'])}: {_dot(first['message'])}"
    if any(row["what"] == "apology" for row in detail.failures):
        sentence += " The caller heard an apology."
    return sentence


def _hung_up(detail: CallDetail, after: str) -> tuple[Level, str]:
    turns, duration = detail.turns, detail.summary.duration_s or 0.0
    last = turns[-1] if turns else None
    if last is None:
        return "warn", f"The caller hung up{after}, before anything was said."
    since = ends_of(last)[0]
    if not last["said"] and last["said_from_s"] is None and since is not None and duration - since >= WAITED_S:
        missing = f" ({words})" if (words := _missing(last)) else ""
        return "bad", f"The caller hung up{after}, having waited {duration - since:.1f} s for a reply{missing}."
    if last["interrupted"] and last["said"] and duration - last["at_s"] < 0.5:
        return "warn", f"The caller hung up{after}, in the middle of the agent's reply."
    return "good", f"The caller hung up{after}."


def _missing(turn: Row) -> str:
    """Returns which step of a reply never came."""
    timings = turn["timings"]
    known = [name for name, *_ in STEPS if timings.get(name) is not None]
    if "first_audio_ms" in known:
        return "the line took none of its speech"
    if "first_token_ms" in known:
        return "the voice had not spoken yet"
    if "asked_ms" in known:
        return "the model had not answered yet"
    return ""


def _findings(detail: CallDetail) -> Iterator[Finding]:
    yield from _failures(detail)
    yield from _passed_over(detail)
    yield from _waits(detail)
    for tool in detail.tools:
        if not tool["ok"]:
            yield Finding("warn", f"The tool {tool['name']} failed: {one_line(tool['result'], 200)}", tool["at_s"])
    for row in detail.transfers:
        if row["failure"]:
            yield Finding("warn", f"The transfer to {row['target']} failed: {_dot(row['failure'])}", row["at_s"])
    if detail.recording_failed:
        yield Finding("warn", f"The recording is not whole: {_dot(detail.recording_failed)}")
    if detail.interruptions >= 3:
        number = counted(detail.interruptions, "reply").replace("replys", "replies")
        yield Finding("info", f"The caller cut {number} short.")


def _failures(detail: CallDetail) -> Iterator[Finding]:
    """Yields the failures that the call survived, those of one component with one message together."""
    steps: dict[tuple[str, str, str], list[tuple[Row, str]]] = {}
    rows = detail.failures
    fatal = _fatal(detail)
    for row, then in zip_longest(rows, rows[1:]):
        if row["what"] != "failed" or row is fatal:
            continue
        steps.setdefault((row["role"], row["component"], row["message"]), []).append((row, _step(then)))
    for (role, component, message), found in steps.items():
        row, step = found[0][0], found[-1][1]
        times = f" {len(found)} times" if len(found) > 1 else ""
        text = f"{component} ({ROLES.get(role, role)}) failed{times}: {_dot(message)}"
        sentence = f"{text} Then {step}." if step else text
        yield Finding("bad", sentence, row["at_s"], quoted(row), row.get("hint", ""))


def _passed_over(detail: CallDetail) -> Iterator[Finding]:
    """Yields the first choices that the call did without from the beginning."""
    used: dict[str, list[str]] = {}
    for use in detail.usage:
        used.setdefault(use["role"], []).append(use["component"])
    for role, names in used.items():
        first = detail.components.get(role, {}).get("name", names[0])
        if first not in names:
            because = "was passed over, since its circuit breaker was open after failures in other calls"
            role_words = ROLES.get(role, role)
            yield Finding(
                "warn", f"{first}, the first choice for {role_words}, {because}. {names[0]} served this call."
            )


def _step(then: Row | None) -> str:
    """Returns what was done about a failure, in words; empty: it is not known."""
    if then is None:
        return ""
    return {"retry": "it was tried again", "alternate": f"{then['component']} went on"}.get(then["what"], "")


def _waits(detail: CallDetail) -> Iterator[Finding]:
    """Yields the slowest turn, if it was slow, and the step that took most of it."""
    slow = [turn for turn in detail.turns if (turn["response_ms"] or 0.0) >= SLOW_MS]
    if not slow:
        return
    worst = max(slow, key=lambda turn: turn["response_ms"])
    before, parts = 0.0, []
    for name, kind, _ in STEPS:
        if (ms := worst["timings"].get(name)) is not None and ms > before:
            parts.append((ms - before, kind.replace("-", " ")))
            before = ms
    most = f", of which {milliseconds(max(parts)[0])} went to the {max(parts)[1]}" if parts else ""
    text = f"Turn {worst['turn']} was answered only after {milliseconds(worst['response_ms'])}{most}."
    more = f" {counted(len(slow), 'turn')} took longer than {SLOW_MS / 1000:g} s." if len(slow) > 1 else ""
    yield Finding("warn", text + more, worst["heard_until_s"])


def _dot(text: str) -> str:
    """Returns a text as the end of a sentence."""
    line = one_line(text, 400)
    return line if line.endswith((".", "!", "?", "…")) else f"{line}."
