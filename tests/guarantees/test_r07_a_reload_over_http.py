"""R07: `POST /-/reload` answers when done: what serves now, or every problem; `If-Match` answers 412 on a race."""

from __future__ import annotations

import trio
from engine_process import open_engine

PROBLEM = {"file", "line", "column", "path", "message", "hint"}


async def test_of_one_set(engine):
    engine.edit("active_pipeline: default", "active_pipeline: night")
    done = await engine.ask("POST", "/-/reload")
    body = done.json()
    assert done.status_code == 200
    assert (body["set"], body["version"], body["outcome"]) == ("main", 2, "applied")
    assert (body["plan"]["active"], body["plan"]["added"], body["plan"]["opened"]) == (
        "night",
        ["night"],
        ["tts espeak (en-gb)"],
    )
    (shown,) = (await engine.ask("GET", "/sets")).json()["sets"]
    assert shown["version"] == 2

    engine.edit("active_pipeline: night", "active_pipeline: nigth")
    refused = await engine.ask("POST", "/-/reload")
    body = refused.json()
    assert refused.status_code == 422
    assert (body["serving_version"], body["outcome"]) == (2, "rejected")
    (error,) = body["errors"]
    assert set(error) == PROBLEM
    assert (error["file"], error["line"], error["column"], error["path"]) == ("ai-agent.yaml", 1, 18, "active_pipeline")
    engine.edit("active_pipeline: nigth", "active_pipeline: night")

    raced = await engine.ask("POST", "/-/reload", headers={"If-Match": '"1"'})
    assert (raced.status_code, raced.json()["serving_version"]) == (412, 2)
    assert "version 2 serves, not version 1" in raced.json()["error"]
    same = await engine.ask("POST", "/-/reload?set=main", headers={"If-Match": '"2"'})
    assert (same.status_code, same.json()["outcome"]) == (200, "unchanged")
    assert (await engine.ask("POST", "/-/reload", headers={"If-Match": "*"})).status_code == 200

    for asked, status, said in (
        ("/-/reload?set=acme", 404, "unknown pipeline set 'acme'; pipeline sets: main"),
        ("/-/reload?sets=main", 400, "unknown parameter 'sets'; parameters: set, force"),
        ("/-/reload?force=yes", 400, "force must be true or false"),
        ("/-/reload?set=main&set=acme", 400, "twice"),
    ):
        answer = await engine.ask("POST", asked)
        assert answer.status_code == status
        assert said in answer.json()["error"]
    answer = await engine.ask("POST", "/-/reload", headers={"If-Match": "two"})
    assert (answer.status_code, "If-Match must be a version" in answer.json()["error"]) == (400, True)


async def test_of_those_who_race_for_a_version_one_wins(engine):
    statuses = []

    async def ask():
        answer = await engine.ask("POST", "/-/reload", headers={"If-Match": '"1"'})
        statuses.append(answer.status_code)

    engine.edit("active_pipeline: default", "active_pipeline: night")
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(ask)
    assert sorted(statuses) == [200, 412, 412, 412, 412]
    await engine.logged("reload.applied")
    assert engine.count("reload.applied") + engine.count("reload.unchanged") == 1


async def test_of_several_sets(home):
    async with open_engine(home, file="engine.yaml") as engine:
        engine.edit("active_pipeline: default", "active_pipeline: night")
        engine.edit("voice: en-us", "voise: en-us", file="acme.yaml")
        done = await engine.ask("POST", "/-/reload")
        body = done.json()
        assert done.status_code == 422
        assert body["engine"]["outcome"] == "unchanged"
        main, acme = body["sets"]
        assert (main["set"], main["outcome"], main["version"]) == ("main", "applied", 2)
        assert (acme["set"], acme["outcome"], acme["serving_version"]) == ("acme", "rejected", 1)
        assert body["errors"] == acme["errors"]

        one = await engine.ask("POST", "/-/reload?set=main")
        assert (one.status_code, one.json()["set"], one.json()["outcome"]) == (200, "main", "unchanged")
        assert "engine" not in one.json()
        which = await engine.ask("POST", "/-/reload", headers={"If-Match": '"1"'})
        assert which.status_code == 400

        engine.edit("voise: en-us", "voice: en-us", file="acme.yaml")
        engine.edit("control: c.sock", "control: d.sock", file="engine.yaml")
        # the command line says where the control is, so this changes nothing
        assert (await engine.ask("POST", "/-/reload")).json()["engine"]["outcome"] == "unchanged"
        engine.edit("{port: 0}", "{prot: 0}", file="engine.yaml")
        done = await engine.ask("POST", "/-/reload")
        assert done.status_code == 422
        assert [one["outcome"] for one in done.json()["sets"]] == ["unchanged", "unchanged"]
        (error,) = done.json()["errors"]
        assert (error["file"], error["path"]) == ("engine.yaml", "admin.prot")
