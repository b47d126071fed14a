"""`voicepipe new-adapter --role transport`, and the guide: what they write is found, fit, and passes the kit."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import trio
import trio.testing
from docs.doc_pages import block_titled
from forked_pytest import forked_pytest
from installing import metadata_of
from patience import LONG_S
from type_checking import mypy_options

from voicepipe import TransferFailed, cli

ROOT = Path(__file__).parents[1]
GUIDE = "docs/how-to/write-a-transport.md"
ALL_THREE = """
from voicepipe.cli import main
from reference_engine.cli import main as engine
assert main(["components", "my-line", "--format", "json"]) == 0
print("---")
assert engine(["check", "engine.yaml"]) == 0
print("---")
assert engine(["check", "wrong.yaml"]) == 78
"""
WITHOUT_PYTEST = """
import trio
from buzz import BuzzOptions, buzz
from voicepipe import Secret
from voicepipe.testing import check_transport
from test_buzz import connect
options = BuzzOptions(token=Secret("a-token-for-tests"), port=0)
async def check():
    print(await check_transport(buzz, options, connect=connect, garbage=()))
trio.run(check)
"""


def new_transport(name, into, *options):
    return cli.main(["new-adapter", name, "--role", "transport", "--into", str(into), *options])


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    place = tmp_path_factory.mktemp("transports")
    assert new_transport("my-line", place) == 0
    package = place / "voicepipe-my-line"
    metadata_of((package / "pyproject.toml").read_text(encoding="utf-8"), place / "site")
    return package


@pytest.fixture(scope="module")
def guide(tmp_path_factory):
    place = tmp_path_factory.mktemp("guide")
    for title in ("buzz.py", "test_buzz.py", "program.py"):
        (place / title).write_text(block_titled(GUIDE, title), encoding="utf-8")
    return place


def run(package, *command, **environ):
    path = os.pathsep.join([str(package / "src"), str(package.parent / "site")])
    return subprocess.run(
        [sys.executable, *command],
        cwd=package,
        env=os.environ | {"PYTHONPATH": path, **environ},
        capture_output=True,
        text=True,
        timeout=5 * LONG_S,
        check=False,
    )


def test_both_pass_the_kit(package, guide, tmp_path):
    options = ["-p", "voicepipe.testing.plugin", "-p", "no:cacheprovider", "-rs", "-v"]
    some = ["-k", "heard or hang_up or strangers or breach or holes"]  # its code is that of the guide
    runs = [(package, [*options, *some], [package / "src"]), (guide, options, [guide])]
    written, guided = forked_pytest(runs, tmp_path, at_once=2)
    for ran in (written, guided):
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert "strangers_get_no_call PASSED" in ran.stdout
    assert set(re.findall(r"::(\w+) SKIPPED", guided.stdout)) == {
        "clear_drops_only_what_came_before",
        "marks_are_reported_once_and_in_order",
        "marks_survive_a_clear",
        "a_transfer_ends_this_leg_or_says_why",
        "keys_of_the_agent_reach_the_peer",
    }
    assert re.search(r"\d+ holes are left\n(?:src|tests)/\S+\.py:\d+: \w", written.stdout)


@pytest.mark.parametrize("answer", ["taken", "refused", "no answer"])
async def test_the_guides_transfer(answer):
    page = (ROOT / GUIDE).read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(async def transfer.*?)```", page, re.DOTALL)
    program = {"trio": trio, "TransferFailed": TransferFailed}
    exec(block, program)
    sent = []

    async def hang_up():
        sent.append("hung up")

    line = SimpleNamespace(
        socket=SimpleNamespace(send_nowait=lambda message: sent.append(message) or True),
        hang_up=hang_up,
        refusal="busy" if answer == "refused" else "",
    )
    outcome = "none"

    async def transfer():
        nonlocal outcome
        try:
            await program["transfer"](line, "200")
            outcome = "returned"
        except TransferFailed as failed:
            outcome = str(failed)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(transfer)
        await trio.testing.wait_all_tasks_blocked()
        if answer == "no answer":
            nursery.cancel_scope.cancel()
        else:
            line.answered.set()
    ends = {"taken": ("returned", ["hung up"]), "refused": ("busy", []), "no answer": ("none", ["give up"])}
    assert (outcome, sent) == (ends[answer][0], ["transfer 200", *ends[answer][1]])


def test_without_pytest_the_kit_runs_too(guide):
    ran = run(guide, "-c", WITHOUT_PYTEST)
    assert ran.returncode == 0, ran.stderr
    assert " 0 failed\n" in ran.stdout, ran.stdout


def test_the_guides_program_is_short():
    assert len(block_titled(GUIDE, "buzz.py").splitlines()) < 60
    assert len(block_titled(GUIDE, "test_buzz.py").splitlines()) < 60


def test_the_guides_program_brings_calls(guide):
    command = [sys.executable, "program.py"]
    with subprocess.Popen(command, cwd=guide, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline().startswith("listening on ('127.0.0.1', ")
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(LONG_S)


def test_it_is_found_described_and_checked(package):
    wrong = package / "wrong.yaml"
    text = (package / "engine.yaml").read_text(encoding="utf-8")
    wrong.write_text(text.replace("port: 9100", "host: 0.0.0.0"), encoding="utf-8")
    told = run(package, "-c", ALL_THREE)
    assert told.returncode == 0, told.stderr
    described, checked, refused = told.stdout.split("---")
    (entry,) = json.loads(described)["components"]
    assert (entry["role"], entry["package"]) == ("transport", "voicepipe-my-line")
    assert [option["name"] for option in entry["options"]] == ["host", "port", "token", "tls"]
    assert checked.count(": ok") == 2, checked
    assert "wrong.yaml:5:38: listeners[0].host: anybody who reaches 0.0.0.0 could make calls" in refused
    assert "hint: add token" in refused


@pytest.mark.parametrize("name", ["ox", "my-own-vendor"])
def test_the_house_s_tools_have_nothing_to_say(name, tmp_path):
    pytest.importorskip("ruff", reason="make setup")
    assert new_transport(name, tmp_path) == 0
    package = tmp_path / f"voicepipe-{name}"
    for command in (["check", "--quiet"], ["format", "--check", "--quiet"]):
        ran = run(package, "-m", "ruff", *command, "--no-cache", "--config", ROOT / "pyproject.toml", ".")
        assert ran.returncode == 0, ran.stdout + ran.stderr
    for file in package.rglob("*.*"):
        if file.is_file():
            assert not re.search(r"acme|@[A-Z_]+@", file.read_text(encoding="utf-8"), re.IGNORECASE), file


def test_the_type_checker_has_nothing_to_say(package, tmp_path):
    pytest.importorskip("mypy", reason="make setup")
    path = f"{ROOT}{os.pathsep}src"
    ran = run(package, "-m", "mypy", *mypy_options(tmp_path), "src/voicepipe_my_line", MYPYPATH=path)
    assert ran.returncode == 0, ran.stdout


@pytest.mark.parametrize(
    ("name", "options", "why"),
    [
        ("audiosocket", [], "a transport audiosocket exists already"),
        ("Line", [], "is not a valid adapter name"),
        ("line", ["--over", "http"], "--over http is for adapters"),
    ],
)
def test_what_can_t_be_written_says_why(name, options, why, tmp_path, capsys):
    assert new_transport(name, tmp_path, *options) == 1
    assert why in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_it_says_what_to_do_next(tmp_path, capsys):
    assert new_transport("line", tmp_path) == 0
    assert "pytest -rs" in capsys.readouterr().out
