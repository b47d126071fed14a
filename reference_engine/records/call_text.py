"""One call as text for a terminal: first why it ended, then on what it ran, then what happened, in order of time."""

from __future__ import annotations

from datetime import UTC, datetime
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from attrs import asdict, frozen

from reference_engine.records.call_lists import DIM, OFF, RED, marks_of, plain, printable
from reference_engine.records.lengths import length

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from reference_engine.records.history import CallDetail, CallSummary

_BOLD, _YELLOW = "\x1b[1m", "\x1b[33m"
_LABEL = 10
_AT = 10
_WHO = 8

OUTCOMES = {
    "caller_hung_up": "the caller hung up",
    "agent_hung_up": "the agent hung up (its tool hang_up)",
    "said_goodbye": "the agent said goodbye and hung up",
    "transfer_requested": "the caller was handed to the dialplan for a transfer",
    "transferred": "the caller was transferred",
    "idle": "the caller said nothing for too long (limits.idle_prompt_s)",
    "max_length": "it reached its longest time (limits.max_call_minutes)",
    "no_audio": "no audio came from the transport",
    "drained": "the engine stopped, or its version was drained",
    "cancelled": "the program cancelled it",
    "failed": "a component failed and no alternative was left",
    "returned_to_dialplan": "the caller was handed back to the dialplan",
}
"""Outcomes in words."""


def as_data(call: CallDetail) -> dict[str, Any]:
    """Returns a call as plain data for JSON."""
    data: dict[str, Any] = plain(asdict(call))
    summary: dict[str, Any] = data.pop("summary")
    return summary | data


def as_text(call: CallDetail, *, width: int = 80, colour: bool = False) -> str:
    """Returns a call as text.

    Args:
        call: the call.
        width: of the terminal.
        colour: whether failures are red and interruptions yellow.

    """
    page = _Page(min(max(width, 60), 120), colour)
    page.title(call.summary)
    for label, text, style in _head(call):
        page.labelled(label, text, style)
    page.section("What happened, in seconds since the call began")
    for moment in sorted(_moments(call), key=lambda moment: moment.at_s):
        page.moment(moment)
    if call.usage:
        page.section("Usage")
        for use in call.usage:
            page.labelled(str(use["role"]), _use(use))
    return "\n".join(page.lines) + "\n"


def why(call: CallDetail) -> str:
    """Returns why a call ended, and which component failed last, in a sentence or two."""
    summary = call.summary
    if summary.state == "up":
        end = "it is up"
    elif summary.state == "lost":
        end = "its engine died, or lost its machine; what was written until then is below"
    else:
        end = OUTCOMES.get(summary.outcome or "", (summary.outcome or "").replace("_", " "))
        end += f": {summary.detail}" if summary.detail and summary.detail != end else ""
    failed = [failure for failure in call.failures if failure["what"] == "failed"]
    if not failed:
        return end
    last = failed[-1]
    times = f"{len(failed)} failures, the last: " if len(failed) > 1 else ""
    return f"{end}. {times}{last['role']} {last['component']} at {last['at_s']:.1f} s: {vendor_words(last)}"


def vendor_words(failure: Mapping[str, Any]) -> str:
    """Returns what failed, in our words and in the provider's own."""
    answered = failure.get("answered")
    return f"{failure['message']}; it answered: {answered}" if answered else str(failure["message"])


@frozen
class _Moment:
    at_s: float
    who: str
    text: str
    style: str = ""
    until_s: float | None = None


class _Page:
    def __init__(self, width: int, colour: bool) -> None:
        self._width, self._colour = width, colour
        self.lines: list[str] = []

    def title(self, summary: CallSummary) -> None:
        state = "FAILED" if summary.outcome == "failed" else ", ".join((summary.state.upper(), *marks_of(summary)))
        style = RED if summary.failed else _BOLD
        self._add(f"call {printable(summary.call_id)}  {state}", style)

    def section(self, title: str) -> None:
        self.lines.append("")
        self._add(title, _BOLD)

    def labelled(self, label: str, text: str, style: str = "") -> None:
        if text:
            self._wrapped(f"  {label:<{_LABEL}}", text, style)

    def moment(self, moment: _Moment) -> None:
        at = f"{moment.at_s:.1f}" + (f"-{moment.until_s:.1f}" if moment.until_s is not None else "")
        self._wrapped(f"  {at:<{_AT}} {moment.who:<{_WHO}}", moment.text, moment.style)

    def _wrapped(self, beginning: str, text: str, style: str) -> None:
        room = self._width - len(beginning) - 1
        rows = [row for line in text.split("\n") for row in wrap(printable(line), room)] or [""]
        for number, row in enumerate(rows):
            before = beginning if number == 0 else " " * len(beginning)
            self.lines.append(f"{self._styled(before, DIM)} {self._styled(row, style)}".rstrip())

    def _add(self, line: str, style: str) -> None:
        self.lines.append(self._styled(line, style))

    def _styled(self, text: str, style: str) -> str:
        return f"{style}{text}{OFF}" if self._colour and style and text.strip() else text


