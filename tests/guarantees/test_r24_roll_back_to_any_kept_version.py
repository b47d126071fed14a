"""R24: roll back to any of the last K versions: a new version, from kept sources; it holds until the files change."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from patience import until
from recording import RecordedSet, pipeline, raising

from voicepipe import Applied, ComponentError, Rejected, Retired, Unchanged, UnknownVersion
from voicepipe.pipelines.versions import KEPT


@pytest.fixture
def recorded(tmp_path):
    return RecordedSet(tmp_path)


def stt_of(pipelines):
    return pipelines.current.active.stt[0].settings.options.id


async def test_any_kept_version_is_served_as_a_new_one(recorded):
    async with recorded.serve() as pipelines:
        first = pipelines.current
        for number in range(2, KEPT + 1):
            await recorded.rewrite(pipelines, default=pipeline(stt=f"b{number}"))
        outcome = await pipelines.rollback(1, trigger="cli")
        assert isinstance(outcome, Applied)
        assert (outcome.version, outcome.rolled_back_to, outcome.trigger) == (KEPT + 1, 1, "cli")
        assert (outcome.digest, stt_of(pipelines)) == (first.digest, "a")
        assert (outcome.plan.opened, outcome.plan.closed) == (("stt recorded (a)",), (f"stt recorded (b{KEPT})",))
        assert pipelines.last_attempt is outcome
        assert pipelines.history[-1].trigger == "cli"
        assert [record.state for record in pipelines.history][-1] == "serving"
        assert recorded.events[-2:] == [outcome, Retired(set="main", version=KEPT)]
        assert (await pipelines.rollback(3)).rolled_back_to == 3
        assert stt_of(pipelines) == "b3"


async def test_the_one_before_is_the_default(recorded):
    async with recorded.serve() as pipelines:
        await recorded.rewrite(pipelines, default=pipeline(stt="b"))
        assert (await pipelines.rollback()).rolled_back_to == 1
        assert (await pipelines.rollback()).rolled_back_to == 2
        assert stt_of(pipelines) == "b"


async def test_files_that_are_gone_or_broken_do_not_matter(recorded, tmp_path):
    script = tmp_path / "script.yaml"
    script.write_text("hello: there")
    recorded.write(default=pipeline(llm={"id": "a", "file": "script.yaml"}))
    async with recorded.serve() as pipelines:
        await recorded.rewrite(pipelines, default=pipeline(stt="b"))
        script.unlink()
        recorded.path.write_text("pipelines: [")
        assert isinstance(await pipelines.reload(), Rejected)
        outcome = await pipelines.rollback(1)
        assert isinstance(outcome, Applied)
        assert pipelines.current.active.llm[0].settings.options.file.content == b"hello: there"
        assert isinstance(await pipelines.reload(), Rejected)
        recorded.path.unlink()
        assert isinstance(await pipelines.reload(), Rejected)
        assert (pipelines.current.version, stt_of(pipelines)) == (3, "a")
        assert isinstance(await pipelines.rollback(2), Applied)
        assert stt_of(pipelines) == "b"


async def test_it_holds_until_the_files_change(recorded):
    async with recorded.serve() as pipelines:
        await recorded.rewrite(pipelines, default=pipeline(stt="b"))
        await pipelines.rollback(1)
        for _ in range(2):
            outcome = await pipelines.reload()
            assert isinstance(outcome, Unchanged)
            assert (outcome.version, outcome.digest, outcome.rolled_back_to) == (3, pipelines.current.digest, 1)
        recorded.path.write_text("# a comment\n" + recorded.path.read_text())
        assert (await pipelines.reload()).rolled_back_to == 1

        outcome = await recorded.rewrite(pipelines, default=pipeline(stt="c"))
        assert isinstance(outcome, Applied)
        assert (outcome.version, outcome.rolled_back_to, stt_of(pipelines)) == (4, None, "c")
        assert (await pipelines.reload()).rolled_back_to is None


async def test_what_was_rolled_back_from_is_served_again_after_another_change(recorded):
    async with recorded.serve() as pipelines:
        await recorded.rewrite(pipelines, default=pipeline(stt="b"))
        await pipelines.rollback(1)
        await recorded.rewrite(pipelines, default=pipeline(stt="c"))
        outcome = await recorded.rewrite(pipelines, default=pipeline(stt="b"))
        assert isinstance(outcome, Applied)
        assert stt_of(pipelines) == "b"


async def test_files_edited_to_what_is_served_end_it(recorded):
    async with recorded.serve() as pipelines:
        await recorded.rewrite(pipelines, default=pipeline(stt="b"))
        await pipelines.rollback(1)
        outcome = await recorded.rewrite(pipelines, default=pipeline())
        assert isinstance(outcome, Unchanged)
        assert (outcome.version, outcome.rolled_back_to) == (3, None)
        outcome = await recorded.rewrite(pipelines, default=pipeline(stt="b"))
        assert isinstance(outcome, Applied)
        assert (outcome.version, stt_of(pipelines)) == (4, "b")


async def test_force_leaves_it(recorded):
    async with recorded.serve() as pipelines:
        await recorded.rewrite(pipelines, default=pipeline(stt="b"))
        await pipelines.rollback(1)
        outcome = await pipelines.reload(force=True)
        assert isinstance(outcome, Applied)
        assert (outcome.version, outcome.rolled_back_to, stt_of(pipelines)) == (4, None, "b")
        assert (await pipelines.reload(force=True)).rolled_back_to is None
        assert pipelines.current.version == 4


@pytest.mark.parametrize("why", ["broken", "does not open", "forced, does not open"])
async def test_a_reload_that_is_rejected_does_not_end_it(recorded, why):
    """Or the next one, such as a watcher's, would serve what somebody has just gone back from."""
    async with recorded.serve() as pipelines:
        await recorded.rewrite(pipelines, default=pipeline(stt="b"))
        await pipelines.rollback(1)
        recorded.opening["stt b"] = recorded.opening["stt c"] = raising(ComponentError("refused"))
        if why == "forced, does not open":
            outcome = await pipelines.reload(force=True)
        else:
            outcome = await recorded.rewrite(
                pipelines, default=pipeline(stt="c", **{"typo": 1} if why == "broken" else {})
            )
        assert isinstance(outcome, Rejected)
        recorded.opening.clear()
        outcome = await recorded.rewrite(pipelines, default=pipeline(stt="b"))
        assert isinstance(outcome, Unchanged)
        assert (outcome.version, outcome.rolled_back_to, stt_of(pipelines)) == (3, 1, "a")


