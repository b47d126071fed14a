"""Says in words what is in a call's record: how it ended, what failed, what steered it. Sans-I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reference_engine.pages.filters import length

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reference_engine.records.history import CallSummary

    Row = Mapping[str, Any]

MOST_QUOTED = 600
"""The most characters of a provider's own words."""

ROLES = {"stt": "speech-to-text", "llm": "the language model", "tts": "text-to-speech"}
"""The roles of components, as they are written in a sentence."""

OUTCOMES = {
    "caller_hung_up": "the caller hung up",
    "agent_hung_up": "the agent hung up",
    "said_goodbye": "the caller said goodbye",
    "transfer_requested": "handed over for a transfer",
    "transferred": "transferred",
    "idle": "the caller was silent for too long",
    "max_length": "the call reached its greatest length",
    "no_audio": "no audio came from the caller",
    "drained": "the engine was drained",
    "cancelled": "the engine was stopped",
    "failed": "the call failed",
    "returned_to_dialplan": "returned to the dialplan",
}
"""How a call ended, by `CallEnded.outcome`."""

STEERING = {
    "say": "asked to say:",
    "play": "asked to play",
    "tell": "told the model:",
    "transfer": "asked to transfer to",
    "hang_up": "asked to hang up",
    "set_variables": "variables set",
    "set_language": "language set to",
    "pause_recording": "recording paused",
    "resume_recording": "recording resumed",
}
"""What a call was asked for, by `CallSteered.action`."""

TRIGGERS = {
    "call_started": "the beginning of the call",
    "utterance": "the caller's words",
    "dtmf": "a key",
    "silence": "silence",
    "tool_results": "results of tools",
    "told": "a fact",
    "announcement": "an announcement",
}
"""What a reply answered, by `TurnEnded.trigger`."""


def one_line(text: str, characters: int) -> str:
    """Returns a text on one line, of at most that many characters."""
    line = " ".join(text.split())
    return line if len(line) <= characters else line[: max(0, characters - 1)].rstrip() + "…"


def outcome_words(summary: CallSummary) -> str:
    """Returns how a call ended, in a few words."""
    if summary.state == "up":
        return "the call is up"
    if summary.state == "lost":
        return "lost with its engine"
    return OUTCOMES.get(summary.outcome or "", (summary.outcome or "it ended").replace("_", " "))


def quoted(row: Row) -> str:
    """Returns the own words of the provider that failed, unless our message has them already; empty: there are none."""
    answered = one_line(row.get("answered", ""), MOST_QUOTED)
    return "" if answered and answered in row["message"] else answered


def failure_words(row: Row) -> str:
    """Returns a failure, or the step after one, in words."""
    match row["what"]:
        case "failed":
            words = "; it answered: ".join(filter(None, (row["message"], quoted(row))))
            return f"{row['component']} ({row['role']}) failed: {words}".removesuffix(": ")
        case "retry":
            return f"{row['component']} was tried again"
        case "alternate":
            return f"{row['component']} went on"
        case "apology":
            return "the caller heard an apology"
        case what:
            return f"{row['component']}: {what}"


def steering_words(row: Row) -> str:
    """Returns what a call was asked for, in words."""
    words = STEERING.get(row["action"], row["action"].replace("_", " "))
    variables = ", ".join(f"{name}={value}" for name, value in row["variables"].items())
    return " ".join(filter(None, (words, row["text"], variables)))


def steering_label(row: Row) -> str:
    """Returns what a call was asked for, in a word or two."""
    return STEERING.get(action := str(row["action"]), action.replace("_", " ")).rstrip(":")


def at(seconds: float) -> str:
    """Returns a moment of a call for a sentence: `at 0:12`."""
    return f"at {length(seconds)}"
