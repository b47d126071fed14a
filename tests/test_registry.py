"""Adapters by role and name, found by entry point."""

from __future__ import annotations

import sys
from contextlib import asynccontextmanager
from importlib.metadata import EntryPoint

import pytest
from attrs import frozen

from voicepipe.components import registry as registry_module
from voicepipe.components.registry import Adapter, Registry, installed
from voicepipe.roles import ROLES


@frozen
class Options:
    model: str | None = "nova"


@frozen
class Plain:
    pass


@asynccontextmanager
async def opened(_options, _resources):
    yield object()


def adapter(role="stt", name="acme", options=Options):
    return Adapter(name=name, role=role, options=options, open=opened)


def test_an_adapter_is_found_by_role_and_name():
    stt, tts = adapter("stt"), adapter("tts")
    registry = Registry([stt, tts])
    assert registry.get("stt", "acme") is stt
    assert registry.get("tts", "acme") is tts
    assert registry.get("llm", "acme") is None
    assert registry.get("stt", "ACME") is None
    assert list(registry) == [stt, tts]


def test_names_are_sorted_and_come_once():
    registry = Registry([adapter("stt", "b"), adapter("tts", "b"), adapter("tts", "a")])
    assert registry.names() == ("a", "b")
    assert registry.names("tts") == ("a", "b")
    assert registry.names("stt") == ("b",)
    assert registry.names("llm") == ()


def test_two_adapters_of_one_role_and_name_are_refused():
    first = adapter()
    registry = Registry([first])
    with pytest.raises(ValueError, match="two stt adapters are called 'acme'"):
        registry.add(adapter())
    assert registry.get("stt", "acme") is first
    registry.add(first)


def test_an_adapter_has_no_complaints_and_shows_its_model_unless_it_says_otherwise():
    plain = adapter()
    assert list(plain.check(Options())) == []
    assert plain.label(Options()) == "nova"
    assert plain.label(Options(None)) is None
    assert plain.label(Plain()) is None


def test_roles_are_in_the_order_in_which_words_pass_them():
    assert ROLES == ("stt", "llm", "tts")


def test_ours_are_installed():
    assert {"vosk"} <= set(installed().names("stt"))
    assert {"scripted"} <= set(installed().names("llm"))
    assert {"espeak"} <= set(installed().names("tts"))
    assert installed() is installed()


@pytest.fixture
def entry_points(monkeypatch):
    """Stands for the metadata of the installed packages: a list of entry points by group."""
    groups = {}
    monkeypatch.setattr(registry_module, "_entry_points", lambda role: groups.get(f"voicepipe.{role}", []))
    installed.cache_clear()
    yield groups
    installed.cache_clear()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A third party's package, on the path: `write(source)`."""
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("acme_voice", "rusty_voice"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return (tmp_path / "acme_voice.py").write_text


THEIRS = """
from contextlib import asynccontextmanager
from attrs import frozen
from voicepipe import Adapter

@frozen
class Options:
    voice: str = "anna"

@asynccontextmanager
async def open_tts(options, resources):
    yield object()

tts = Adapter(name="acme", role="tts", options=Options, open=open_tts)
rubbish = object()
"""


def point(name, to, role="tts"):
    return EntryPoint(name=name, value=f"acme_voice:{to}", group=f"voicepipe.{role}")


def test_a_third_partys_adapter_is_found_without_touching_ours(entry_points, package):
    package(THEIRS)
    entry_points["voicepipe.tts"] = [point("acme", "tts")]
    found = installed().get("tts", "acme")
    assert found
    assert found.options().voice == "anna"


@pytest.mark.parametrize(
    "wrong",
    [point("acme", "rubbish"), point("other", "tts"), point("acme", "tts", "stt")],
    ids=["no adapter", "another name", "another role"],
)
def test_an_entry_point_that_leads_elsewhere_is_broken(entry_points, package, wrong):
    package(THEIRS)
    entry_points[wrong.group] = [wrong]
    (broken,) = installed().broken
    assert (broken.role, broken.name) == (wrong.group.removeprefix("voicepipe."), wrong.name)
    assert broken.reason.startswith(f"{wrong.value} is not the")
    assert list(installed()) == []


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import no_such_vendor", "ModuleNotFoundError: No module named 'no_such_vendor'"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("raise ValueError", "ValueError"),
        ("raise ValueError('in\\n  lines')", "ValueError: in lines"),
        ("def f(:", "SyntaxError"),
        ("raise ValueError('x' * 999)", "ValueError: x"),
        ("tts = 1", "is not the tts adapter 'broken'"),
    ],
)
def test_one_that_cant_be_imported_leaves_the_others(entry_points, package, source, reason, tmp_path):
    package(THEIRS)
    (tmp_path / "rusty_voice.py").write_text(source)
    bad = EntryPoint(name="broken", value="rusty_voice:tts", group="voicepipe.tts")
    entry_points["voicepipe.tts"] = [bad, point("acme", "tts")]
    assert installed().names() == ("acme",)
    (broken,) = installed().broken
    assert reason in broken.reason
    assert len(broken.reason) < 250
    assert "\n" not in broken.reason


def test_a_name_that_two_packages_claim_is_neithers(entry_points, package):
    package(THEIRS + 'again = Adapter(name="acme", role="tts", options=Options, open=open_tts)\n')
    entry_points["voicepipe.tts"] = [point("acme", "tts"), point("acme", "tts"), point("acme", "again")]
    assert installed().names() == ()
    (broken,) = installed().broken
    assert broken.reason == "another package has an adapter of that name"


def test_a_name_that_two_roles_have_is_both(entry_points, package):
    package(THEIRS + 'stt = Adapter(name="acme", role="stt", options=Options, open=open_tts)\n')
    entry_points["voicepipe.tts"], entry_points["voicepipe.stt"] = [point("acme", "tts")], [point("acme", "stt", "stt")]
    assert len(list(installed())) == 2
    assert installed().broken == ()
