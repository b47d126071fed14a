"""R25: opt-in: a start with a bad file serves the last good one, and says so in log, metric and status."""

from __future__ import annotations

import json
import os
import stat
from datetime import UTC, datetime
from hashlib import sha256

import pytest
import trio
from patience import until
from recording import RecordedSet, pipeline, raising

from reference_engine.reports.json_bodies import set_body
from reference_engine.sets.kept_files import UnusableError, keep_version, last_sources
from reference_engine.sets.last_known_good import LastKnownGood
from reference_engine.sets.set_versions import VersionKeeping
from voicepipe import (
    Applied,
    ComponentError,
    ConfigError,
    ConfigFingerprint,
    KeptVersion,
    Plan,
    Rejected,
    Unchanged,
    load_config,
)

BAD = {
    "broken": "pipelines: [",
    "a typo": json.dumps({"pipelines": {"default": pipeline(typo=1)}}),
    "gone": None,
    "does not open": json.dumps({"pipelines": {"default": pipeline(stt="refused")}}),
}


@pytest.fixture
def recorded(tmp_path):
    recorded = RecordedSet(tmp_path)
    recorded.opening["stt refused"] = raising(ComponentError("refused"))
    return recorded


def spoil(recorded, text):
    if text is None:
        recorded.path.unlink()
    else:
        recorded.path.write_text(text)


async def good_sources(recorded):
    async with recorded.serve() as pipelines:
        return pipelines.current.config.sources


# --- The pipeline set --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("why", BAD)
async def test_a_start_with_a_bad_file_serves_the_last_good_one_and_says_so(recorded, why):
    sources = await good_sources(recorded)
    spoil(recorded, BAD[why])
    with pytest.raises(ConfigError) as caught:
        async with recorded.serve():
            pytest.fail("it serves")
    recorded.events.clear()
    async with recorded.serve(last_known_good=sources) as pipelines:
        refused = pipelines.last_attempt
        assert isinstance(refused, Rejected)
        assert refused.problems == caught.value.problems
        assert (refused.version, refused.trigger) == (1, "start")
        assert refused.reason == ("open" if why == "does not open" else "config")
        assert recorded.path in refused.files or why in {"broken", "gone"}
        assert recorded.events == [refused]
        (record,) = pipelines.history
        assert (record.version, record.trigger, record.state) == (1, "last known good", "serving")
        assert pipelines.last_known_good
        assert pipelines.current.active.stt[0].settings.options.id == "a"
        assert recorded.open == {"stt a": 1, "llm a": 1, "tts a": 1}
        assert set_body(pipelines, "serving")["last_attempt"]["outcome"] == "rejected"
        assert set_body(pipelines, "serving")["versions"][0]["trigger"] == "last known good"

        assert isinstance(await pipelines.reload(), Rejected)
        assert pipelines.current.version == 1
        outcome = await recorded.rewrite(pipelines, default=pipeline(stt="b"))
        assert isinstance(outcome, Applied)
        assert (outcome.version, outcome.plan.opened) == (2, ("stt recorded (b)",))
        assert not pipelines.last_known_good
        assert isinstance(await pipelines.rollback(1), Applied)


async def test_files_that_are_mended_to_what_serves_are_unchanged(recorded):
    sources = await good_sources(recorded)
    good = recorded.path.read_text()
    spoil(recorded, "pipelines: [")
    async with recorded.serve(last_known_good=sources) as pipelines:
        recorded.path.write_text(good)
        outcome = await pipelines.reload()
        assert isinstance(outcome, Unchanged)
        assert pipelines.last_attempt is outcome


async def test_a_good_file_is_served_whatever_was_served_last(recorded):
    sources = await good_sources(recorded)
    recorded.write(default=pipeline(stt="b"))
    async with recorded.serve(last_known_good=sources) as pipelines:
        assert pipelines.current.active.stt[0].settings.options.id == "b"
        assert pipelines.last_attempt is None
        assert not pipelines.last_known_good
        assert pipelines.history[0].trigger == "start"


@pytest.mark.parametrize("sources", [None, {}])
async def test_without_one_the_start_fails_as_ever(recorded, sources):
    recorded.path.write_text("pipelines: [")
    with pytest.raises(ConfigError):
        async with recorded.serve(last_known_good=sources):
            pytest.fail("it serves")


