"""The compiling of tests that workers share: it must be what pytest looks for."""

from __future__ import annotations

import sys
from types import SimpleNamespace

from compiling import compile_tests, share_of
from ordering import TESTS


def test_shares_are_all_files_once_and_about_as_long():
    shares = [share_of(TESTS, number, 3) for number in range(3)]
    files = [file for share in shares for file in share]
    assert len(files) == len(set(files))
    assert {*TESTS.rglob("test_*.py")} < {*files}
    lengths = [sum(file.stat().st_size for file in share) for share in shares]
    assert max(lengths) < 1.1 * min(lengths)


def test_pytest_takes_what_was_compiled(pytestconfig, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    file = tmp_path / "test_one.py"
    file.write_text("def test(): assert 1 + 1 == 3\n")
    compile_tests([file], pytestconfig)
    rewritten = []
    hook = pytestconfig.pluginmanager.rewrite_hook
    monkeypatch.setattr("_pytest.assertion.rewrite._rewrite_test", lambda *arguments: rewritten.append(arguments))
    module = SimpleNamespace(__name__="test_one", __spec__=SimpleNamespace(origin=str(file)))
    hook.exec_module(module)
    assert rewritten == []
    assert "@pytest_ar" in vars(module)
    compile_tests([file], pytestconfig)
    assert rewritten == []
