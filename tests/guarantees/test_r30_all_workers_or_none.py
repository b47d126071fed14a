"""R30: with several workers a reload is all or nothing for each set: every worker prepares, then all commit, or none.

One engine of three workers is started for all of it. Its voices are those of an adapter that looks for files in the
test's directory (`_ADAPTER`): in how many processes a voice may be open, and whether opening it waits.
"""

from __future__ import annotations

import json

import httpx
import pytest
import trio
from engine_process import engine_home
from patience import until
from worker_engines import open_workers, restarted, send

_ADAPTER = """
import os
from contextlib import asynccontextmanager
from pathlib import Path

import trio
from attrs import frozen

from voicepipe import Adapter, ComponentError
from voicepipe.testing.components import ScriptedLanguageModel, ScriptedSpeechToText, ToneTextToSpeech


@frozen
class Options:
    place: str
    id: str = "a"


def of(role, make):
    @asynccontextmanager
    async def open(options, resources):
        at = Path(options.place)
        (at / f"{options.id}.opened-by.{os.getpid()}").touch()
        while (at / f"{options.id}.waits").exists():
            await trio.sleep(0.01)
        if (seats := at / f"{options.id}.seats").exists():
            for number in range(int(seats.read_text())):
                try:
                    os.close(os.open(at / f"{options.id}.seat.{number}", os.O_CREAT | os.O_EXCL))
                    break
                except FileExistsError:
                    pass
            else:
                raise ComponentError("no seat is left")
        yield make()

    return Adapter(name="seated", role=role, options=Options, open=open)


stt = of("stt", ScriptedSpeechToText)
llm = of("llm", lambda: ScriptedLanguageModel(lambda request: "Hello."))
tts = of("tts", ToneTextToSpeech)
"""

WORKERS = (1, 2, 3)

ENGINE = """\
pipeline_sets: {main: ai-agent.yaml, acme: acme.yaml}
listeners:
  - {set: main, name: main, port: 0}
  - {set: acme, name: acme, port: 0}
control: c.sock
workers: 3
"""


def install(site):
    """Makes a directory with the adapter as an installed package."""
    package = site / "seated-1.0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: seated\nVersion: 1.0\n")
    points = "".join(f"[voicepipe.{role}]\nseated = seated_voice:{role}\n" for role in ("stt", "llm", "tts"))
    (package / "entry_points.txt").write_text(points)
    (site / "seated_voice.py").write_text(_ADAPTER)


class Situation:
    """The engine, what its workers serve by their log, and the places of the voices."""

    def __init__(self, engine, home, place):
        self.engine, self.home, self.place = engine, home, place
        self.written = 0

    def write(self, voice="a", *, file="ai-agent.yaml"):
        """Writes a set's file with a new greeting, so that it has changed."""
        self.written += 1
        role = {"type": "seated", "place": str(self.place)}
        components = {"voice": role | {"id": voice}}
        pipeline = {"stt": role, "llm": role, "tts": "voice", "greeting": f"Hello {self.written}."}
        content = {"components": components, "pipelines": {"default": pipeline}}
        (self.home / file).write_text(json.dumps(content, indent=1))

    def may_be_open(self, voice, seats):
        """Has a voice open in so many processes only, from now on."""
        for taken in self.place.glob(f"{voice}.seat.*"):
            taken.unlink()
        (self.place / f"{voice}.seats").write_text(str(seats))

    async def reload(self, **params):
        return await self.engine.ask("POST", "/-/reload", params={"set": "main"} | params)

    async def serves(self, version, *, after, set="main"):  # noqa: A002
        """The digest of a version that all workers began to serve after an index in the log."""
        applied = [
            await self.engine.logged("reload.applied", after=after, worker=worker, set=set, version=version)
            for worker in WORKERS
        ]
        (digest,) = {record["digest"] for record in applied}
        return digest

    def applied_since(self, index):
        return [record for record in self.engine.records[index:] if record["event"] == "reload.applied"]

    @property
    def now(self):
        return len(self.engine.records)


