"""F09: admin and media listeners bind to loopback unless told otherwise; beyond it, changes need a token."""

from __future__ import annotations

import pytest
import trio
from engine_process import TWO_SETS, open_engine

from reference_engine.control.operations import OPERATIONS
from reference_engine.settings.loading import load_engine_settings
from reference_engine.settings.settings import AdminSettings, ListenerSettings
from voicepipe import ConfigError, is_loopback

TOKEN = "a-token-of-sixteen"
BEARING = {"Authorization": f"Bearer {TOKEN}"}
CHANGES = ("/-/reload", "/sets/main/rollback")


def test_loopback_is_the_default():
    assert is_loopback(ListenerSettings(set="main").options.host)
    assert is_loopback(AdminSettings().host)


def test_beyond_it_there_is_no_start_without_a_token(tmp_path):
    (tmp_path / "engine.yaml").write_text(TWO_SETS.replace("{port: 0}", "{host: 0.0.0.0, port: 0}"))
    with pytest.raises(ConfigError) as caught:
        load_engine_settings(tmp_path / "engine.yaml")
    (problem,) = caught.value.problems
    assert "`token` is required" in problem.message


async def test_with_a_token(home):
    (home / "env").write_text(f"TOKEN={TOKEN}\n")
    (home / "engine.yaml").write_text(TWO_SETS.replace("{port: 0}", '{host: 0.0.0.0, port: 0, token: "${TOKEN}"}'))
    async with open_engine(home, "--env-file", "env", file="engine.yaml") as engine:
        assert (await engine.logged("engine.ready"))["admin"]["host"] == "0.0.0.0"
        for path in ("/healthz", "/readyz", "/metrics", "/openapi.json"):
            assert (await engine.ask_admin("GET", path)).status_code == 200
        for method, path in ((operation.method, operation.path) for operation in OPERATIONS):
            if path in {"/healthz", "/readyz", "/metrics", "/openapi.json"}:
                continue
            asked = path.format(set="main", version=1, call="nobody", digest="0" * 64)
            for headers in ({}, {"Authorization": f"Bearer {TOKEN}x"}, {"Authorization": f"Basic {TOKEN}"}):
                refused = await engine.ask_admin(method, asked, headers=headers)
                assert refused.status_code == 401
                assert refused.headers["www-authenticate"].startswith("Bearer")
                assert TOKEN not in refused.text
        assert engine.count("reload.unchanged") == 0
        assert (await engine.ask_admin("POST", "/-/reload", headers=BEARING)).status_code == 200
        assert (await engine.ask_admin("GET", "/sets", headers=BEARING)).status_code == 200
        assert (await engine.ask("POST", "/-/reload")).status_code == 200  # the Unix socket is its owner's

        # a new token takes effect by reload
        (home / "env").write_text(f"TOKEN={TOKEN}-and-more\n")
        assert (await engine.ask_admin("POST", "/-/reload", headers=BEARING)).status_code == 200
        assert (await engine.ask_admin("POST", "/-/reload", headers=BEARING)).status_code == 401
        more = {"Authorization": f"Bearer {TOKEN}-and-more"}
        assert (await engine.ask_admin("GET", "/calls", headers=more)).status_code == 200
        assert TOKEN not in str(engine.records)


async def test_a_page_from_elsewhere_changes_nothing(home):
    async with open_engine(home, file="engine.yaml") as engine:
        for path in CHANGES:
            for headers in (
                {"Origin": "https://example.com"},
                {"Origin": "null"},
                {"Origin": "http://localhost:3000"},
                {"Host": "rebound.example.com"},
                {"Host": f"rebound.example.com:{engine.admin.rpartition(':')[2]}"},
                {"Host": "[", "Origin": "http://["},
            ):
                refused = await engine.ask_admin("POST", path, headers=headers)
                assert refused.status_code == 403
                assert refused.json()["error"]
        assert (await engine.ask_admin("GET", "/calls", headers={"Host": "rebound.example.com"})).status_code == 403
        for path in ("/healthz", "/readyz"):
            assert (await engine.ask_admin("GET", path, headers={"Host": "any.example.com"})).status_code == 200
            host, port = engine.admin.removeprefix("http://").split(":")
            async with await trio.open_tcp_stream(host, int(port)) as old:
                await old.send_all(f"GET {path} HTTP/1.0\r\n\r\n".encode())
                assert (await old.receive_some()).startswith(b"HTTP/1.1 200")
        assert (await engine.ask_admin("POST", "/-/reload", headers={"Origin": engine.admin})).status_code == 200
        assert (await engine.ask_admin("POST", "/-/reload")).status_code == 200
        assert (await engine.ask_admin("GET", "/sets", headers={"Host": "localhost:9093"})).status_code == 200
        assert engine.count("reload.rejected") == 0
        assert (await engine.ask("GET", "/sets")).json()["sets"][0]["version"] == 1
