"""The demonstration, played once as a user plays it."""

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import wave
from pathlib import Path

import pytest
from patience import LONG_S

pytest.importorskip("vosk", reason="the demonstration recognises with vosk: make setup")

ROOT = Path(__file__).parents[2]
CALLS = ("one", "two", "three", "four")


def command(output, *arguments):
    return [sys.executable, "-m", "examples.demo", "--output", str(output), *arguments]


def environment(home):
    """Nothing but an empty home."""
    return {"HOME": str(home), "PATH": os.defpath}


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The finished process, and what it wrote."""
    output, home = tmp_path_factory.mktemp("demo"), tmp_path_factory.mktemp("home")
    done = subprocess.run(
        command(output), cwd=ROOT, env=environment(home), capture_output=True, text=True, timeout=900, check=False
    )
    return done, output


# Whichever test comes first pays for the calls, which take their time.
pytestmark = pytest.mark.timeout(1000)


def test_everything_goes_as_expected(demo):
    done, output = demo
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert done.stderr == ""
    checks = (output / "checks.txt").read_text().splitlines()
    assert len(checks) > 80
    assert all(line.startswith("ok ") for line in checks)


def test_it_shows_who_said_what_and_which_version_answered(demo):
    shown = re.sub(r"\n {28} *", " ", demo[0].stdout)  # unfolded
    for line in (
        r"call one +answered by default, version 1",
        r"call one +agent +Hello, this is the front desk. How can I help you\?",
        r"call one +caller +I want an appointment on Monday",
        r'call one +heard +"i want an appointment on monday", and replied after \d+ ms',
        r"engine +applied +version 2 serves",
        r"call three +answered by after_hours, version 2",
        r"call two +ended +agent_hung_up after [\d.]+ s, on version 1",
        r"engine +rejected version 2 serves on",
        r'ai-agent\.yaml:\d+:\d+:\s+pipelines\.after_hours\.tts\.vocie:\s+unknown\s+key\s+"vocie"',
        r' +vocie: en-gb\+f3.+\s+\^\s+hint: did you mean "voice"\?',
        r"call four +ended +agent_hung_up after [\d.]+ s, on version 2",
    ):
        assert re.search(line, shown), line


def test_it_fits_the_screen_and_has_no_colour_in_a_file(demo):
    shown = demo[0].stdout
    assert max(map(len, shown.splitlines())) <= 100
    assert "\x1b" not in shown


@pytest.mark.parametrize("name", CALLS)
def test_each_call_is_recorded_in_stereo(demo, name):
    with wave.open(str(demo[1] / f"call-{name}.wav")) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, 8000)
        assert file.getnframes() / 8000 > 5


@pytest.mark.parametrize("name", CALLS)
def test_each_call_has_a_transcript_in_order_of_time(demo, name):
    text = (demo[1] / f"call-{name}.txt").read_text()
    lines = [line for line in text.splitlines() if re.match(r" *\d+\.\d\d  (agent|caller|ended) ", line)]
    times = [float(line[:7]) for line in lines]
    assert times == sorted(times)
    assert lines[-1].split()[1:3] == ["ended", "agent_hung_up,"]


def test_the_log_is_one_object_a_line(demo):
    events = [json.loads(line)["event"] for line in (demo[1] / "engine.log").read_text().splitlines()]
    assert events[0] == "engine.starting"
    assert events[-1] == "engine.stopped"
    reloads = [event for event in events if event.startswith("reload.") and event != "reload.rejected"]
    assert reloads[-2:] == ["reload.applied", "reload.unchanged"]
    assert events.count("call.ended") == 4


def test_the_projects_own_configuration_is_left_alone(demo):
    assert "active_pipeline: default" in (ROOT / "config/ai-agent.yaml").read_text()
    assert "active_pipeline: after_hours" in (demo[1] / "config/ai-agent.yaml").read_text()


def test_ctrl_c_ends_it_and_the_engine_at_once(tmp_path):
    process = subprocess.Popen(
        command(tmp_path / "out"),
        cwd=ROOT,
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    engine = None
    for line in process.stdout:
        if ready := re.search(r"ready .* process (\d+)", line):
            engine = int(ready[1])
        if " answered " in line:
            break
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to everybody in the foreground
    out, err = process.communicate(timeout=LONG_S)
    assert process.returncode == 130
    assert "Stopped by SIGINT." in out
    assert err == ""
    with pytest.raises(ProcessLookupError):
        os.kill(engine, 0)


def test_an_engine_that_does_not_start_says_why(tmp_path):
    (tmp_path / "config").mkdir()
    (tmp_path / "config/ai-agent.yaml").write_text("pipelines:\n  default: {stt: nobody, llm: scripted, tts: espeak}\n")
    done = subprocess.run(
        command(tmp_path / "out", "--config", str(tmp_path / "config")),
        cwd=ROOT,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=LONG_S,
        check=False,
    )
    assert done.returncode == 1
    assert "the engine ended by itself, with status 78" in done.stdout
    assert "ai-agent.yaml:2:18:pipelines.default.stt:" in "".join(done.stdout.split())  # however long the path is
    assert done.stderr == ""


def test_two_do_not_write_to_one_directory(tmp_path):
    ours = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(ours, fcntl.LOCK_EX)
        done = subprocess.run(command(tmp_path), cwd=ROOT, capture_output=True, text=True, timeout=LONG_S, check=False)
    finally:
        os.close(ours)
    assert done.returncode == 2
    assert "another demonstration is writing to" in done.stderr
    assert list(tmp_path.iterdir()) == []