def _head(call: CallDetail) -> Iterator[tuple[str, str, str]]:
    summary = call.summary
    yield "why", why(call), RED if summary.failed else ""
    began = summary.began.astimezone()
    yield "began", f"{began:%Y-%m-%d %H:%M:%S %Z}, {_ago(summary.began)}", ""
    lasted = ", ".join(filter(None, (_length(call), f"{_count(summary.turns, 'turn')}{_answers(call)}")))
    yield "length", lasted, ""
    yield "caller", f"{summary.caller or 'not known'}, called {summary.called or 'not known'}", ""
    on = f"pipeline {summary.pipeline}, set {summary.set}"
    yield "ran", f"{on}, version {summary.version}, digest {summary.digest[:12]}", ""
    named = {role: label for role, label in call.components.items() if label}
    yield "components", ", ".join(f"{role} {_label(label)}" for role, label in named.items()), ""
    engine = f"engine {summary.engine}" if summary.engine else ""
    engine += f", worker {call.worker}" if call.worker is not None else ""
    software = f"voicepipe {call.software}" if call.software else ""
    listener = f"listener {call.listener}" if call.listener else ""
    yield "answered", ", ".join(filter(None, (engine, software, listener, summary.transport))), ""
    yield "transport", f"ID {summary.transport_id}" if summary.transport_id else "", ""
    yield "cost", _cost(call), ""
    recorded = call.recording or ("none" if call.consent else "")
    yield "recording", recorded + (f", consent {call.consent}" if call.consent else ""), ""
    yield "", f"the recording stopped: {call.recording_failed}" if call.recording_failed else "", RED
    yield "trace", call.trace_id or "", ""
    yield "variables", ", ".join(f"{name}={value}" for name, value in call.variables.items()), ""
    yield "metadata", ", ".join(f"{name}={value}" for name, value in call.metadata.items()), ""


def _moments(call: CallDetail) -> Iterator[_Moment]:
    for turn in call.turns:
        yield from _of_turn(turn)
    for tool in call.tools:
        begun = max(0.0, tool["at_s"] - tool["seconds"])
        result = f"{tool['name']} {'answered' if tool['ok'] else 'FAILED'} in {tool['seconds']:.1f} s: {tool['result']}"
        yield _Moment(begun, "tool", result, "" if tool["ok"] else RED)
    for failure in call.failures:
        if failure["what"] == "failed":
            hint = f"\n[{failure['hint']}]" if failure.get("hint") else ""
            text = f"{failure['role']} {failure['component']} FAILED: {vendor_words(failure)}{hint}"
            yield _Moment(failure["at_s"], "failure", text, RED)
        else:
            text = _STEPS.get(failure["what"], failure["what"])
            yield _Moment(failure["at_s"], "then", f"{text} {failure['component']}".strip(), _YELLOW)
    for step in call.steering:
        changed = ", ".join(f"{name}={value}" for name, value in step["variables"].items())
        yield _Moment(step["at_s"], "steered", " ".join(filter(None, (step["action"], step["text"], changed))))
    for transfer in call.transfers:
        what = f"to {transfer['target']} " + (f"FAILED: {transfer['failure']}" if transfer["failure"] else "was taken")
        yield _Moment(transfer["at_s"], "transfer", what, RED if transfer["failure"] else "")
    summary = call.summary
    if summary.duration_s is not None:
        end = (summary.outcome or "").replace("_", " ")
        yield _Moment(summary.duration_s + 1e-9, "end", end, RED if summary.outcome == "failed" else "")


_STEPS = {
    "retry": "tried again:",
    "alternate": "the next one went on:",
    "apology": "the caller heard an apology",
}


