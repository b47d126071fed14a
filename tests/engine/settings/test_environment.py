"""The file of variables that is laid over the environment."""

from __future__ import annotations

import pytest

from reference_engine.environment import read_environ
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


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (b"A=b", "b"),
        (b"A=", ""),
        (b"  A=b  ", "b"),
        (b"export A=b", "b"),
        (b"A=b=c", "b=c"),
        (b'A="b c"', "b c"),
        (b"A='b # c'", "b # c"),
        (b"A=b # c", "b # c"),
        (b'A="', '"'),
        (b"A=$B\\n", "$B\\n"),
        (b"A=b\r", "b"),
        (b"\xef\xbb\xbfA=b", "b"),
        (b"# A=c\n\nA=b\n", "b"),
    ],
)
def test_values(read, line, value):
    assert read(line + b"\n")["A"] == value


def test_the_file_goes_before_the_process_so_that_it_can_be_read_again(read):
    assert read(b"A=1\n")["OURS"] == "process"
    assert read(b"OURS=file\n")["OURS"] == "file"


def test_every_bad_line_is_reported_at_its_place_without_its_value(read, tmp_path):
    with pytest.raises(ConfigError) as caught:
        read(b"A=1\nsecret-1\n  B = secret-2\n=secret-3\nA=secret-4\n")
    places = [(problem.where.line, problem.where.column, problem.path) for problem in caught.value.problems]
    assert places == [(2, 1, ""), (3, 3, ""), (4, 1, ""), (5, 1, "A")]
    assert "secret" not in str(caught.value)
    assert caught.value.files == (tmp_path / "env",)


@pytest.mark.parametrize("content", [None, b"\xff\n"])
def test_a_file_that_cant_be_read(tmp_path, content):
    path = tmp_path / "env"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_environ(path)
    assert caught.value.problems[0].where.file == path
