"""What `records` of engine.yaml may name: a file, SQLite's by its URL, PostgreSQL by its URL; and what else is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from reference_engine.settings.loading import load_engine_settings
from reference_engine.settings.records_place import PlaceError, read_place
from voicepipe import ConfigError, format_problems

FILE = "pipeline_sets: {main: a.yaml}\nlisteners: [{set: main}]\nrecords: "


@pytest.mark.parametrize(
    ("text", "kind", "path"),
    [
        ("calls.jsonl", "file", Path.cwd() / "calls.jsonl"),
        ("/var/lib/calls", "file", Path("/var/lib/calls")),
        ("sqlite:///var/lib/voicepipe/calls.db", "sqlite", Path("/var/lib/voicepipe/calls.db")),
        ("sqlite:////var/lib/calls.db", "sqlite", Path("/var/lib/calls.db")),
        ("SQLite:///srv/a%20b/calls.db", "sqlite", Path("/srv/a b/calls.db")),
        ("sqlite:calls.db", "sqlite", Path.cwd() / "calls.db"),
        ("sqlite:records/calls", "sqlite", Path.cwd() / "records/calls"),
        ("postgresql://voicepipe@db/calls", "postgresql", None),
        ("postgres:///calls?host=/run/postgresql", "postgresql", None),
        ("postgresql://a:1,b:2/calls", "postgresql", None),
    ],
)
def test_places(text, kind, path):
    place = read_place(text)
    assert (place.kind, place.path, place.is_database) == (kind, path, kind != "file")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://v:simple@db/calls", "postgresql://v:***@db/calls"),
        ("postgresql://v:p@ss/w:rd?#%41@db/calls", "postgresql://v:***@db/calls"),
        ("postgresql://db/calls?user=v&password=secret", "postgresql://db/calls?user=v&password=***"),
    ],
)
def test_a_password_may_have_any_character_and_is_not_shown(text, shown):
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415 - an extra

    place = read_place(text)
    assert str(place) == shown
    assert "secret" not in repr(place)
    password = conninfo_to_dict(place.url)["password"]
    assert password in {"simple", "p@ss/w:rd?#A", "secret"}


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("calls.db", "looks like a database", "write sqlite:calls.db"),
        ("/srv/calls.sqlite3", "looks like a database", "write sqlite:///srv/calls.sqlite3"),
        ("sqlite:///calls.db", "would be in the root directory", "write sqlite:calls.db"),
        ("sqlite://calls.db", "one slash or three, not two", "sqlite:calls.db"),
        ("sqlite:///:memory:", "names no file", "sqlite:///"),
        ("sqlite:///srv/calls.db?mode=ro", "has no parameters", "leave out ?mode=ro"),
        ("postgresql://u:hidden@db", "names no database", "write postgresql://u:***@db/voicepipe"),
        ("postgresql://u:hidden@db:99999/calls", "99999 is no port", "from 1 to 65535"),
        ("postgresql://u:hidden@db/calls?nosuch=1", 'query parameter: "nosuch"', "postgresql://user"),
        ("postgresql:calls", "begins with postgresql://", "postgresql://user@host/database"),
        ("postgresql+psycopg://u@db/calls", "a driver can't be chosen", "begin the URL with postgresql:"),
        ("mysql://u@db/calls", "can't go to", "sqlite:///var/lib/voicepipe/calls.db"),
        ("file:///srv/calls.jsonl", "named by its path", "leave out `file:`"),
        (" ", "no path and no URL", "sqlite:///var/lib/voicepipe/calls.db"),
    ],
)
def test_what_names_no_place_is_a_problem_at_its_place(tmp_path, text, message, hint):
    with pytest.raises(PlaceError, match=r".") as caught:
        read_place(text)
    assert message in str(caught.value)
    assert hint in caught.value.hint
    path = tmp_path / "engine.yaml"
    path.write_text(f'{FILE}"{text}"\n')
    with pytest.raises(ConfigError) as refused:
        load_engine_settings(path, environ={})
    (problem,) = refused.value.problems
    assert (problem.path, problem.where.line) == ("records", 3)
    assert "hidden" not in str(refused.value) + format_problems(refused.value.problems)


@pytest.mark.parametrize(
    ("text", "missing", "extra"),
    [
        ("postgresql://u@db/calls", "psycopg", "[postgresql]"),
        ("postgresql://u@db/calls", "sqlalchemy", "[engine]"),
        ("sqlite:calls.db", "sqlalchemy", "[engine]"),
        ("sqlite:calls.db", "alembic", "[engine]"),
    ],
)
def test_a_missing_library_is_said_with_its_extra(monkeypatch, text, missing, extra):
    monkeypatch.setattr(
        "reference_engine.settings.records_place.find_spec", lambda name: None if name == missing else object()
    )
    with pytest.raises(PlaceError, match=missing) as caught:
        read_place(text)
    assert extra in caught.value.hint


def test_a_secret_of_the_environment_is_part_of_the_url(tmp_path):
    path = tmp_path / "engine.yaml"
    path.write_text(f'{FILE}"postgresql://u:${{PG}}@db/calls"\n')
    place = load_engine_settings(path, environ={"PG": "a@b/c"}).records
    assert str(place) == "postgresql://u:***@db/calls"
    assert place.url == "postgresql://u:a%40b%2Fc@db/calls"