async def test_if_neither_can_be_served_the_start_fails_for_both_reasons(recorded):
    sources = await good_sources(recorded)
    spoil(recorded, BAD["a typo"])
    recorded.opening["stt a"] = raising(ComponentError("refused"))
    recorded.opening["tts a"] = raising(ComponentError("refused"))
    with pytest.raises(ConfigError) as caught:
        async with recorded.serve(last_known_good=sources):
            pytest.fail("it serves")
    messages = [problem.message for problem in caught.value.problems]
    assert len(messages) == 2
    assert messages[0].startswith("what was served last can't be served either: ")
    assert messages[0].endswith("stt recorded can't be opened: refused, and 1 more")
    assert caught.value.problems[1].path == "pipelines.default.typo"
    assert caught.value.files
    assert recorded.open == {}


async def test_prompts_and_scripts_are_as_they_were_and_secrets_as_they_are(recorded, tmp_path):
    prompt, script, secret = (tmp_path / name for name in ("prompt.md", "script.yaml", "key.txt"))
    prompt.write_text("Be brief.")
    script.write_text("hello: there")
    secret.write_text("old-secret")
    llm = {"id": "a", "file": "script.yaml", "text": "${file:key.txt}"}
    recorded.write(default=pipeline(llm=llm, stt={"id": "a", "text": "${WORD}"}, prompt={"file": "prompt.md"}))
    recorded.environ["WORD"] = "old-word"
    sources = await good_sources(recorded)
    assert set(sources) == {recorded.path, script, prompt}
    assert next(iter(sources)) == recorded.path
    assert b"old-secret" not in b"".join(sources.values())
    recorded.path.write_text("pipelines: [")
    prompt.write_text("Talk at length.")
    script.unlink()
    secret.write_text("new-secret")
    recorded.environ["WORD"] = "new-word"
    async with recorded.serve(last_known_good=sources) as pipelines:
        active = pipelines.current.active
        options = active.llm[0].settings.options
        assert active.settings.prompt == "Be brief."
        assert (options.file.content, str(options.text)) == (b"hello: there", "new-secret")
        assert str(active.stt[0].settings.options.text) == "new-word"
        assert set(pipelines.current.config.files) == {recorded.path, prompt, script, secret}
        assert pipelines.current.config.sources == sources


async def test_a_file_that_is_a_secret_in_one_place_is_kept_for_no_other(recorded, tmp_path):
    (tmp_path / "key.txt").write_text("a-secret")
    recorded.write(
        default=pipeline(llm={"id": "a", "file": "key.txt"}, stt={"id": "a", "text": "${file:key.txt}"}),
    )
    assert set(await good_sources(recorded)) == {recorded.path}


def test_contents_count_instead_of_the_disk_s(recorded, tmp_path):
    (tmp_path / "prompt.md").write_text("on the disk")
    recorded.write(default=pipeline(prompt={"file": "prompt.md"}))
    good = load_config(recorded.path, registry=recorded.registry, environ={})
    changed = {tmp_path / "prompt.md": b"as given"}
    config = load_config(recorded.path, registry=recorded.registry, environ={}, contents=changed)
    assert config.pipelines["default"].prompt == "as given"
    assert config.sources == good.sources | changed
    assert config.digest != good.digest
    (tmp_path / "prompt.md").unlink()
    recorded.path.unlink()
    again = load_config(recorded.path, registry=recorded.registry, environ={}, contents=good.sources)
    assert again == good
    empty = good.sources | {tmp_path / "prompt.md": b""}
    with pytest.raises(ConfigError, match="is empty"):
        load_config(recorded.path, registry=recorded.registry, environ={}, contents=empty)


# --- The store ---------------------------------------------------------------------------------------------------


class Log:
    """Notes what is logged."""

    def __init__(self):
        self.records = []

    def warning(self, event, **fields):
        self.records.append((event, fields))


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "state/kept"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ai-agent.yaml"


def keep_sources(directory, name, path, digest, sources, version=1):
    """Keeps a version as an engine does before it serves."""
    kept = KeptVersion(
        version=version,
        fingerprint=ConfigFingerprint(digest, "00$00"),
        path=path,
        active_pipeline="default",
        applied_at=datetime.now(UTC),
        trigger="test",
        plan=Plan(),
    )
    keep_version(directory, name, kept, sources)


async def none_recorded(_name):
    await trio.lowlevel.checkpoint()
    return 0


