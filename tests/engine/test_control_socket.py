"""Where the control socket may be, and whose it is."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import stat

import pytest

from reference_engine.control import unix_socket as control_socket
from reference_engine.control.sockets import claimed_socket
from reference_engine.errors import EngineError, hint_for_address
from reference_engine.settings.settings import default_control_path


@pytest.fixture
def runtime(home, monkeypatch):
    """The directory that the default is in."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home))
    return home / "voicepipe"


def test_the_default_is_this_user_s(runtime, monkeypatch):
    assert default_control_path() == runtime / "control.sock"
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert str(default_control_path()) == f"/tmp/voicepipe-{os.geteuid()}/control.sock"


def test_the_default_s_directory_is_made_for_this_user_only(runtime):
    for _again in range(2):
        with claimed_socket(default_control_path()) as listening:
            assert stat.S_IMODE(runtime.stat().st_mode) == 0o700
            assert stat.S_IMODE(default_control_path().stat().st_mode) == 0o600
            with socket.socket(socket.AF_UNIX) as asking:
                asking.connect(str(default_control_path()))
                listening.accept()[0].close()
        assert not default_control_path().exists()


def test_a_directory_that_others_can_write_to_is_not_trusted(runtime):
    runtime.mkdir(mode=0o755)
    with pytest.raises(EngineError, match=f"chmod 700 {runtime}"), claimed_socket(default_control_path()):
        pass
    runtime.rmdir()
    runtime.symlink_to("/tmp")
    with pytest.raises(EngineError, match="not a directory of this user"), claimed_socket(default_control_path()):
        pass


def test_what_stands_in_the_way_is_said(home):
    (home / "file").write_text("")
    for path, said in (
        (home / "file", "is there already and is not a socket"),
        (home / "nowhere" / "c.sock", "its directory must exist"),
        (home / ("x" * 120), "too long"),
    ):
        with pytest.raises(EngineError, match=said), claimed_socket(path):
            pass
    assert (home / "file").exists()


def test_a_socket_that_answers_is_left_alone(home):
    path = home / "c.sock"
    with claimed_socket(path):
        with pytest.raises(EngineError, match="another engine is answering"), claimed_socket(path):
            pass
        assert path.is_socket()


def test_a_file_that_was_replaced_meanwhile_is_not_removed(home):
    path = home / "c.sock"
    with claimed_socket(path):
        path.rename(home / "old.sock")
        path.write_text("somebody else's")
    assert path.read_text() == "somebody else's"


def test_a_directory_that_is_gone_lets_no_second_engine_start(home):
    path = home / "run" / "c.sock"
    path.parent.mkdir()
    with claimed_socket(path):
        shutil.rmtree(path.parent)
        path.parent.mkdir()
        with pytest.raises(EngineError, match=rf"process {os.getpid()}\) has .* its file is gone.*SIGTERM"):
            claimed_socket(path).__enter__()
        with claimed_socket(home / "other.sock"):
            pass
    with claimed_socket(path):
        pass


def test_a_name_that_another_user_holds_keeps_nobody_from_starting(home, monkeypatch):
    path = home / "c.sock"
    with claimed_socket(path):
        path.unlink()
        monkeypatch.setattr(control_socket, "unpack", lambda _form, _peer: (1, 12345, 12345))
        with claimed_socket(path):
            assert path.is_socket()


HINTS = [
    (errno.EACCES, "user .* may not write there"),
    (errno.EROFS, "read-only: mount a volume"),
    (errno.ENOSPC, "no room left"),
    (errno.ENOTDIR, "a file is where a directory should be"),
]


@pytest.mark.parametrize(("number", "hint"), HINTS)
def test_each_reason_has_its_hint(runtime, monkeypatch, number, hint):
    def refused(*_args, **_options):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("pathlib.Path.mkdir", refused)
    with pytest.raises(EngineError, match=f"{os.strerror(number)}; .*{hint}.*XDG_RUNTIME_DIR or --control"):
        claimed_socket(default_control_path()).__enter__()


ADDRESSES = [
    (OSError(errno.EADDRINUSE, "in use"), 9092, "ss -ltnp 'sport = :9092'"),
    (PermissionError(errno.EACCES, "denied"), 80, "CAP_NET_BIND_SERVICE"),
    (OSError(errno.EADDRNOTAVAIL, "not here"), 9092, "ip address"),
    (socket.gaierror(-2, "unknown"), 9092, "check its spelling"),
    (OSError(errno.EIO, "odd"), 9092, ""),
]


@pytest.mark.parametrize(("error", "port", "hint"), ADDRESSES)
def test_each_reason_that_an_address_is_not_to_be_had_has_its_hint(error, port, hint):
    assert hint in hint_for_address(error, port)
    assert bool(hint_for_address(error, port)) == bool(hint)
