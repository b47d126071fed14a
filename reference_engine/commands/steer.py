"""The command `steer`: has a call that is up do something."""

from __future__ import annotations

import sys
from argparse import RawDescriptionHelpFormatter
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from reference_engine.commands.asking import add_control_option, add_variables, request

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _SubParsersAction

DESCRIPTION = """\
Has a call that a running engine holds do something: say a text, play a file, know a fact, be transferred, end. The call
is named by the engine's ID of it, as in the log, or by its transport's, such as AudioSocket's UUID. Everything that is
asked for is in the call's record and in the log, as `operator:cli`. `steer ACTION --help` explains an action.
"""

EXAMPLES = """\
examples:
  reference-engine steer CALL say "We close in five minutes."           # waits until it was heard
  reference-engine steer CALL say --interrupt "Please stay on the line."
  reference-engine steer CALL play sounds/closing.wav --text "We close in five minutes."
  reference-engine steer CALL tell "The order was found: it is on its way." --respond
  reference-engine steer CALL variables order=1234 vip=yes
  reference-engine steer CALL language de
  reference-engine steer CALL recording pause                           # while a card number is spoken
  reference-engine steer CALL recording resume
  reference-engine steer CALL transfer 200                              # waits until somebody has taken it
  reference-engine steer CALL hang-up --goodbye "We close now. Goodbye."
  reference-engine steer "$(curl -s --unix-socket $XDG_RUNTIME_DIR/voicepipe/control.sock http://engine/calls |
      jq -r '.calls[0].call_id')" hang-up                               # the oldest call

exit status: 0 it was done, 1 the call is over, nobody took the transfer, or no engine answers
"""

PLAY = """\
Plays a WAV file of the engine's machine to the caller, when nobody speaks: mono, 16-bit PCM, A-law or mu-law, at any
usual rate. A relative path is relative to the directory of the pipeline set's file. Waits until it was heard.
"""

VARIABLES = """\
Changes variables of the call; the others stay. Tools that begin from now on, texts that are said from now on, and the
call's record have the new values. Prompts have them with the next request to the model.
"""

LANGUAGE = """\
Switches the language of the call, as BCP 47 has it: de, pt-BR. The caller is understood in it from their next turn on,
and the voice speaks it from the next reply on, as far as the components can. The prompt stays: tell the model too.
"""

RECORDING = """\
Pauses the recording of the call, or resumes it: while it is paused, both sides are silent in the file, and everything
else stays at its second. What is said is in the conversation and the record as ever; `redact` of the set's file removes
private words from there. `recording: {mute_keys: true}` does the same by itself while the caller presses keys.
"""


def add_to(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Adds the subcommand `steer`."""
    command = commands.add_parser(
        "steer",
        help="have a call that is up say something, be transferred, or end",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    command.add_argument("call", metavar="CALL", help="the call's ID, the engine's or its transport's")
    actions = command.add_subparsers(title="what it is to do", metavar="ACTION", required=True, dest="action")

    def add(name: str, help_: str, description: str | None = None) -> ArgumentParser:
        action = actions.add_parser(name, help=help_, description=description or f"{help_.capitalize()}.")
        add_control_option(action)
        return action

    say = add("say", "have the agent say a text, when nobody speaks")
    say.add_argument("text", metavar="TEXT", help="the words")
    say.add_argument("--interrupt", action="store_true", help="say it at once, in place of the present reply")
    play = add("play", "play a WAV file to the caller, when nobody speaks", PLAY)
    play.add_argument("file", metavar="FILE", help="the path on the engine's machine")
    play.add_argument("--text", default="", metavar="TEXT", help="the words in it, for the conversation and the record")
    play.add_argument("--interrupt", action="store_true", help="play it at once, in place of the present reply")
    tell = add("tell", "tell the model a fact, which the caller does not hear")
    tell.add_argument("fact", metavar="FACT", help="the fact, in words")
    tell.add_argument("--respond", action="store_true", help="have the agent reply to it as soon as nobody speaks")
    variables = add("variables", "change variables of the call", VARIABLES)
    add_variables(variables, "+", "a variable and its new value")
    language = add("language", "switch the language of the call", LANGUAGE)
    language.add_argument("language", metavar="LANGUAGE", help="a BCP 47 tag, such as de")
    recording = add("recording", "pause the recording of the call, or resume it", RECORDING)
    recording.add_argument("recording_action", choices=["pause", "resume"], help="what is done with the recording")
    transfer = add("transfer", "transfer the caller, after the present reply")
    transfer.add_argument("target", metavar="TARGET", help="the number or extension")
    hang_up = add("hang-up", "end the call")
    hang_up.add_argument("--goodbye", default="", metavar="TEXT", help="the last words (default: it ends at once)")
    command.set_defaults(run=run)


_FIELDS = {
    "say": ("text", "interrupt"),
    "play": ("file", "text", "interrupt"),
    "tell": ("fact", "respond"),
    "variables": ("variables",),
    "language": ("language",),
    "recording": (),
    "transfer": ("target",),
    "hang-up": ("goodbye",),
}


def run(arguments: Namespace) -> int:
    """Sends the request and prints what came of it; returns 0 if it was done."""
    body: dict[str, Any] = {name: getattr(arguments, name) for name in _FIELDS[arguments.action]}
    if "variables" in body:
        body["variables"] = dict(body["variables"])
    if arguments.action == "recording":
        body["action"] = arguments.recording_action
    path = f"/calls/{quote(arguments.call, safe='')}/{arguments.action}"
    answer = request(arguments, "POST", path, expect="call_id", json=body)
    sys.stdout.write(f"{answer['call_id']}: {_told(arguments, answer)}\n")
    return 0


def _told(arguments: Namespace, answer: dict[str, Any]) -> str:
    action = arguments.action
    if action in {"say", "play"}:
        if answer["whole"]:
            return "the caller heard it"
        return f"the caller heard only: {answer['heard']}" if answer["heard"] else "the caller heard nothing of it"
    if action == "recording":
        if not answer["recorded"]:
            return "this call is not recorded"
        return "the recording is silent" if arguments.recording_action == "pause" else "the recording goes on"
    return {
        "tell": "the model will know",
        "variables": "the variables are changed",
        "language": "the language is switched",
        "transfer": "transferred",
        "hang-up": "the call ends",
    }[action]