def test_what_is_kept_is_given_back_and_for_this_user_only(directory, path, tmp_path):
    odd = tmp_path / os.fsdecode(b"odd \xff name")
    sources = {path: b"pipelines: {}", tmp_path / "empty": b"", odd: b"\0\xff", tmp_path / "same": b"pipelines: {}"}
    mask = os.umask(0)
    try:
        keep_sources(directory, "main", path, "0" * 64, sources)
    finally:
        os.umask(mask)
    assert last_sources(directory, "main", path) == sources
    assert stat.S_IMODE(directory.stat().st_mode) == stat.S_IMODE((directory / "main").stat().st_mode) == 0o700
    assert {stat.S_IMODE(entry.stat().st_mode) for entry in (directory / "main").iterdir()} == {0o600}
    manifest = json.loads((directory / "main/manifest.json").read_text())
    assert (manifest["format"], manifest["set"], manifest["versions"][0]["digest"]) == (2, "main", "0" * 64)


def test_a_manifest_of_the_first_format_is_read(directory, path):
    content = b"pipelines: {}"
    (directory / "main").mkdir(parents=True)
    (directory / "main" / sha256(content).hexdigest()).write_bytes(content)
    manifest = {
        "format": 1,
        "set": "main",
        "file": str(path),
        "digest": "0" * 64,
        "kept_at": "2026-11-30T01:02:03+00:00",
    }
    manifest["sources"] = {str(path): sha256(content).hexdigest()}
    (directory / "main/manifest.json").write_text(json.dumps(manifest))
    assert last_sources(directory, "main", path) == {path: content}
    keep_sources(directory, "main", path, "1" * 64, {path: b"two"}, version=2)
    assert last_sources(directory, "main", path) == {path: b"two"}


def test_the_next_version_takes_its_place(directory, path):
    keep_sources(directory, "main", path, "1", {path: b"one", path.with_name("prompt"): b"prompt"})
    keep_sources(directory, "acme", path, "1", {path: b"other"})
    keep_sources(directory, "main", path, "2", {path: b"two"})
    assert last_sources(directory, "main", path) == {path: b"two"}
    assert last_sources(directory, "acme", path) == {path: b"other"}
    assert len(list((directory / "main").iterdir())) == 2


def test_of_a_set_that_was_never_kept_there_is_nothing(directory, path):
    assert last_sources(directory, "main", path) is None
    keep_sources(directory, "acme", path, "1", {path: b"other"})
    assert last_sources(directory, "main", path) is None


