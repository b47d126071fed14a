"""Transports by name, found by entry point; and listeners of an engine's file that are of any of them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from attrs import frozen

from reference_engine.settings import loading
from reference_engine.settings.changes import plan_engine_change
from voicepipe import ConfigError, Location, Problem, Secret
from voicepipe.transports import registry as registry_module
from voicepipe.transports.bind_options import host_field, port_field
from voicepipe.transports.listener import TransportType
from voicepipe.transports.registry import BrokenTransport, TransportRegistry, installed_transports


@frozen
class Certificate:
    """A section of options."""

    file: Path
    """The file."""


@frozen
class AcmeOptions:
    """Calls of Acme."""

    token: Secret
    """What a caller must know."""
    host: str = host_field()
    """The address."""
    port: int = port_field(8080)
    """The port."""
    tls: Certificate | None = None
    """The certificate."""


@frozen
class Clashing:
    """Options with a key of every listener."""

    name: str = ""
    """Whatever."""


@asynccontextmanager
async def opened(_options, _context):
    yield object()


def check(options):
    if len(options.token) < 8:
        yield Problem(Location(""), "token", f"{options.token} is too short", "make it longer")
    if options.tls is not None:
        yield Problem(Location(""), "tls.file", "there is no such file")
    if options.port == 1:
        raise ZeroDivisionError


acme = TransportType(name="acme", options=AcmeOptions, open=opened, check=check)
clashing = TransportType(name="clashing", options=Clashing, open=opened)
unlike = TransportType(name="other", options=AcmeOptions, open=opened)
plain = TransportType(name="plain", options=dict, open=opened)


def points(monkeypatch, **names):
    entry_points = [EntryPoint(name.rstrip("_"), value, "voicepipe.transports") for name, value in names.items()]
    monkeypatch.setattr(registry_module, "_entry_points", lambda: entry_points)
    return installed_transports.__wrapped__()


def test_ours_are_installed():
    assert "audiosocket" in installed_transports().names()
    assert installed_transports().broken == ()
    assert installed_transports() is installed_transports()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nowhere.module:x", "can't be imported: ModuleNotFoundError"),
        (f"{__name__}:unlike", "is not the transport 'broken'"),
        (f"{__name__}:opened", "is not the transport 'broken'"),
    ],
)
def test_one_that_is_broken_is_reported_and_costs_no_other(monkeypatch, name, reason):
    registry = points(monkeypatch, acme=f"{__name__}:acme", broken=name)
    assert registry.names() == ("acme",)
    (broken,) = registry.broken
    assert reason in broken.message


def test_options_must_be_a_class_without_the_keys_of_all_listeners(monkeypatch):
    registry = points(monkeypatch, clashing=f"{__name__}:clashing", plain=f"{__name__}:plain")
    assert registry.names() == ()
    assert [broken.reason for broken in registry.broken] == [
        "it has an option 'name', which is a key of every listener",
        "<class 'dict'> is no attrs class",
    ]


def test_two_of_one_name_are_both_out(monkeypatch):
    registry = points(monkeypatch, acme=f"{__name__}:acme", acme_=f"{__name__}:copy_of_acme")
    assert registry.names() == ()
    assert "another package" in registry.broken[0].reason
    with pytest.raises(ValueError, match="two transports"):
        TransportRegistry([acme, copy_of_acme])


copy_of_acme = TransportType(name="acme", options=AcmeOptions, open=opened)


# --- In an engine's file ----------------------------------------------------------------------------------------------


@pytest.fixture
def load(monkeypatch, tmp_path):
    broken = BrokenTransport("shattered", "its library is gone", "shattered 1.0")
    types = TransportRegistry([*installed_transports(), acme], [broken])
    monkeypatch.setattr(loading, "installed_transports", lambda: types)
    path = tmp_path / "engine.yaml"

    def load(*listeners: str):
        lines = "".join(f"  - {{set: main, {listener}}}\n" for listener in listeners)
        path.write_text(f"pipeline_sets: {{main: main.yaml}}\nlisteners:\n{lines}")
        return loading.load_engine_settings(path, environ={"TOKEN": "0123456789"})

    return load


def problems(load, *listeners):
    with pytest.raises(ConfigError) as caught:
        load(*listeners)
    return [(p.where.line, p.where.column, p.path, p.message, p.hint) for p in caught.value.problems]


def test_each_listener_has_its_types_options(load):
    first, second = load("port: 9000", 'type: acme, token: "${TOKEN}", max_connections: 3').listeners
    assert (first.type, first.name, first.options.port) == ("audiosocket", "audiosocket", 9000)
    assert (second.name, second.max_connections) == ("acme", 3)
    assert second.options == AcmeOptions(token=Secret("0123456789"))


@pytest.mark.parametrize(
    ("listener", "expected"),
    [
        ("type: acme", (3, 5, "listeners[0].token", "is required, but missing")),
        ("type: acme, tokn: x", (3, 29, "listeners[0].tokn", 'unknown key "tokn"')),
        ('type: acme, token: "${TOKEN}", nmae: x', (3, 48, "listeners[0].nmae", 'unknown key "nmae"')),
        ('type: acme, token: "${TOKEN}", rate: 8000', (3, 48, "listeners[0].rate", 'unknown key "rate"')),
        ("type: acme, token: short", (3, 36, "listeners[0].token", "is too short")),
        ('type: acme, token: "${TOKEN}", port: x', (3, 54, "listeners[0].port", "expected a whole number")),
        ('type: acme, token: "${TOKEN}", port: 1', (3, 5, "listeners[0]", "the check of acme failed")),
        (
            'type: acme, token: "${TOKEN}", tls: {file: x}',
            (3, 60, "listeners[0].tls.file", "there is no such file"),
        ),
        ("type: shattered", (3, 23, "listeners[0].type", "its library is gone")),
        ("type: acne", (3, 23, "listeners[0].type", 'there is no type "acne"')),
    ],
)
def test_mistakes_have_their_place(load, listener, expected):
    ((line, column, path, message, hint),) = problems(load, listener)
    assert (line, column, path) == expected[:3]
    assert expected[3] in message
    assert "short" not in message.replace("too short", "")
    if "nmae" in listener:
        assert hint.startswith('did you mean "name"?')


def test_mistakes_of_common_keys_and_options_are_reported_together(load):
    found = problems(load, "type: acme, max_connections: 0, port: x")
    assert [problem[2] for problem in found] == [
        "listeners[0].token",
        "listeners[0].max_connections",
        "listeners[0].port",
    ]


def test_two_types_don_t_bind_one_port(load):
    (problem,) = problems(load, "port: 8080", 'type: acme, token: "${TOKEN}"')
    assert problem[2:4] == ("listeners[1].port", 'listeners[0] binds to port 8080 of "127.0.0.1" already')


@pytest.mark.parametrize(
    ("before", "after", "paths"),
    [
        ("port: 1, name: a", 'type: acme, name: a, token: "${TOKEN}"', ["listeners[0].type"]),
        (
            'type: acme, name: a, token: "${TOKEN}"',
            'type: acme, name: a, token: "another one"',
            ["listeners[0].token"],
        ),
        (
            'type: acme, name: a, token: "${TOKEN}"',
            'type: acme, name: a, token: "${TOKEN}", port: 2, max_connections: 9',
            ["listeners[0].max_connections", "listeners[0].port"],
        ),
    ],
)
def test_a_change_of_options_needs_a_restart(load, before, after, paths):
    old, new = load(before), load(after)
    plan = plan_engine_change(old, new)
    assert sorted(problem.path for problem in plan.restart) == sorted(paths)
    assert "0123456789" not in " ".join(problem.message for problem in plan.restart)