def _of_turn(turn: Mapping[str, Any]) -> Iterator[_Moment]:
    heard, said, end = turn["heard"], turn["said"], turn["at_s"]
    said_from = turn.get("said_from_s")
    if heard:
        begun = turn.get("heard_from_s")
        begun = min(begun if begun is not None else end, said_from if said_from is not None else end)
        yield _Moment(begun, "caller", heard, "", turn.get("heard_until_s"))
    waited = f"after {turn['response_ms']:.0f} ms" if turn.get("response_ms") is not None else ""
    slowest = f" ({steps})" if waited and (steps := _steps(turn.get("timings") or {})) else ""
    cut_short = "cut short by the caller" if turn["interrupted"] else ""
    notes = ", ".join(filter(None, (f"{waited}{slowest}", cut_short)))
    if said or notes:
        text = (said or "(nothing was heard)") + (f"\n[{notes}]" if notes else "")
        style = _YELLOW if turn["interrupted"] else ""
        yield _Moment(end if said_from is None else said_from, "agent", text, style, turn.get("said_until_s"))


def _steps(timings: Mapping[str, float | None]) -> str:
    """Returns how long each step of a reply took, each from the step before."""
    names = {"final_ms": "stt", "asked_ms": "end of turn", "first_token_ms": "llm", "first_audio_ms": "tts"}
    steps, before = [], 0.0
    for name, of in names.items():
        at = timings.get(name)
        if at is not None:
            steps.append(f"{of} {max(0.0, at - before):.0f}")
            before = max(before, at)
    return ", ".join(steps)


def _use(use: Mapping[str, Any]) -> str:
    amounts = [_count(use["requests"], "request")]
    if use["reported"] < use["requests"] and use["reported"]:
        amounts.append(f"{use['reported']} with usage")
    for name, noun in _FIGURES.items():
        if use.get(name) is not None:
            amounts.append(f"{use[name]:,.0f} {noun}")
    if use.get("cost") is not None:
        amounts.append(_money(use["cost"], use.get("currency"), is_least=bool(use.get("cost_is_least"))))
    return f"{_label({**use, 'name': use['component']})}: " + ", ".join(amounts)


_FIGURES = {
    "input_tokens": "tokens in",
    "output_tokens": "tokens out",
    "characters": "characters",
    "audio_s": "s of audio",
    "charged_characters": "characters charged",
    "charged_audio_s": "s of audio charged",
}


def _label(label: Mapping[str, Any]) -> str:
    of = " ".join(filter(None, (label.get("adapter"), label.get("model"))))
    name = label.get("name")
    return of if name in {None, label.get("adapter")} else f"{name} ({of})"


def _length(call: CallDetail) -> str:
    if call.summary.duration_s is not None:
        return length(call.summary.duration_s)
    if call.summary.state != "lost":
        return ""
    return f"at least {length(call.known_s)}, to the last that was written" if call.known_s else "not known"


def _cost(call: CallDetail) -> str:
    summary = call.summary
    if summary.cost is not None:
        return _money(summary.cost, summary.currency, is_least=summary.cost_is_least)
    return "not known" if summary.state != "ended" else f"not known: {why_no_cost(call)}"


def why_no_cost(call: CallDetail) -> str:
    """Returns why nothing is known of the cost of a call that has ended."""
    if call.summary.currency is None:
        return "no prices were configured (`prices`)"
    unpriced, unreported = list[str](), list[str]()
    for use in call.usage:
        if use.get("cost") is None:
            names = unpriced if use.get("currency") is None else unreported
            names.append(_label({**use, "name": use["component"]}))
    reasons = []
    if unpriced:
        reasons.append(f"`prices` had none for {', '.join(unpriced)}")
    if unreported:
        reasons.append(f"{', '.join(unreported)} reported no use")
    return "; ".join(reasons) or "the call used no component"


def _money(cost: float, currency: str | None, *, is_least: bool) -> str:
    amount = f"{cost:.6f}".rstrip("0")
    whole, _, rest = amount.partition(".")
    return f"{'at least ' if is_least else ''}{whole}.{rest.ljust(2, '0')} {currency or ''}".rstrip()


def _answers(call: CallDetail) -> str:
    parts = []
    if call.summary.response_ms is not None:
        parts.append(f"answers after {call.summary.response_ms:.0f} ms (median)")
    if call.interruptions:
        parts.append(_count(call.interruptions, "interruption"))
    if call.discarded_replies:
        parts.append(f"{call.discarded_replies} replies prepared in vain")
    return "".join(f", {part}" for part in parts)


def _count(number: int, of: str) -> str:
    return f"{number:,} {of}{'' if number == 1 else 's'}"


def _ago(time: datetime) -> str:
    seconds = (datetime.now(UTC) - time).total_seconds()
    if seconds < 0:
        return "in the future: the engine's clock and this machine's differ"
    for unit, size in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            return f"{_count(int(seconds // size), unit)} ago"
    return "just now"
