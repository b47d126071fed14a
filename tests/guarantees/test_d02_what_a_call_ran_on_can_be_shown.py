"""D02: what a call ran on can be shown months later, by its digest; a version never means two configurations."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from itertools import pairwise

import pytest
import trio
from engine_process import open_engine
from hypothesis import given, settings
from hypothesis import strategies as st
from recording import RecordedSet, pipeline

from reference_engine.records.database import reading_engine, writing_engine
from reference_engine.records.provenance import find_configuration, find_versions, highest_version
from reference_engine.records.runs import EngineRun
from reference_engine.records.schema import upgrade
from reference_engine.records.store import RecordStore
from reference_engine.records.version_recording import VersionRecorder, configuration_row
from reference_engine.reports.json_bodies import set_body
from reference_engine.reports.printing import describe_sets
from reference_engine.sets import kept_files
from reference_engine.sets.set_versions import VersionKeeping
from reference_engine.settings.records_place import read_place
from voicepipe import Applied, Rejected, Unchanged, UnknownVersion, load_config

DATABASE = "sqlite:calls.db"


class Log:
    """Notes what is logged."""

    def __init__(self):
        self.events = []

    def warning(self, event, **_fields):
        self.events.append(event)


class Machine:
    """A set with its directory of versions and its database, over several runs of an engine."""

    def __init__(self, directory, nursery):
        self._nursery = nursery
        self.recorded = RecordedSet(directory)
        self.recorded.environ["WORD"] = "one"
        self.directory = directory / "kept"
        self.recorded_highest = 0
        self.served = {}
        self.log = Log()
        self.pipelines = None

    async def highest(self, _name):
        await trio.lowlevel.checkpoint()
        return self.recorded_highest

    async def start(self):
        """Starts the engine: all that was in memory is gone."""
        await self.stop()
        self._stopping, self._stopped = trio.Event(), trio.Event()
        self.pipelines = await self._nursery.start(self._serve)
        outcome = await self.pipelines.start()
        self.note()
        return outcome

    async def _serve(self, task_status):
        keeping = VersionKeeping(lambda: self.directory, self.highest, self.log)
        async with self.recorded.serve(
            history=keeping.of("main"),
            last_known_good=lambda: keeping.last_sources("main", self.recorded.path),
            start=False,
        ) as pipelines:
            task_status.started(pipelines)
            await self._stopping.wait()
        self._stopped.set()

    async def stop(self):
        if self.pipelines is not None:
            self._stopping.set()
            await self._stopped.wait()
        self.pipelines = None

    def note(self):
        """A call is answered now: what it ran on has to be the same whenever its version is named."""
        if self.pipelines.version is None:
            return
        current = self.pipelines.current
        ran_on = current.digest, str(current.active.stt[0].settings.options.text), current.active.settings.prompt
        assert self.served.setdefault(current.version, ran_on) == ran_on
        self.recorded_highest = max(self.served)

    def write(self, prompt):
        """Writes the file; `None` is an invalid one."""
        stt = {"id": "a", "text": "${WORD}"}
        self.recorded.write(default=pipeline(stt=stt, prompt=prompt, **({"typo": 1} if prompt == "bad" else {})))

    async def change(self, prompt):
        self.write(prompt)
        outcome = await self.pipelines.reload()
        self.note()
        return outcome

    async def roll_back(self, to=None):
        outcome = await self.pipelines.rollback(to)
        self.note()
        return outcome


@pytest.fixture
async def machine(tmp_path, nursery):
    machine = Machine(tmp_path, nursery)
    machine.write("first")
    await machine.start()
    yield machine
    await machine.stop()


def numbers(machine):
    return [(record.version, record.earlier_run) for record in machine.pipelines.history]


# --- Numbers and rollback over restarts --------------------------------------------------------------------------


async def test_what_served_last_has_the_same_number_after_a_restart_and_anything_else_the_next(machine):
    await machine.change("second")
    for _ in range(3):
        assert (await machine.start()).version == 2
        assert numbers(machine) == [(1, True), (2, False)]
    machine.recorded.environ["WORD"] = "two"  # which the digest does not cover
    assert (await machine.start()).version == 3
    machine.write("third")
    assert (await machine.start()).version == 4
    assert isinstance(await machine.pipelines.reload(), Unchanged)
    assert isinstance(await machine.change("fourth"), Applied)
    assert numbers(machine) == [(1, True), (2, True), (3, True), (4, False), (5, False)]
    machine.write("second")
    assert (await machine.start()).version == 6


async def test_a_comment_and_the_order_of_keys_are_no_difference(machine):
    content = json.loads(machine.recorded.path.read_text())
    machine.recorded.path.write_text("# a comment\n\n" + json.dumps(dict(reversed(content.items()))))
    assert (await machine.start()).version == 1


async def test_a_rollback_goes_to_versions_of_before_the_restart(machine):
    await machine.change("second")
    await machine.change("third")
    await machine.start()
    machine.recorded.path.unlink()
    status = describe_sets({"engine": None, "removed": [], "sets": [set_body(machine.pipelines)]})
    assert "main: versions from before the start, for a rollback: 1, 2\n" in status
    outcome = await machine.roll_back()
    assert (outcome.version, outcome.rolled_back_to, machine.pipelines.current.active.settings.prompt) == (
        4,
        2,
        "second",
    )
    outcome = await machine.roll_back(1)
    assert (outcome.version, outcome.rolled_back_to, machine.pipelines.current.active.settings.prompt) == (
        5,
        1,
        "first",
    )
    record = machine.pipelines.history[-1]
    assert (record.version, record.rolled_back_to, record.earlier_run) == (5, 1, False)
    config = await machine.pipelines.read_config_of(3)
    assert config.pipelines["default"].prompt == "third"
    with pytest.raises(UnknownVersion, match=r"version 2 .* of an earlier run"):
        machine.pipelines.config_of(2)
    with pytest.raises(UnknownVersion, match="no version 7; kept: 1, 2, 3, 4, 5"):
        await machine.roll_back(7)


async def test_a_rollback_holds_over_a_restart_until_the_files_change(machine):
    await machine.change("bad idea")
    await machine.roll_back()
    for _ in range(2):
        outcome = await machine.start()
        assert (outcome.version, outcome.rolled_back_to) == (3, 1)
        assert machine.pipelines.current.active.settings.prompt == "first"
        assert (await machine.pipelines.reload()).rolled_back_to == 1
    assert (await machine.change("better idea")).version == 4
    assert (await machine.start()).rolled_back_to is None
    await machine.roll_back(2)
    machine.write("best idea")
    assert ((await machine.start()).version, machine.pipelines.current.active.settings.prompt) == (6, "best idea")


async def test_a_rollback_that_files_have_ended_holds_no_more_after_a_restart(machine):
    await machine.change("second")
    await machine.roll_back()
    assert isinstance(await machine.change("first"), Unchanged)  # the files say what serves
    machine.write("second")
    await machine.start()
    assert (machine.pipelines.version, machine.pipelines.current.active.settings.prompt) == (4, "second")


async def test_the_last_known_good_files_have_the_number_that_they_served_under(machine):
    await machine.change("second")
    machine.write("bad")
    outcome = await machine.start()
    assert isinstance(outcome, Rejected)
    assert (outcome.version, machine.pipelines.last_known_good) == (2, True)
    assert (await machine.roll_back(1)).version == 3


async def test_ten_versions_are_kept_each_content_once_and_for_this_user_only(machine):
    prompt = machine.recorded.path.with_name("prompt.md")
    prompt.write_text("Be brief.")
    for number in range(14):
        machine.recorded.write(default=pipeline(prompt={"file": "prompt.md"}, greeting=str(number)))
        await machine.pipelines.reload()
    folder = machine.directory / "main"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert [version["version"] for version in manifest["versions"]] == list(range(6, 16))
    assert len(list(folder.iterdir())) == 1 + 10 + 1
    assert {entry.stat().st_mode & 0o777 for entry in folder.iterdir()} == {0o600}
    await machine.start()
    assert len(machine.pipelines.history) == 10
    with pytest.raises(UnknownVersion, match="no version 5 any more"):
        await machine.roll_back(5)


async def test_a_copy_that_is_damaged_costs_that_version_only(machine):
    await machine.change("second")
    await machine.change("third")
    await machine.start()
    manifest = json.loads((machine.directory / "main/manifest.json").read_text())
    (digest,) = manifest["versions"][1]["sources"].values()
    (machine.directory / "main" / digest).write_text("damaged")
    outcome = await machine.roll_back(2)
    assert isinstance(outcome, Rejected)
    assert "the files of version 2 are not kept any more" in outcome.problems[0].message
    assert (await machine.roll_back(1)).rolled_back_to == 1


async def test_without_the_directory_numbers_go_on_after_those_of_the_database(machine):
    await machine.change("second")
    shutil.rmtree(machine.directory)
    assert (await machine.start()).version == 3
    with pytest.raises(UnknownVersion, match="no version 2 any more; kept: 3"):
        await machine.roll_back(2)


@pytest.mark.parametrize("lost", ["database", "manifest"])
async def test_numbers_that_can_not_be_read_are_not_used_again(machine, lost):
    await machine.change("second")
    if lost == "database":
        shutil.rmtree(machine.directory)
        machine.highest = unreadable
    else:
        (machine.directory / "main/manifest.json").write_text("{")
        machine.recorded_highest = 0
    before = int(datetime.now(UTC).timestamp() // 60)
    first = await machine.start()
    assert before < first.version <= before + 3
    assert "versions.not_known" in machine.log.events
    machine.highest = Machine.highest.__get__(machine)
    assert (await machine.start()).version == first.version


async def unreadable(_name):
    await trio.lowlevel.checkpoint()


class CrashError(Exception):
    """The process ends here."""


STEPS = st.one_of(
    st.tuples(st.just("change"), st.sampled_from(["first", "second", "third", "bad"])),
    st.tuples(st.just("word"), st.sampled_from(["one", "two"])),
    st.tuples(st.just("rollback"), st.integers(0, 9)),
    st.tuples(st.just("restart"), st.sampled_from(["first", "second", "third", "bad", None])),
    st.tuples(st.just("crash"), st.tuples(st.integers(0, 2), st.booleans(), st.sampled_from(["first", "second"]))),
    st.tuples(st.just("lose"), st.none()),
)


@settings(max_examples=8)
@given(steps=st.lists(STEPS, min_size=4, max_size=12))
def test_a_set_and_a_version_never_mean_two_configurations(tmp_path_factory, steps):
    trio.run(walk, tmp_path_factory.mktemp("machine"), steps)


async def walk(directory, steps):
    async with trio.open_nursery() as nursery:
        machine = Machine(directory, nursery)
        await follow(machine, steps)
        await machine.stop()
    assert list(machine.served) == sorted(machine.served)


async def follow(machine, steps):
    machine.write("first")
    await machine.start()
    for step, value in steps:
        match step:
            case "change":
                await machine.change(value)
            case "word":
                machine.recorded.environ["WORD"] = value
                await machine.pipelines.reload()
                machine.note()
            case "rollback":
                history = machine.pipelines.history
                if history and machine.pipelines.version is not None:
                    await machine.roll_back(history[value % len(history)].version)
            case "restart":
                if value is not None:
                    machine.write(value)
                await machine.start()
            case "crash":
                await crash(machine, *value)
            case "lose":
                shutil.rmtree(machine.directory, ignore_errors=True)
                await machine.start()


async def crash(machine, writes, is_done, prompt):
    """Ends the process while a version is being kept: before or after one of the files is written."""
    write, left = kept_files._write, writes

    def end(path, content):
        nonlocal left
        left -= 1
        if left < 0 and not is_done:
            raise CrashError
        write(path, content)
        if left < 0:
            raise CrashError

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(kept_files, "_write", end)
        await machine.change(f"{prompt} {len(machine.served)}")
    await machine.start()


# --- The database ------------------------------------------------------------------------------------------------

SECRETS = {
    "a key in the YAML": ({"text": "hunter2-77"}, "hunter2-77"),
    "a variable": ({"text": "${WORD}"}, "value-of-word"),
    "a file": ({"text": "${file:key.txt}"}, "value-of-file"),
    "a default": ({"text": "${UNSET:-default-9-secret}"}, None),
}
PROMPTS = {
    "a vendor's key": "sk-proj-0123456789abcdefABCDEF",
    "a bearer token": "Bearer abcdef0123456789",
    "a password": "the password is swordfish7",
    "a private key": "-----BEGIN PRIVATE KEY-----\nMIIEow9\n-----END PRIVATE KEY-----",
    "a token in a URL": "https://example.org/?access_token=abcdef12",
}


@pytest.mark.parametrize("name", PROMPTS)
@pytest.mark.parametrize("where", ["prompt", "prompt file", "greeting", "goodbye", "tool"])
def test_what_is_kept_has_no_secret_wherever_one_is_written(tmp_path, name, where):
    recorded = RecordedSet(tmp_path)
    text = f"Say {PROMPTS[name]} to nobody"
    (tmp_path / "prompt.md").write_text(text)
    own = {"prompt": {"prompt": text}, "prompt file": {"prompt": {"file": "prompt.md"}}, "greeting": {"greeting": text}}
    sections = {"goodbye": {"limits": {"goodbye": text}}}
    tool = {"description": text, "http": {"url": "http://127.0.0.1/"}, "parameters": {"type": "object"}}
    sections["tool"] = {"tools": {"ask": tool}}
    uses = {"tools": ["ask"]} if where == "tool" else {}
    recorded.write(default=pipeline(**own.get(where, {}), **uses), sections=sections.get(where))
    row = configuration_row("main", load_config(recorded.path, registry=recorded.registry), datetime.now(UTC))
    kept = json.dumps(row["config"])
    secret = PROMPTS[name].removeprefix("Bearer ").removeprefix("the password is ").rpartition("=")[2]
    assert secret.splitlines()[-2:][0] not in kept
    assert "***" in kept
    assert "to nobody" in kept


def test_values_of_variables_and_secret_files_are_not_kept_and_their_files_have_no_hash(tmp_path):
    recorded = RecordedSet(tmp_path)
    (tmp_path / "key.txt").write_text("value-of-file")
    (tmp_path / "script.yaml").write_text("hello: there")
    (tmp_path / "prompt.md").write_text("Be brief with value-of-file.")
    stt = {"id": "a", "text": "${WORD}"}
    llm = {"id": "b", "text": "${file:key.txt}", "file": "script.yaml"}
    recorded.write(default=pipeline(stt=stt, llm=llm, prompt={"file": "prompt.md"}))
    config = load_config(recorded.path, registry=recorded.registry, environ={"WORD": "value-of-word"})
    row = configuration_row("main", config, datetime.now(UTC))
    assert "value-of-word" not in json.dumps(row["config"])
    assert row["config"]["pipelines"]["default"]["stt"][0]["options"]["text"] == "${WORD}"
    assert row["config"]["pipelines"]["default"]["llm"][0]["options"]["text"] == "${file:key.txt}"
    assert row["config"]["pipelines"]["default"]["prompt"]["text"].startswith("Be brief")
    hashes = {path: sha256((tmp_path / path).read_bytes()).hexdigest() for path in ("script.yaml", "prompt.md")}
    hashes["ai-agent.yaml"] = sha256(recorded.path.read_bytes()).hexdigest()
    assert row["files"] == {str(tmp_path / name): hash_ for name, hash_ in hashes.items()} | {
        str(tmp_path / "key.txt"): None
    }


def test_each_configuration_is_kept_once_and_two_engines_count_for_themselves(tmp_path):
    place = read_place(f"sqlite:{tmp_path / 'calls.db'}")
    with writing_engine(place).begin() as connection:
        upgrade(connection)

    async def serve(name):
        run = EngineRun.of_this_process(name)
        async with trio.open_nursery() as nursery:
            machine = Machine(tmp_path / name, nursery)
            with (
                RecordStore(place, tmp_path / "spool", run, log=Log(), software="1.2.3") as store,
                VersionRecorder(store) as recorder,
            ):
                machine.write("first")
                await machine.start()
                for prompt in ("first", "second", "first"):
                    await machine.change(prompt)
                    recorder.observe(machine.pipelines, machine.pipelines.history[-1])
                recorder.flush()
                assert await trio.to_thread.run_sync(store.wait_stored, 20)
                assert await recorder.highest("main") == 3
                assert await recorder.highest("other") == 0
            await machine.stop()

    for name in ("east", "west"):
        (tmp_path / name).mkdir()
        trio.run(serve, name)
    with reading_engine(place).connect() as connection:
        found = find_versions(connection, set_name="main")
        assert sorted((one.engine, one.version) for one in found) == [
            (engine, number) for engine in ("east", "west") for number in (1, 2, 3)
        ]
        assert {one.software for one in found} == {"1.2.3"}
        assert len({one.digest for one in found}) == 2
        assert highest_version(connection, "north", "main") == 0
        east = find_versions(connection, engine="east", limit=2)
        assert [one.version for one in east] == [3, 2]
        kept = find_configuration(connection, east[0].digest[:12])
        assert kept.digest == east[0].digest
        assert kept.config["pipelines"]["default"]["prompt"] == "first"
        assert (find_configuration(connection, "0" * 64), find_configuration(connection, "zz%")) == (None, None)


# --- A real engine -----------------------------------------------------------------------------------------------


async def recorded_versions(home, count):
    """Whether the database has that many versions."""
    await trio.lowlevel.checkpoint()
    with reading_engine(read_place(f"sqlite:{home / 'calls.db'}")).connect() as connection:
        return len(find_versions(connection)) == count


async def test_an_engine_that_is_killed_goes_on_with_its_versions(home):
    (home / "engine.yaml").write_text(
        "pipeline_sets: {main: ai-agent.yaml}\nlisteners: [{set: main, name: main, port: 0}]\n"
        f"control: c.sock\nname: east\nlast_known_good: kept\nrecords: {DATABASE}\n"
    )
    async with open_engine(home, file="engine.yaml") as engine:
        engine.edit('"Hello."', '"Good day."')
        assert (await engine.ask("POST", "/-/reload")).json()["version"] == 2
        rolled = (await engine.ask("POST", "/sets/main/rollback", json={"to": 1})).json()
        assert (rolled["version"], rolled["rolled_back_to"]) == (3, 1)
        await engine.comes_true(partial(recorded_versions, home, 3))
        engine.process.kill()
        await engine.ended()
    (home / "ai-agent.yaml").write_text((home / "ai-agent.yaml").read_text().replace("Good day.", "Good evening."))
    async with open_engine(home, file="engine.yaml") as engine:
        (shown,) = (await engine.ask("GET", "/sets")).json()["sets"]
        assert [(one["version"], one["state"], one["earlier_run"]) for one in shown["versions"]] == [
            (1, "retired", True),
            (2, "retired", True),
            (3, "retired", True),
            (4, "serving", False),
        ]
        detail = (await engine.ask("GET", "/sets/main/versions/2")).json()
        assert detail["config"]["pipelines"]["default"]["greeting"] == "Good day."
        assert (await engine.ask("POST", "/-/reload?set=main", headers={"If-Match": '"3"'})).status_code == 412
        rolled = (await engine.ask("POST", "/sets/main/rollback", headers={"If-Match": '"4"'}, json={"to": 2})).json()
        assert (rolled["version"], rolled["rolled_back_to"]) == (5, 2)
        kept = (await engine.ask("GET", f"/configurations/{shown['digest'][:12]}")).json()
        assert (kept["digest"], kept["set"]) == (shown["digest"], "main")
        assert kept["config"]["pipelines"]["default"]["greeting"] == "Good evening."
        assert str(home.resolve() / "ai-agent.yaml") in kept["files"]
        assert (await engine.ask("GET", "/configurations/0123456789")).status_code == 404
        engine.process.terminate()
        assert await engine.ended() == 0
    with reading_engine(read_place(f"sqlite:{home / 'calls.db'}")).connect() as connection:
        found = find_versions(connection)
        assert [(one.engine, one.version, one.rolled_back_to) for one in found] == [
            ("east", 5, 2),
            ("east", 4, None),
            ("east", 3, 1),
            ("east", 2, None),
            ("east", 1, None),
        ]
        assert all(later.served >= earlier.served for later, earlier in pairwise(found))
        greetings = [
            find_configuration(connection, one.digest).config["pipelines"]["default"]["greeting"] for one in found
        ]
        assert greetings == ["Good day.", "Good evening.", "Hello.", "Good day.", "Hello."]
