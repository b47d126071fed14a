"""Ctrl-C ends every command with status 130 and without a word, whenever it comes.

The moments are hooks, not times: an import, a function, a destructor, the end of the interpreter. Each is tried in a
fork of one process, which has imported nothing for those that are imports, and everything for the rest. The signal goes
to the whole process group, as a terminal's does.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from patience import LONG_S
from test_cli_check_flags import pipeline, written

from voicepipe.commands import program
from voicepipe.commands.interrupts import interrupts_end_it, run_interruptible

SERVER = '''
import atexit, importlib, importlib.abc, json, os, signal, sys

def press(*_arguments, **_options):
    os.killpg(0, signal.SIGINT)

class Press(importlib.abc.MetaPathFinder):
    """Presses Ctrl-C when a module is imported."""
    def __init__(self, module):
        self.module = module
    def find_spec(self, name, *_):
        if name == self.module:
            press()

def at_import(module):
    sys.meta_path.insert(0, Press(module))

def place(path):
    module, _, attributes = path.partition(":")
    *owners, name = attributes.split(".")
    owner = importlib.import_module(module)
    for one in owners:
        owner = getattr(owner, one)
    return owner, name, getattr(owner, name)

def in_call(path):
    """Presses Ctrl-C at the beginning of a function; what it raises can't leave this one's destructors."""
    owner, name, function = place(path)
    def pressing(*arguments, **options):
        press()
        return function(*arguments, **options)
    setattr(owner, name, pressing)

class Destroyed:
    def __del__(self, press=press):
        press()

def in_destructor(path):
    """Presses it in a destructor, in which an exception is printed and lost."""
    owner, name, function = place(path)
    def destroying(*arguments, **options):
        Destroyed()
        return function(*arguments, **options)
    setattr(owner, name, destroying)

def swallowed(path):
    """Presses it where everything that is raised is swallowed, and again."""
    owner, name, function = place(path)
    def swallowing(*arguments, **options):
        try:
            press()
        except BaseException:
            pass
        return function(*arguments, **options)
    setattr(owner, name, swallowing)

def at_exit(path):
    """Presses it in what a library does at the end."""
    owner, name, function = place(path)
    def registering(*arguments, **options):
        atexit.register(press)
        return function(*arguments, **options)
    setattr(owner, name, registering)

def in_teardown(_):
    """Presses it when the interpreter takes modules apart."""
    import voicepipe
    voicepipe.last = Destroyed()

def when_opening(steps):
    """Checks with adapters that press it while their ears open."""
    import time, trio
    from recording import RecordingAdapters
    from voicepipe.commands import check
    from voicepipe.config import load
    adapters = RecordingAdapters()
    check.installed = load.installed = lambda: adapters.registry
    async def opening():
        for step in steps.split():
            if step == "press":
                press()
            elif step == "sleep":
                await trio.sleep(600)
            elif step == "hold":  # the loop, as a vendor's library does
                time.sleep(600)
            elif step == "swallow":
                try:
                    await trio.sleep(600)
                except BaseException:
                    pass
            elif step == "shield":
                with trio.CancelScope(shield=True):
                    await trio.sleep(0)
            elif step == "later":
                trio.lowlevel.current_trio_token().run_sync_soon(press)
            elif step == "fail":
                raise OSError("it can't be opened")
    async def closing():
        if "press-while-closing" in steps:
            press()
            await trio.sleep(600)
    if where := steps.partition("in ")[2]:
        in_call(where)
    adapters.opening["stt a"] = opening
    adapters.closing["llm a"] = closing

sys.path.insert(0, sys.argv[1])
cases = json.loads(sys.argv[2])
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores it
warm = False
for number, (program, arguments, hook, where) in enumerate(cases):
    if hook != "at_import" and not warm:
        warm = True
        import recording, voicepipe.commands.parser
        import reference_engine.commands.parser, reference_engine.settings.checking
        voicepipe.installed()
    if (child := os.fork()) == 0:
        os.setsid()
        for descriptor in (1, 2):
            os.dup2(os.open(f"{sys.argv[3]}/{number}.{descriptor}", os.O_CREAT | os.O_WRONLY), descriptor)
        globals()[hook](where)
        sys.argv = [program, *arguments]
        main = importlib.import_module("voicepipe.cli" if program == "voicepipe" else "reference_engine.cli").main
        sys.exit(main())
    _, status = os.waitpid(child, 0)
    with open(f"{sys.argv[3]}/{number}.status", "w") as file:
        file.write(str(os.waitstatus_to_exitcode(status)))
'''

CHECK = "voicepipe check"
ENGINE = "reference-engine check"
PROBE = "voicepipe check --probe"
STATUS = "reference-engine status --control"

MOMENTS = {
    # imports first: of what is imported by then
    "voicepipe, import of argparse": (CHECK, "at_import", "argparse"),
    "voicepipe, import of a subcommand": (CHECK, "at_import", "voicepipe.commands.explain"),
    "voicepipe, import of trio": (PROBE, "at_import", "trio"),
    "voicepipe, import of yaml": ("voicepipe explain", "at_import", "yaml"),
    "reference-engine, import of its commands": (ENGINE, "at_import", "reference_engine.commands.parser"),
    "reference-engine, import of argparse": (STATUS, "at_import", "argparse"),
    # then what is done
    "voicepipe, its arguments": (CHECK, "in_call", "voicepipe.commands.parser:make_parser"),
    "voicepipe, reading": (CHECK, "in_call", "voicepipe.commands.check:load_with_places"),
    "voicepipe, a destructor": (CHECK, "in_destructor", "voicepipe.commands.check:load_with_places"),
    "voicepipe, where it is swallowed": (CHECK, "swallowed", "voicepipe.commands.check:load_with_places"),
    "voicepipe, writing": (CHECK, "in_call", "voicepipe.commands.program:_Descriptor.write"),
    "voicepipe, leaving": (CHECK, "at_exit", "voicepipe.commands.parser:make_parser"),
    "diff": ("voicepipe diff FILE", "in_call", "voicepipe.commands.diff:load_config"),
    "explain": ("voicepipe explain", "in_call", "voicepipe.commands.program:_Descriptor.write"),
    "components": ("voicepipe components", "in_destructor", "voicepipe.commands.program:_Descriptor.write"),
    "schema": ("voicepipe schema", "in_call", "voicepipe.commands.program:_Descriptor.write"),
    "reference-engine, reading": (ENGINE, "in_call", "reference_engine.settings.checking:read_environ"),
    "reference-engine, a destructor": (ENGINE, "in_destructor", "reference_engine.settings.checking:read_environ"),
    "reference-engine, writing": (ENGINE, "in_call", "voicepipe.commands.program:_Descriptor.write"),
    "reference-engine, leaving": (ENGINE, "at_exit", "reference_engine.commands.parser:run_command"),
    "reference-engine, asking": (STATUS, "in_call", "httpx:Client.request"),
    # and what is opened
    "a probe, opening": (PROBE, "when_opening", "press sleep"),
    "a probe, out of the loop": (PROBE, "when_opening", "later sleep"),
    "a probe, holding up the loop": (PROBE, "when_opening", "press press hold"),
    "a probe that opens all the same": (PROBE, "when_opening", "press shield"),
    "a probe that fails all the same": (PROBE, "when_opening", "press fail"),
    "a probe that swallows it": (PROBE, "when_opening", "press swallow"),
    "a probe, closing": (PROBE, "when_opening", "press-while-closing"),
    "a probe, closing after the first": (PROBE, "when_opening", "press sleep press-while-closing"),
    "a probe, before trio": (PROBE, "when_opening", "in trio:run"),
    "a probe, after trio": (PROBE, "when_opening", "fail in voicepipe.commands.program:_Descriptor.write"),
    "a call, speaking": ("voicepipe call", "in_call", "voicepipe.commands.caller:open_speaker"),
}


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """The exit status, stdout and stderr of each moment."""
    place = tmp_path_factory.mktemp("moments")
    file = written(place / "set.yaml", default=pipeline())
    cases = [
        (command.split()[0], [file if word == "FILE" else word for word in command.split()[1:]] + last, hook, where)
        for command, hook, where in MOMENTS.values()
        for last in [[] if command.split()[1] in {"components", "schema", "call"} else [file]]
    ]
    cases += [("voicepipe", ["components"], "in_teardown", "")]
    code = [sys.executable, "-c", SERVER, str(Path(__file__).parent), json.dumps(cases), str(place)]
    subprocess.run(code, check=True, timeout=LONG_S, cwd=Path(__file__).parents[1])

    def output(number):
        return tuple((place / f"{number}.{name}").read_bytes() for name in (1, 2))

    outputs = [(int((place / f"{number}.status").read_text()), *output(number)) for number in range(len(cases))]
    return dict(zip([*MOMENTS, "teardown"], outputs, strict=True))


@pytest.mark.parametrize("moment", MOMENTS)
def test_it_ends_quietly(moment, ended):
    status, _, errors = ended[moment]
    assert (status, errors) == (130, b"")


def test_at_the_very_end_it_changes_nothing(ended):
    status, output, errors = ended["teardown"]
    assert (status, errors) == (0, b"")
    assert output.endswith(b"\n")


def test_next_to_nothing_is_imported_before_it_is_taken_care_of():
    show = "import sys; before = {*sys.modules}; import voicepipe.cli; print(*({*sys.modules} - before))"
    run = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in run.stdout.split()}
    assert loaded - sys.stdlib_module_names == {"voicepipe"}
    assert not loaded & {"argparse", "asyncio", "http", "json", "logging", "pathlib", "socket", "ssl"}


# In other people's processes


def test_a_handler_that_is_there_stays():
    before = signal.getsignal(signal.SIGINT)
    try:
        for handler in (signal.SIG_IGN, signal.SIG_DFL, lambda *_: None):
            signal.signal(signal.SIGINT, handler)
            with interrupts_end_it(for_good=False):
                assert signal.getsignal(signal.SIGINT) == handler
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with interrupts_end_it(for_good=False):
            assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_trio_s_own_handling_holds_elsewhere():
    async def five(add):
        return 2 + add

    assert run_interruptible(five, 3) == 5


@pytest.mark.parametrize(
    "raised", [KeyboardInterrupt(), BaseExceptionGroup("", [ExceptionGroup("", [OSError()]), KeyboardInterrupt()])]
)
def test_a_program_that_is_interrupted_has_status_130(raised, capsys):
    def interrupted():
        raise raised

    assert program.run_program("ours", interrupted) == 130
    assert capsys.readouterr() == ("", "")


def test_a_group_without_an_interrupt_goes_through():
    def failing():
        raise ExceptionGroup("two", [ValueError()])

    with pytest.raises(ExceptionGroup, match="two"):
        program.run_program("ours", failing)