@pytest.mark.parametrize("at", ["blob", "manifest"])
def test_a_crash_while_it_is_written_leaves_the_old_one(directory, path, at, monkeypatch):
    keep_sources(directory, "main", path, "1", {path: b"one"})
    replace = os.replace

    def crash(source, target):
        if (target.name == "manifest.json") == (at == "manifest"):
            raise OSError(28, "No space left on device")
        replace(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", crash)
        with pytest.raises(OSError, match="No space left"):
            keep_sources(directory, "main", path, "2", {path: b"two"})
    assert last_sources(directory, "main", path) == {path: b"one"}
    keep_sources(directory, "main", path, "3", {path: b"three"})
    assert len(list((directory / "main").iterdir())) == 2


def manifest_with(**changes):
    def damage(home):
        file = home / "manifest.json"
        manifest = json.loads(file.read_text())
        if "format" in changes:
            manifest |= changes
        else:
            manifest["versions"][0] |= changes
        file.write_text(json.dumps(manifest))

    return damage


def blobs(home):
    return [entry for entry in home.iterdir() if entry.name != "manifest.json"]


DAMAGE = {
    "a file is changed": (lambda home: blobs(home)[0].write_bytes(b"x"), "is damaged"),
    "a file is cut": (lambda home: blobs(home)[0].write_bytes(b""), "is damaged"),
    "a file is gone": (lambda home: blobs(home)[0].unlink(), "is missing"),
    "the manifest is cut": (lambda home: (home / "manifest.json").write_bytes(b'{"format": 1'), "manifest is damaged"),
    "the manifest is rubbish": (lambda home: (home / "manifest.json").write_bytes(b"\xff\0"), "manifest is damaged"),
    "the manifest is a list": (lambda home: (home / "manifest.json").write_bytes(b"[]"), "manifest is damaged"),
    "the manifest is of later": (manifest_with(format=3), "its format is 3, not 2"),
    "of another file": (
        manifest_with(file="/etc/other.yaml", sources={"/etc/other.yaml": "0" * 64}),
        "it is of /etc/other.yaml",
    ),
    "no sources": (manifest_with(sources=[]), "manifest is damaged"),
    "no YAML": (manifest_with(sources={}), "the YAML file is missing"),
    "a way out": (manifest_with(sources={"/x": "../../ai-agent.yaml"}), "manifest is damaged"),
    "no digest": (manifest_with(sources={"/x": 5}), "manifest is damaged"),
}


@pytest.mark.parametrize("how", DAMAGE)
async def test_what_is_damaged_is_ignored_with_a_warning(directory, path, how):
    keep_sources(directory, "main", path, "1", {path: b"one"})
    damage, reason = DAMAGE[how]
    damage(directory / "main")
    with pytest.raises(UnusableError, match=reason):
        last_sources(directory, "main", path)
    log = Log()
    assert await VersionKeeping(lambda: directory, none_recorded, log).last_sources("main", path) is None
    ((event, fields),) = log.records
    assert (event, fields["set"], fields["directory"]) == ("last_known_good.unusable", "main", str(directory))
    assert reason in fields["reason"]
    keep_sources(directory, "main", path, "2", {path: b"two"})
    assert last_sources(directory, "main", path) == {path: b"two"}


# --- Both together -----------------------------------------------------------------------------------------------


class Engine:
    """As much of an engine as it takes: a set, its store, and the task that keeps it."""

    def __init__(self, recorded, directory):
        self.recorded, self.directory, self.log = recorded, directory, Log()

    async def run(self, body):
        serving = {}
        versions = VersionKeeping(lambda: self.directory, none_recorded, self.log)
        kept = LastKnownGood(versions, serving, self.log)
        sources = await kept.sources("main", self.recorded.path)
        async with (
            trio.open_nursery() as nursery,
            self.recorded.serve(last_known_good=sources, history=versions.of("main")) as pipelines,
        ):
            serving["main"] = pipelines
            kept.started(pipelines)
            nursery.start_soon(kept.keep)
            await body(pipelines, kept)
            nursery.cancel_scope.cancel()


@pytest.fixture
def engine(recorded, directory):
    return Engine(recorded, directory)


def kept_digest(engine):
    try:
        return json.loads((engine.directory / "main/manifest.json").read_text())["versions"][-1]["digest"]
    except FileNotFoundError:
        return None


async def is_kept(engine, pipelines):
    await until(lambda: kept_digest(engine) == pipelines.current.digest)


async def test_what_serves_is_kept_as_it_changes_and_served_after_a_restart(recorded, engine):
    async def first(pipelines, _kept):
        await is_kept(engine, pipelines)
        await recorded.rewrite(pipelines, default=pipeline(stt="b"))
        await is_kept(engine, pipelines)
        recorded.path.write_text("pipelines: [")
        assert isinstance(await pipelines.reload(), Rejected)

    async def second(pipelines, _kept):
        assert pipelines.last_known_good
        assert pipelines.current.active.stt[0].settings.options.id == "b"
        event, fields = engine.log.records[0]
        assert (event, fields["set"], fields["version"]) == ("last_known_good.serves", "main", 2)
        assert fields["digest"] == pipelines.current.digest
        before = (engine.directory / "main/manifest.json").read_bytes()
        await recorded.rewrite(pipelines, default=pipeline(stt="c"))
        await is_kept(engine, pipelines)
        assert (engine.directory / "main/manifest.json").read_bytes() != before
        await pipelines.rollback(1)
        await is_kept(engine, pipelines)

    await engine.run(first)
    assert engine.log.records == []
    await engine.run(second)
    assert len(engine.log.records) == 1


async def test_it_is_opt_in(recorded, engine, directory):
    engine.directory = None

    async def body(pipelines, kept):
        await recorded.rewrite(pipelines, default=pipeline(stt="b"))
        assert not directory.exists()
        engine.directory = directory  # it applies at once
        kept.keep_all()
        await is_kept(engine, pipelines)

    await engine.run(body)
    engine.directory = None
    recorded.path.write_text("pipelines: [")
    with pytest.raises(ExceptionGroup) as caught:
        await engine.run(body)
    assert caught.group_contains(ConfigError)


async def test_what_can_not_be_kept_is_logged_and_disturbs_nobody(recorded, engine, tmp_path):
    engine.directory = tmp_path / "file/below"
    (tmp_path / "file").write_text("no directory")

    async def body(pipelines, _kept):
        await until(lambda: len(engine.log.records) == 2)
        assert engine.log.records[0][0] == "last_known_good.unusable"
        event, fields = engine.log.records[1]
        assert (event, fields["set"], fields["reason"]) == ("last_known_good.not_kept", "main", "Not a directory")
        assert isinstance(await recorded.rewrite(pipelines, default=pipeline(stt="b")), Applied)

    await engine.run(body)