async def test_one_that_does_not_open_changes_nothing(recorded):
    async with recorded.serve() as pipelines:
        await recorded.rewrite(pipelines, default=pipeline(stt="b"))
        recorded.opening["stt a"] = raising(ComponentError("refused"))
        outcome = await pipelines.rollback(1)
        assert isinstance(outcome, Rejected)
        assert (outcome.reason, outcome.version, stt_of(pipelines)) == ("open", 2, "b")
        outcome = await pipelines.reload()
        assert isinstance(outcome, Unchanged)
        assert outcome.rolled_back_to is None


async def test_what_serves_already_is_unchanged(recorded):
    async with recorded.serve() as pipelines:
        outcome = await pipelines.rollback(1)
        assert isinstance(outcome, Unchanged)
        assert (outcome.version, outcome.rolled_back_to) == (1, None)
        assert isinstance(await recorded.rewrite(pipelines, default=pipeline(stt="b")), Applied)


async def test_secrets_are_those_of_that_version(recorded):
    recorded.environ["WORD"] = "one"
    recorded.write(default=pipeline(stt={"id": "a", "text": "${WORD}"}))
    async with recorded.serve() as pipelines:
        recorded.environ["WORD"] = "two"
        assert isinstance(await pipelines.reload(), Applied)
        assert isinstance(await pipelines.rollback(1), Applied)
        assert str(pipelines.current.active.stt[0].settings.options.text) == "one"
        outcome = await pipelines.reload()
        assert isinstance(outcome, Unchanged)
        assert outcome.rolled_back_to == 1
        recorded.environ["WORD"] = "three"  # as good as a change of the files
        assert isinstance(await pipelines.reload(), Applied)
        assert str(pipelines.current.active.stt[0].settings.options.text) == "three"


