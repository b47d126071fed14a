"""R08: `GET /sets` shows each set's serving version, last attempt and its errors, live versions and calls on each."""

from __future__ import annotations

from engine_process import open_engine

from voicepipe.testing.audiosocket_caller import open_audiosocket_call


async def test_each_set(home):
    async with open_engine(home, file="engine.yaml") as engine:
        shown = (await engine.ask("GET", "/sets")).json()
        assert shown["engine"] == {"file": "engine.yaml", "last_attempt": None}
        assert [(one["set"], one["state"], one["version"], one["last_attempt"]) for one in shown["sets"]] == [
            ("main", "serving", 1, None),
            ("acme", "serving", 1, None),
        ]
        async with (
            open_audiosocket_call(port=engine.ports["main"]) as first,
            open_audiosocket_call(port=engine.ports["main"]) as second,
        ):
            await engine.logged("call.started", transport_id=str(first.call_id), set="main")
            await engine.logged("call.started", transport_id=str(second.call_id), set="main")
            engine.edit("active_pipeline: default", "active_pipeline: night")
            engine.edit("active_pipeline: default", "active_pipeline: nigth", file="acme.yaml")
            assert (await engine.ask("POST", "/-/reload")).status_code == 422
            async with open_audiosocket_call(port=engine.ports["main"]) as third:
                await engine.logged("call.started", transport_id=str(third.call_id), set="main")
                main, acme = (await engine.ask("GET", "/sets")).json()["sets"]
                held = [(one["version"], one["state"], one["calls"]) for one in main["versions"]]
                assert held == [(1, "draining", 2), (2, "serving", 1)]
                assert (main["version"], main["active_pipeline"], main["pipelines"]) == (2, "night", ["night"])
                assert main["digest"] == main["versions"][1]["digest"] == main["last_attempt"]["digest"]
                assert main["last_attempt"]["outcome"] == "applied"
                assert [(one["version"], one["state"], one["calls"]) for one in acme["versions"]] == [(1, "serving", 0)]
                assert (acme["version"], acme["last_attempt"]["outcome"]) == (1, "rejected")
                assert [error["path"] for error in acme["last_attempt"]["errors"]] == ["active_pipeline"]

                one = (await engine.ask("GET", "/sets/main/versions/2")).json()
                assert (one["set"], one["version"], one["calls"], one["trigger"]) == ("main", 2, 1, "control")
                assert one["plan"]["was_active"] == "default"
                assert one["config"]["active_pipeline"] == "night"
                assert one["config"]["pipelines"]["night"]["greeting"] == "Good night."
                for path in ("/sets/main/versions/9", "/sets/main/versions/x", "/sets/nobody/versions/1"):
                    assert (await engine.ask("GET", path)).status_code == 404