async def all_or_none(made):
    """A change is applied by all with one number and digest; one that a single worker can't open, by none."""
    index = made.now
    made.write("b")
    answer = await made.reload()
    assert (answer.status_code, answer.json()["version"]) == (200, 2)
    assert await made.serves(2, after=index) == answer.json()["digest"]

    index = made.now
    made.write("c")
    made.may_be_open("c", 2)
    answer = await made.reload()
    body = answer.json()
    assert (answer.status_code, body["outcome"], body["reason"], body["serving_version"]) == (
        422,
        "rejected",
        "open",
        2,
    )
    (problem,) = body["errors"]
    assert problem["message"].startswith("worker ")
    assert "voice can't be opened: no seat is left" in problem["message"]
    assert (problem["file"], problem["path"]) == ("ai-agent.yaml", "components.voice")
    assert (made.home / "ai-agent.yaml").read_text().splitlines()[problem["line"] - 1].strip().startswith('"voice"')
    for worker in WORKERS:
        await made.engine.logged("reload.rejected", after=index, worker=worker)
    assert made.applied_since(index) == []


async def one_that_is_killed_while_it_prepares(made, worker):
    """It withdraws the change, is named, and the one in its place serves what the others do."""
    index = made.now
    voice = f"killed{worker}"
    (made.place / f"{voice}.waits").touch()
    made.write(voice)
    outcomes = []

    async def ask():
        try:
            outcomes.append(await made.reload())
        except httpx.HTTPError as error:  # it was the leader that ended
            outcomes.append(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await until(lambda: len(list(made.place.glob(f"{voice}.opened-by.*"))) == len(WORKERS))
        send(made.engine, worker)
    (made.place / f"{voice}.waits").unlink()
    for other in set(WORKERS) - {worker}:
        rejected = await made.engine.logged("reload.rejected", after=index, worker=other)
        assert rejected["problems"][0]["message"].startswith(f"worker {worker} ended while it prepared the change")
    assert made.applied_since(index) == []
    await restarted(made.engine, worker)
    return outcomes[0]


async def next_version(made, version):
    """The next change is applied by all, those that were restarted included."""
    index = made.now
    made.write(f"fine{version}")
    answer = await made.reload()
    assert (answer.status_code, answer.json()["version"]) == (200, version), answer.text
    assert await made.serves(version, after=index) == answer.json()["digest"]


async def a_rollback(made, to, version):
    """All go back together."""
    index = made.now
    answer = await made.engine.ask("POST", "/sets/main/rollback", json={"to": to})
    assert (answer.status_code, answer.json()["version"], answer.json()["rolled_back_to"]) == (200, version, to)
    await made.serves(version, after=index)


async def a_rollback_that_holds(made, to, version):
    """A reload of the same files is unchanged, although another worker leads now; forced, it is not."""
    answer = await made.reload()
    assert (answer.json()["outcome"], answer.json()["rolled_back_to"]) == ("unchanged", to)
    index = made.now
    answer = await made.reload(force="true")
    assert (answer.json()["outcome"], answer.json()["version"]) == ("applied", version), answer.text
    await made.serves(version, after=index)


async def many_at_once(made, version):
    """Reloads that are asked for during one share the next, and all workers serve the last."""
    index = made.now
    made.write("many")
    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(made.reload)
    await made.serves(version, after=index)
    assert len(made.applied_since(index)) == len(WORKERS)


@pytest.fixture
def home():
    with engine_home() as directory:
        yield directory


async def test_a_reload_is_carried_out_by_all_workers_or_by_none(home, monkeypatch):
    place = home / "place"
    place.mkdir()
    install(home / "site")
    monkeypatch.setenv("PYTHONPATH", str(home / "site"))
    (home / "engine.yaml").write_text(ENGINE)
    made = Situation(None, home, place)
    made.write()
    made.write(file="acme.yaml")
    async with open_workers(home, workers=3, file="engine.yaml") as engine:
        made.engine = engine
        await all_or_none(made)
        await one_that_is_killed_while_it_prepares(made, 3)
        await next_version(made, 3)
        await a_rollback(made, 2, 4)
        files = (home / "ai-agent.yaml").read_text()
        await one_that_is_killed_while_it_prepares(made, 1)  # which leads
        (home / "ai-agent.yaml").write_text(files)
        await a_rollback_that_holds(made, 2, 5)
        await many_at_once(made, 6)
