"""The command `drain`: which versions it asks for, and what it prints."""

import pytest

from reference_engine.cli import main
from reference_engine.control import client


def version(number, state, calls):
    return {"version": number, "state": state, "calls": calls}


SETS = [
    {
        "set": "main",
        "state": "serving",
        "versions": [version(1, "retired", 0), version(2, "draining", 1), version(3, "serving", 7)],
    },
    {"set": "ac/me", "state": "serving", "versions": [version(4, "draining", 2), version(5, "serving", 0)]},
    {"set": "old", "state": "removed", "versions": [version(8, "retired", 0), version(9, "serving", 1)]},
]


@pytest.fixture
def asked(monkeypatch):
    """The versions whose drain was requested; `refuse` is the answer to the next one."""

    class Asked(list):
        sets = SETS
        refuse = None

    asked = Asked()

    def ask(_control, method, path):
        if (method, path) == ("GET", "/sets"):
            return 200, {"sets": asked.sets}
        asked.append((method, path))
        _, _, name, _, number, _ = path.split("/")
        calls = {"2": 1, "4": 2, "9": 1}.get(number, 0)
        return asked.refuse or (200, {"set": name, "version": int(number), "calls": calls})

    monkeypatch.setattr(client, "ask", ask)
    return asked


@pytest.mark.parametrize(
    ("arguments", "paths", "printed"),
    [
        ([], ["main/versions/2", "ac%2Fme/versions/4", "old/versions/9"], ["1 call was", "2 calls were", "1 call was"]),
        (["--set", "ac/me"], ["ac%2Fme/versions/4"], ["2 calls were"]),
        (["--set", "main", "--version", "1"], ["main/versions/1"], ["0 calls were"]),
    ],
)
def test_versions_that_no_longer_serve_are_drained(asked, capsys, arguments, paths, printed):
    assert main(["drain", *arguments]) == 0
    assert asked == [("POST", f"/sets/{path}/drain") for path in paths]
    lines = capsys.readouterr().out.splitlines()
    assert [" ".join(line.split()[2:5]) for line in lines] == printed
    assert all(line.endswith("to say goodbye and to hang up") for line in lines)


def test_nothing_to_drain_is_told(asked, capsys):
    asked.sets = SETS[:1]
    asked.sets = [{**SETS[0], "versions": SETS[0]["versions"][::2]}]
    assert main(["drain"]) == 0
    assert (asked, capsys.readouterr().out) == ([], "no call of an old version is up\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--version", "2"], "the engine has 3 pipeline sets: choose one with --set: main, ac/me, old"),
        (["--set", "mian"], "unknown pipeline set 'mian'; pipeline sets: main, ac/me, old"),
        (["--set", "main", "--version", "3"], "status 409): version 3 of pipeline set 'main' serves"),
    ],
)
def test_what_can_not_be_drained_is_told(asked, capsys, arguments, said):
    asked.refuse = 409, {"error": "version 3 of pipeline set 'main' serves: reload or roll back first"}
    assert main(["drain", *arguments]) == 1
    assert said in capsys.readouterr().err


def test_the_help_teaches(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["drain", "--help"])
    told = capsys.readouterr().out
    assert "reference-engine drain --set acme --version 3" in told
    assert "drain_deadline_s" in told
