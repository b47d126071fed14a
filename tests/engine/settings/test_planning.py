"""What a changed engine's file changes: what applies at once, and what needs a restart."""

from __future__ import annotations

from pathlib import Path

import pytest

from reference_engine.settings.changes import EnginePlan, plan_engine_change
from reference_engine.settings.loading import load_engine_settings
from voicepipe import Problem

BASE = """\
pipeline_sets:
  main: main.yaml
  acme: acme.yaml
listeners:
  - {set: main, name: a, port: 9092}
  - {set: acme, name: b, port: 9094}
admin: {port: 9093, token: "${TOKEN}"}
control: control.sock
"""


@pytest.fixture
def load(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def load(text, token="0123456789abcdef"):
        Path("engine.yaml").write_text(text)
        return load_engine_settings(Path("engine.yaml"), environ={"TOKEN": token, "HOST": "127.0.0.7"})

    return load


@pytest.fixture
def plan(load):
    def plan(old, new):
        assert old == "" or BASE.count(old) == 1
        return plan_engine_change(load(BASE), load(BASE.replace(old, new)))

    return plan


def needs(plan):
    """Where a restart is needed, and what for."""
    return [(problem.where.line, problem.where.column, problem.path, problem.message) for problem in plan.restart]


def test_nothing(plan):
    assert plan("control: control.sock", "# a comment\ncontrol: control.sock") == EnginePlan()
    assert not plan("port: 9092", "rate: 8000, port: 9092")
    assert str(EnginePlan()) == "nothing"


def test_the_order_of_listeners_and_sets_means_nothing(plan):
    lines = BASE.splitlines(keepends=True)
    assert not plan("".join(lines[1:3]), "".join(reversed(lines[1:3])))
    assert not plan("".join(lines[4:6]), "".join(reversed(lines[4:6])))


def test_a_set_more(plan):
    assert plan("  acme: acme.yaml\n", "  acme: acme.yaml\n  new: new.yaml\n") == EnginePlan(sets_added=("new",))


def test_a_set_less_closes_its_listener(load):
    new = BASE.replace("  acme: acme.yaml\n", "").replace("  - {set: acme, name: b, port: 9094}\n", "")
    found = plan_engine_change(load(BASE), load(new))
    assert found == EnginePlan(sets_removed=("acme",), listeners_closed=("b",))
    assert str(found) == "sets removed: acme; listeners closed: b"


def test_a_set_with_another_file(plan):
    assert plan("acme: acme.yaml", "acme: other.yaml") == EnginePlan(sets_moved=("acme",))


def test_another_set_answers_at_once(plan):
    assert plan("{set: acme, name: b", "{set: main, name: b") == EnginePlan(listeners_answered=("b",))


@pytest.mark.parametrize(
    "setting", ["max_calls: 5", "watch: true", "drain_s: 5", "drain_deadline_s: 5", "max_live_versions: 5"]
)
def test_what_applies_at_once(plan, setting):
    found = plan("control: control.sock\n", f"control: control.sock\n{setting}\n")
    assert found == EnginePlan(changed=(setting.partition(":")[0],))


def test_last_known_good_applies_at_once(plan):
    found = plan("control: control.sock\n", "control: control.sock\nlast_known_good: here\n")
    assert found == EnginePlan(changed=("last_known_good",))


def test_another_token_applies_at_once_and_is_not_shown(load):
    found = plan_engine_change(load(BASE), load(BASE, token="fedcba9876543210"))
    assert found == EnginePlan(changed=("admin.token",))
    assert "fedcba9876543210" not in repr(found)


@pytest.mark.parametrize(
    ("old", "new", "need"),
    [
        ("port: 9094", "port: 9095", (6, 32, "listeners[1].port", "from 9094 to 9095")),
        ("name: b", 'name: b, host: "${HOST}"', (6, 32, "listeners[1].host", "from 127.0.0.1 to ${HOST}")),
        ("name: a", "name: a, rate: 16000", (5, 32, "listeners[0].rate", "from 8000 to 16000")),
        ("name: a", "name: a, max_connections: 1", (5, 43, "listeners[0].max_connections", "from 500 to 1")),
        ("port: 9093, ", "port: 9096, ", (7, 15, "admin.port", "from 9093 to 9096")),
        ("port: 9093, ", "port: 9093, host: localhost, ", (7, 27, "admin.host", "from 127.0.0.1 to localhost")),
        ("control.sock", "c.sock", (8, 10, "control", "from control.sock to c.sock")),
    ],
)
def test_addresses_need_a_restart(plan, old, new, need):
    found = plan(old, new)
    line, column, path, values = need
    assert needs(found) == [(line, column, path, f"can't change {values} while the engine runs")]
    assert str(found) == f"needs a restart: {path}"
    assert all(isinstance(problem, Problem) and problem.hint and problem.source for problem in found.restart)


def test_back_to_a_default_needs_one_where_the_listener_stands(load):
    found = plan_engine_change(load(BASE.replace("name: b", "name: b, rate: 16000")), load(BASE))
    assert needs(found)[0][:3] == (6, 5, "listeners[1].rate")


def test_a_listener_more_needs_a_restart(plan):
    found = plan("port: 9094}\n", "port: 9094}\n  - {set: main, name: c, port: 9095}\n")
    assert needs(found) == [(7, 5, "listeners[2]", "a new listener (c) can't open while the engine runs")]


def test_another_name_is_another_listener(plan):
    found = plan("name: b", "name: c")
    assert found.listeners_closed == ("b",)
    assert [need[2] for need in needs(found)] == ["listeners[1]"]


def test_admin_on_and_off_needs_a_restart(plan, load):
    off = plan('admin: {port: 9093, token: "${TOKEN}"}\n', "")
    assert needs(off) == [(1, 1, "admin", "can't close while the engine runs")]
    without = BASE.replace('admin: {port: 9093, token: "${TOKEN}"}\n', "")
    on = plan_engine_change(load(without), load(BASE))
    assert needs(on) == [(7, 8, "admin", "can't open while the engine runs")]


def test_all_of_it_is_named_at_once(plan):
    found = plan("port: 9092}", "port: 1, rate: 16000}")
    assert [need[2] for need in needs(found)] == ["listeners[0].port", "listeners[0].rate"]
