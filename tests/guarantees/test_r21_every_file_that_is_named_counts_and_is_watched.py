"""R21: prompts, scripts, secrets and models are part of the digest and of a component's identity, and are watched."""

from __future__ import annotations

import pytest
from engine_process import open_engine
from recording import pipeline
from watched import WatchedSet

from voicepipe import Applied, Rejected, Unchanged


@pytest.fixture
def watched(tmp_path):
    """A set that names a prompt and a script in directories of their own, and a secret in another place."""
    config, secrets = tmp_path / "config", tmp_path / "run" / "secrets"
    for directory in (config / "prompts", config / "scripts", secrets):
        directory.mkdir(parents=True)
    watched = WatchedSet(config)
    watched.prompt, watched.script, watched.secret = config / "prompts/a.md", config / "scripts/a.txt", secrets / "key"
    watched.prompt.write_text("Be kind.")
    watched.script.write_text("one")
    watched.secret.write_text("sesame")
    llm = {"id": "a", "file": "scripts/a.txt", "text": f"${{file:{watched.secret}}}"}
    watched.write(default=pipeline(llm=llm, prompt={"file": "prompts/a.md"}))
    return watched


async def test_an_edited_prompt(watched):
    async with watched.watch() as pipelines:
        before = pipelines.current
        watched.prompt.write_text("Be brief.")
        applied = await watched.outcome_that_is(Applied)
        assert applied.digest != before.digest
        assert applied.plan.changed == ("default",)
        assert (applied.plan.opened, applied.plan.closed) == ((), ())
        assert pipelines.current.active.settings.prompt == "Be brief."
        assert pipelines.current.active.llm[0].component is before.active.llm[0].component


async def test_an_edited_script_is_another_component(watched):
    async with watched.watch() as pipelines:
        before = pipelines.current
        watched.script.write_text("two")
        applied = await watched.outcome_that_is(Applied)
        assert applied.digest != before.digest
        assert applied.plan.opened == applied.plan.closed == ("llm recorded (a)",)
        assert pipelines.current.active.llm[0].settings.options.file.content == b"two"
        assert pipelines.current.active.llm[0].component is not before.active.llm[0].component
        assert pipelines.current.active.stt[0].component is before.active.stt[0].component


async def test_a_secret_in_a_file(watched):
    async with watched.watch() as pipelines:
        before = pipelines.current
        watched.secret.write_text("open barley")
        applied = await watched.outcome_that_is(Applied)
        assert applied.digest == before.digest  # which covers the names of secrets, not their values
        assert applied.plan.opened == ("llm recorded (a)",)
        assert str(pipelines.current.active.llm[0].settings.options.text) == "open barley"


async def test_a_file_that_was_only_touched(watched):
    async with watched.watch() as pipelines:
        for path in (watched.path, watched.prompt, watched.script):
            path.touch()
        assert isinstance(await watched.outcome(), Unchanged)
        assert pipelines.current.version == 1
        assert sorted(watched.opened) == ["llm a", "stt a", "tts a"]


async def test_a_file_that_is_named_from_now_on(watched):
    async with watched.watch() as pipelines:
        later = watched.path.parent / "later" / "b.md"
        later.parent.mkdir()
        later.write_text("Be quick.")
        watched.write(default=pipeline(prompt={"file": "later/b.md"}))
        await watched.outcome_that_is(Applied)
        await watched.outcome_that_is(Unchanged)  # the new watch's
        later.write_text("Be quicker.")
        await watched.outcome_that_is(Applied)
        assert pipelines.current.active.settings.prompt == "Be quicker."
        await watched.settled()
        watched.script.write_text("nobody names it any more")
        await watched.nothing()


async def test_a_file_that_is_not_there_yet(watched):
    async with watched.watch() as pipelines:
        watched.write(default=pipeline(prompt={"file": "one/two/b.md"}))
        rejected = await watched.outcome_that_is(Rejected)
        assert "one/two/b.md" in rejected.problems[0].message
        later = watched.path.parent / "one" / "two" / "b.md"
        later.parent.mkdir(parents=True)
        await watched.settled()
        assert pipelines.current.version == 1
        later.write_text("Here I am.")
        await watched.outcome_that_is(Applied)
        assert pipelines.current.active.settings.prompt == "Here I am."


async def test_what_is_written_beside_them_does_not_matter(watched):
    async with watched.watch():
        (watched.path.parent / "engine.log").write_text("reload.unchanged")
        (watched.prompt.parent / ".a.md.swp").write_text("an editor's")
        await watched.nothing()


@pytest.mark.parametrize("name", ["a\0b.txt", "a" * 300, "${file:site}.txt"], ids=["NUL", "too long", "NUL in a file"])
async def test_a_path_that_can_t_be_one_is_rejected_and_the_watch_goes_on(watched, name):
    (watched.path.parent / "site").write_bytes(bytes(10))
    async with watched.watch() as pipelines:
        watched.write(default=pipeline(llm={"id": "a", "file": name}))
        rejected = await watched.outcome_that_is(Rejected)
        (problem,) = rejected.problems
        assert problem.path == "pipelines.default.llm.file"
        assert problem.where.line > 1
        assert "NUL" in problem.message or "too long" in problem.message
        await watched.settled()
        watched.write(default=pipeline(stt="b"))
        await watched.outcome_that_is(Applied)
        assert pipelines.current.version == 2


@pytest.mark.parametrize("also", ["by events", "without events"])
async def test_symlinks_that_lead_nowhere_do_not_end_the_watch_either(watched, also):
    if also == "without events":
        watched.without_events()
    (watched.path.parent / "loop").symlink_to("loop")
    async with watched.watch() as pipelines:
        watched.write(default=pipeline(llm={"id": "a", "file": "loop/a.txt"}))
        await watched.outcome_that_is(Rejected)
        (watched.path.parent / "loop").unlink()
        (watched.path.parent / "loop").mkdir()
        (watched.path.parent / "loop/a.txt").write_text("here")
        await watched.outcome_that_is(Applied)
        assert pipelines.current.active.llm[0].settings.options.file.content == b"here"


async def test_without_events_each_kind_of_file_is_seen(watched):
    watched.without_events()
    async with watched.watch() as pipelines:
        for file, content in ((watched.prompt, "Be brief."), (watched.script, "two"), (watched.secret, "open barley")):
            file.write_text(content)
            await watched.outcome_that_is(Applied)
        assert pipelines.current.version == 4


async def test_every_bad_version_of_the_file_of_variables_is_reported(home):
    """The second bad one too, though the first has left nothing to compare it with; and that it is gone."""
    env = home / "env"
    env.write_text("A=1\n")
    async with open_engine(home, "--env-file", "env", "--watch") as engine:
        await engine.logged("reload.unchanged", trigger="watch")
        for bad in ("A='1\n", "B='2\n", None, "A=1\nrubbish\n"):
            already = len(engine.records)
            if bad is None:
                env.unlink()
            else:
                (home / "new").write_text(bad)
                (home / "new").replace(env)
            await engine.logged("reload.rejected", after=already, set="main", trigger="watch")
