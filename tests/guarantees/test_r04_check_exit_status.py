"""R04: `voicepipe check` exits 0 when all is fine, 78 for a bad configuration, 1 otherwise."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GOOD = ROOT / "config" / "ai-agent.yaml"
RUN = [sys.executable, "-c", "import sys; from voicepipe.cli import main; sys.exit(main())"]


def check(*arguments, **environ):
    return subprocess.run(
        [*RUN, "check", *arguments], env=os.environ | environ, capture_output=True, text=True, check=False, cwd=ROOT
    )


def test_all_is_fine():
    process = check(GOOD)
    assert (process.returncode, process.stderr) == (0, "")


@pytest.mark.parametrize("content", ["", "pipelines: [", "pipelines: {}", "\0", "[" * 20_000, None])
def test_a_bad_configuration(tmp_path, content):
    path = tmp_path / "bad.yaml"
    if content is not None:
        path.write_text(content)
    process = check(GOOD, path)
    assert process.returncode == 78
    assert f"{path}:1:" in process.stdout
    assert process.stderr == ""


def test_wrong_usage():
    assert check().returncode == 2
    assert check("--formt", "json", GOOD).returncode == 2


def test_an_adapter_that_nobody_names_is_not_in_the_way(tmp_path):
    """A package that can't be imported is no mistake of a file that doesn't use it."""
    package = tmp_path / "broken-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[voicepipe.tts]\nbroken = no_such_module:tts\n")
    process = check(GOOD, PYTHONPATH=str(tmp_path))
    assert (process.returncode, process.stderr) == (0, "")


ENGINE = [sys.executable, "-m", "reference_engine"]
ODD = 'pipelines: {}\n"k\u00e4se \u65e5 \U0001f600": "\\e[31m"\n'
"""A bad file whose messages no narrow encoding can hold."""
CLOSED = {"stdout": ">&-", "stderr": "2>&-", "both": ">&- 2>&-", "all three": "<&- >&- 2>&-"}
checkers = pytest.mark.parametrize("command", [RUN, ENGINE], ids=["voicepipe", "reference-engine"])


@checkers
@pytest.mark.parametrize("closed", CLOSED.values(), ids=CLOSED)
def test_whatever_streams_are_closed(tmp_path, command, closed):
    bad = tmp_path / "bad.yaml"
    bad.write_text(ODD)
    for file, status in ((GOOD, 0), (bad, 78), (tmp_path / "nowhere.yaml", 78)):
        process = subprocess.run(
            ["sh", "-c", f'"$@" {closed}', "sh", *command, "check", file], capture_output=True, check=False, cwd=ROOT
        )
        assert (process.returncode, process.stderr) == (status, b"")


@checkers
@pytest.mark.parametrize("encoding", ["ascii:strict", "latin-1", "utf-16"])
@pytest.mark.parametrize("form", ["text", "json"])
def test_whatever_the_encoding_of_the_output(tmp_path, command, encoding, form):
    bad = tmp_path / os.fsdecode(b"b\xff\xe4d.yaml")
    bad.write_text(ODD)
    process = subprocess.run(
        [*command, "check", "--format", form, bad],
        env=os.environ | {"PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    assert (process.returncode, process.stderr) == (78, b"")
    out = process.stdout.decode(encoding.partition(":")[0])
    assert out.isprintable() or set(filter(lambda c: not c.isprintable(), out)) == {"\n"}
    if form == "json":
        (_, unknown) = json.loads(out)["errors"]
        assert unknown["path"] == '"k\u00e4se \u65e5 \U0001f600"'
        assert unknown["file"] == str(bad)
    else:
        assert "b\\udcff\\udce4d.yaml:2:1:" in out


@checkers
def test_a_reader_that_goes_early_changes_nothing(tmp_path, command):
    bad = tmp_path / "bad.yaml"
    bad.write_text("pipelines:\n" + "".join(f"  p{number}: {{stt: x}}\n" for number in range(1000)))
    with subprocess.Popen([*command, "check", bad], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline().startswith(os.fsencode(bad))
        process.stdout.close()
        assert process.wait() == 78
        assert process.stderr.read() == b""


def test_a_pipe_that_does_not_block_gets_everything(tmp_path):
    """As one that a Node.js program made: a write takes a part of what there is, or none of it."""
    bad = tmp_path / "bad.yaml"
    bad.write_text("pipelines:\n" + "".join(f"  p{number}: {{stt: x}}\n" for number in range(1000)))
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with subprocess.Popen([*RUN, "check", bad], stdout=writing) as process, os.fdopen(reading, encoding="utf-8") as out:
        os.close(writing)
        assert out.read().endswith("1,002 problems\n")
        assert process.wait() == 78


@checkers
def test_a_bad_file_is_a_bad_file_though_its_report_can_not_be_written(command, tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text("nonsense: true\n")
    with Path("/dev/full").open("w") as full:
        process = subprocess.run([*command, "check", bad], stdout=full, stderr=full, check=False, cwd=ROOT)
    assert process.returncode == 78


@checkers
def test_a_disk_that_is_full_is_said(command):
    with Path("/dev/full").open("w") as full:
        process = subprocess.run(
            [*command, "check", GOOD], stdout=full, stderr=subprocess.PIPE, text=True, check=False, cwd=ROOT
        )
    assert process.returncode == 1
    assert process.stderr.count("\n") == 1
    assert "the output can't be written: No space left on device" in process.stderr
