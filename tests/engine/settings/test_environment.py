"""The file of variables that is laid over the environment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reference_engine.settings.environment import environ_state, read_environ
from voicepipe import ConfigError


@pytest.fixture
def read(tmp_path, monkeypatch):
    monkeypatch.setenv("OURS", "process")

    def read(content):
        path = tmp_path / "env"
        path.write_bytes(content)
        return read_environ(path)

    return read


def test_without_a_file_it_is_the_process_own(monkeypatch):
    monkeypatch.setenv("OURS", "process")
    assert read_environ(None)["OURS"] == "process"


VALUES = [
    ("A=b", "b"),
    ("A=", ""),
    ('A=""', ""),
    ("A=''", ""),
    ("  A=b  ", "b"),
    ("export A=b", "b"),
    ("export\tA=b", "b"),
    ("A = b", "b"),
    ("A=b=c", "b=c"),
    ('A="b c"', "b c"),
    ("A='b # c'", "b # c"),
    ("A=b # c", "b"),
    ("A=b\t# c", "b"),
    ("A=b#c", "b#c"),
    ("A=#c", "#c"),
    ("A=b c  # d # e", "b c"),
    ('A="b" # c', "b"),
    ('A="b"# c', "b"),
    ("A='b'   ", "b"),
    (r'A="b\nc"', "b\nc"),
    (r"A='b\nc'", r"b\nc"),
    (r'A="say \"b\""', 'say "b"'),
    (r"A='it\'s'", "it's"),
    (r'A="b\\"', "b\\"),
    (r"A='b\\c'", r"b\c"),
    (r'A="\t\r\a\b\f\v"', "\t\r\a\b\f\v"),
    (r'A="\$b\x41"', r"\$b\x41"),
    (r"A=$B\n", r"$B\n"),
    ("A=${B}", "${B}"),
    ('A=b"c"', 'b"c"'),
    ("A=it's", "it's"),
    ("A='\"b\"'", '"b"'),
    ('A="A="', "A="),
    ('A="é 日"', "é 日"),
    ('A="b\nc"\nB=1', "b\nc"),
    ('A="b\\\nc"', "b\\\nc"),
    ('A="-----BEGIN KEY-----\nMIIB+/==\n-----END KEY-----\n"', "-----BEGIN KEY-----\nMIIB+/==\n-----END KEY-----\n"),
    ("A=b\r\n", "b"),
    ("A=b\rB=c", "b"),
    ("\ufeffA=b", "b"),
    ("# A=c\n\nA=b", "b"),
]
"""Where the values are from: `dotenv_values(..., interpolate=False)` of python-dotenv 1.2.4."""


@pytest.mark.parametrize(("text", "value"), [*VALUES, ("A= # c", ""), ('A="b\r\nc"\r\n', "b\nc")])
def test_values(read, text, value):
    for end in ("", "\n", "\nZ=1\n"):
        assert read((text + end).encode())["A"] == value


MISTAKES = [
    ("A=b\0c", (1, 4), "A", "contains a NUL character"),
    ('B=1\nA="b\n\0c"\nD=2', (3, 1), "A", "contains a NUL character"),
    ('A="b', (1, 3), "A", "the quote is not closed"),
    ("A='b", (1, 3), "A", "the quote is not closed"),
    ("A='C:\\'", (1, 3), "A", "the quote is not closed"),
    ('B=1\n  A = "b\nC=2', (2, 7), "A", "the quote is not closed"),
    ('A="b\nC="2"\n', (1, 3), "A", "the quote is not closed"),
    ('A="b\nC="\n', (1, 3), "A", "the quote is not closed"),
    ('A="b"c', (1, 6), "A", "unexpected text after the closing quote"),
    ('A="b" "c"', (1, 6), "A", "unexpected text after the closing quote"),
    ("A", (1, 1), "", "is not of the form NAME=value"),
    ("export A", (1, 1), "", "is not of the form NAME=value"),
    ("\t=b", (1, 2), "", "is not of the form NAME=value"),
    ("A-B=c", (1, 1), "", "is not of the form NAME=value"),
    ("1A=b", (1, 1), "", "is not of the form NAME=value"),
    ("A: b", (1, 1), "", "is not of the form NAME=value"),
    ("A=1\r\nA=2\r\n", (2, 1), "A", "duplicate variable; first set on line 1"),
]


@pytest.mark.parametrize(("text", "place", "name", "message"), MISTAKES)
def test_mistakes(read, text, place, name, message):
    with pytest.raises(ConfigError) as caught:
        read(text.encode())
    problem = caught.value.problems[0]
    assert ((problem.where.line, problem.where.column), problem.path, problem.message) == (place, name, message)
    assert problem.hint


def test_after_a_mistake_it_goes_on_with_the_next_line(read):
    with pytest.raises(ConfigError) as caught:
        read(b"A='1\nB=2\nC='3'x\nrubbish\nA=5\n")
    assert [(problem.where.line, problem.where.column) for problem in caught.value.problems] == [(1, 3), (3, 6), (4, 1)]


def test_the_file_goes_before_the_process_so_that_it_can_be_read_again(read):
    assert read(b"A=1\n")["OURS"] == "process"
    assert read(b"OURS=file\n")["OURS"] == "file"


def test_every_bad_line_is_reported_at_its_place_without_its_value(read, tmp_path):
    with pytest.raises(ConfigError) as caught:
        read(b"A=1\nsecret-1\n  B : secret-2\n=secret-3\nA=secret-4\n")
    places = [(problem.where.line, problem.where.column, problem.path) for problem in caught.value.problems]
    assert places == [(2, 1, ""), (3, 3, ""), (4, 1, ""), (5, 1, "A")]
    assert "secret" not in str(caught.value)
    assert caught.value.files == (tmp_path / "env",)


def problem_of(path):
    with pytest.raises(ConfigError) as caught:
        read_environ(path)
    (problem,) = caught.value.problems
    assert problem.where.file == path
    return problem


def test_a_file_that_is_not_there(tmp_path):
    assert problem_of(tmp_path / "env").message == "the file does not exist"


def test_a_file_that_is_not_utf_8_is_located(tmp_path):
    (tmp_path / "env").write_bytes(b"A=1\nB=\xff\n")
    problem = problem_of(tmp_path / "env")
    assert (problem.message, problem.where.line, problem.where.column) == ("the file is not UTF-8", 2, 3)


def test_what_can_be_no_file_of_variables_is_refused_at_once(tmp_path):
    """A FIFO would be waited for until somebody writes, a device read for ever."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "huge").write_bytes(b"#" * (2 << 20))
    assert problem_of(tmp_path / "fifo").message == "the file is not a regular file"
    assert problem_of(Path("/dev/zero")).message == "the file is not a regular file"
    assert problem_of(tmp_path).message == "the file is a directory, not a file"
    assert problem_of(tmp_path / "huge").message == "the file is larger than 1 MiB"


def test_states_tell_unreadable_files_from_one_another(tmp_path):
    path = tmp_path / "env"
    states = [environ_state(path)]
    for content in ("A='1", "A='2", "A=1", "A=2"):
        (tmp_path / "new").write_text(content)
        (tmp_path / "new").replace(path)
        states.append(environ_state(path))
        assert environ_state(path) == states[-1]
    assert all(one != other for number, one in enumerate(states) for other in states[:number])