async def test_calls_keep_their_version(recorded):
    async with recorded.serve() as pipelines:
        await recorded.rewrite(pipelines, default=pipeline(stt="b"))
        with pipelines.pin() as snapshot:
            await pipelines.rollback(1)
            assert (snapshot.version, pipelines.live_versions) == (2, 2)
            assert recorded.open == {"stt a": 1, "stt b": 1, "llm a": 1, "tts a": 1}
        assert pipelines.live_versions == 1


@pytest.mark.parametrize(("to", "forgotten"), [(0, ""), (-1, ""), (3, ""), (1, " any more")])
async def test_a_version_that_is_not_there_is_refused(recorded, to, forgotten):
    async with recorded.serve() as pipelines:
        await recorded.rewrite(pipelines, default=pipeline(stt="b"))
        kept = "1, 2"
        if forgotten:
            for number in range(KEPT - 1):
                await recorded.rewrite(pipelines, default=pipeline(prompt=str(number)))
            kept = ", ".join(map(str, range(2, KEPT + 2)))
        before = pipelines.last_attempt
        with pytest.raises(UnknownVersion, match=f"has no version {to}{forgotten}; kept: {kept}"):
            await pipelines.rollback(to)
        assert pipelines.last_attempt is before


async def test_the_first_version_has_none_before(recorded):
    async with recorded.serve() as pipelines:
        with pytest.raises(UnknownVersion):
            await pipelines.rollback()


async def test_one_that_is_forgotten_while_it_waits_is_served_all_the_same(recorded):
    opening, go_on = trio.Event(), trio.Event()

    async def step():
        opening.set()
        await go_on.wait()

    async with recorded.serve() as pipelines:
        for number in range(KEPT - 1):
            await recorded.rewrite(pipelines, default=pipeline(prompt=str(number)))
        recorded.opening["stt b"] = step
        recorded.write(default=pipeline(stt="b"))
        outcomes = []

        async def rollback():
            outcomes.append(await pipelines.rollback(1))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(pipelines.reload)
            await opening.wait()
            nursery.start_soon(rollback)
            await trio.testing.wait_all_tasks_blocked()
            go_on.set()
        (outcome,) = outcomes
        assert (type(outcome), outcome.rolled_back_to, stt_of(pipelines)) == (Applied, 1, "a")


async def test_a_reload_that_is_asked_for_after_a_rollback_comes_after_it(recorded):
    """Even if another one waits before it."""
    opening, go_on = trio.Event(), trio.Event()

    async def step():
        opening.set()
        await go_on.wait()

    async with recorded.serve() as pipelines, trio.open_nursery() as nursery:
        recorded.opening["stt b"] = step
        recorded.write(default=pipeline(stt="b"))
        nursery.start_soon(pipelines.reload)
        await opening.wait()
        nursery.start_soon(pipelines.reload)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(pipelines.rollback, 1)
        await trio.testing.wait_all_tasks_blocked()
        answers = []

        async def forced():
            answers.append(await pipelines.reload(force=True))

        nursery.start_soon(forced)
        await trio.testing.wait_all_tasks_blocked()
        go_on.set()
        await until(lambda: answers)
        told = [event for event in recorded.events if not isinstance(event, Retired)]
        assert [type(event) for event in told] == [Applied, Unchanged, Applied, Applied]
        assert [event.version for event in told] == [2, 2, 3, 4]
        assert stt_of(pipelines) == "b"
