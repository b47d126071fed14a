"""Reloads: what makes a new version, what is rejected, and what stays open.

The clock is real where a file is read: reading is in a thread.
"""

from __future__ import annotations

import pytest
from recording import RecordedSet, pipeline, raising

from voicepipe.errors import ComponentError
from voicepipe.pipelines.outcome import Applied, Rejected, Retired, Unchanged


@pytest.fixture
def recorded(tmp_path):
    return RecordedSet(tmp_path)


def ids(snapshot):
    """The components of the active pipeline."""
    active = snapshot.active
    return [opened.settings.options.id for opened in (*active.stt, *active.llm, *active.tts)]


# --- Reloading -----------------------------------------------------------------------------------------------------


async def test_a_change_is_applied(recorded):
    async with recorded.serve() as pipelines:
        first = pipelines.current
        recorded.write("sales", default=pipeline(), sales=pipeline(tts="b"))
        outcome = await pipelines.reload(trigger="signal")
        assert isinstance(outcome, Applied)
        assert (outcome.set, outcome.version, outcome.trigger) == ("main", 2, "signal")
        assert (outcome.digest, outcome.logging) == (pipelines.current.digest, pipelines.current.config.logging)
        assert outcome.plan.opened == ("tts recorded (b)",)
        assert (outcome.plan.active, outcome.plan.was_active) == ("sales", "default")
        assert outcome.seconds > 0
        assert outcome.at.utcoffset().total_seconds() == 0
        assert pipelines.last_attempt is outcome
        assert (first.version, first.active.name) == (1, "default")
        assert (pipelines.current.version, pipelines.current.active.name) == (2, "sales")
        assert pipelines.history[-1].plan == outcome.plan
        assert [record.state for record in pipelines.history] == ["retired", "serving"]
        assert recorded.events == [outcome, Retired(set="main", version=1)]


async def test_a_set_may_be_given_another_file_and_another_limit(recorded):
    async with recorded.serve(max_live_versions=2) as pipelines:
        other = recorded.path.with_name("other.yaml")
        other.write_text("pipelines: [")
        pipelines.path = other
        outcome = await pipelines.reload()
        assert isinstance(outcome, Rejected)
        assert {problem.where.file for problem in outcome.problems} == {other}
        pipelines.path = recorded.path
        with pipelines.pin():
            assert isinstance(await recorded.rewrite(pipelines, default=pipeline(tts="b")), Applied)
            with pipelines.pin():
                assert isinstance(await recorded.rewrite(pipelines, default=pipeline(tts="c")), Rejected)
                pipelines.max_live_versions = 3
                assert isinstance(await pipelines.reload(), Applied)
    assert (pipelines.path, pipelines.max_live_versions) == (recorded.path, 3)


async def test_a_comment_changes_nothing(recorded):
    async with recorded.serve() as pipelines:
        first = pipelines.current
        recorded.path.write_text("# a comment\n" + recorded.path.read_text())
        outcome = await pipelines.reload()
        assert isinstance(outcome, Unchanged)
        assert (outcome.version, outcome.digest) == (1, first.digest)
        assert pipelines.current is first
        assert pipelines.last_attempt is outcome
        assert len(pipelines.history) == 1
    assert len(recorded.attempts) == 3


async def test_a_rejected_file_changes_nothing(recorded):
    async with recorded.serve() as pipelines:
        first = pipelines.current
        recorded.write(default=pipeline(stt="b", typo=1))
        outcome = await pipelines.reload()
        assert isinstance(outcome, Rejected)
        assert (outcome.version, outcome.digest) == (1, None)
        assert [problem.path for problem in outcome.problems] == ["pipelines.default.typo"]
        assert pipelines.current is first
        assert len(recorded.attempts) == 3

        recorded.opening["stt b"] = raising(ComponentError("refused"))
        outcome = await recorded.rewrite(pipelines, default=pipeline(stt="b", tts="b"))
        assert isinstance(outcome, Rejected)
        assert outcome.digest
        assert pipelines.current is first
        assert recorded.open == {"stt a": 1, "llm a": 1, "tts a": 1}

        del recorded.opening["stt b"]
        assert isinstance(await pipelines.reload(), Applied)
        assert pipelines.current.version == 2


async def test_components_that_stay_are_the_same_object_opened_once(recorded):
    async with recorded.serve() as pipelines:
        first = pipelines.current.active
        outcome = await recorded.rewrite(pipelines, default=pipeline(tts="b", prompt="Be brief."))
        second = pipelines.current.active
        assert second.stt[0].component is first.stt[0].component
        assert second.llm[0].component is first.llm[0].component
        assert second.tts[0].component is not first.tts[0].component
        assert outcome.plan.kept == ("stt recorded (a)", "llm recorded (a)")
    assert sorted(recorded.opened) == ["llm a", "stt a", "tts a", "tts b"]


async def test_pipelines_share_equal_components_and_two_names_of_one_share_it_too(recorded):
    components = {"mine": {"type": "recorded", "id": "x"}, "yours": {"type": "recorded", "id": "x"}}
    recorded.write(
        default=pipeline() | {"stt": "mine"},
        sales=pipeline(selectable=True) | {"stt": "yours"},
        sections={"components": components},
    )
    async with recorded.serve() as pipelines:
        default, sales = pipelines.current.pipelines.values()
        assert default.stt[0].component is sales.stt[0].component
        assert [one.stt[0].label.name for one in (default, sales)] == ["mine", "yours"]
    assert sorted(recorded.opened) == ["llm a", "stt x", "tts a"]


async def test_the_observer_hears_of_every_outcome(recorded):
    async with recorded.serve() as pipelines:
        outcomes = [await pipelines.reload(), await recorded.rewrite(pipelines, default=pipeline(stt="b"))]
        recorded.path.unlink()
        outcomes.append(await pipelines.reload())
        assert [type(outcome) for outcome in outcomes] == [Unchanged, Applied, Rejected]
        assert [event for event in recorded.events if not isinstance(event, Retired)] == outcomes


# --- What else makes a new version ---------------------------------------------------------------------------------


SECRETS = {
    "a component's option": pipeline(stt={"id": "a", "text": "${WORD}"}),
    "a greeting": pipeline(greeting="Welcome to ${WORD}."),
    "a prompt": pipeline(prompt="${WORD}"),
    "an apology": pipeline(on_failure={"say": "${WORD}"}),
}


@pytest.mark.parametrize("content", SECRETS.values(), ids=SECRETS)
async def test_a_secret_that_changed_is_a_new_version_of_the_same_digest(recorded, content):
    recorded.environ["WORD"] = "one"
    recorded.write(default=content)
    async with recorded.serve() as pipelines:
        first = pipelines.current
        assert isinstance(await pipelines.reload(), Unchanged)
        recorded.environ["WORD"] = "two"
        outcome = await pipelines.reload()
        assert isinstance(outcome, Applied)
        assert outcome.plan.changed == ("default",)
        assert outcome.digest == first.digest
        assert first.config.pipelines != pipelines.current.config.pipelines
        assert isinstance(await pipelines.reload(), Unchanged)


@pytest.mark.parametrize(
    ("sections", "before", "after"),
    [({"logging": {"level": "${LEVEL}"}}, "INFO", "DEBUG"), ({"active_pipeline": "${LEVEL}"}, "default", "sales")],
)
async def test_a_setting_from_the_environment_that_changed_is_a_new_version(recorded, sections, before, after):
    recorded.environ["LEVEL"] = before
    recorded.write(default=pipeline(selectable=True), sales=pipeline(selectable=True), sections=sections)
    async with recorded.serve() as pipelines:
        recorded.environ["LEVEL"] = after
        outcome = await pipelines.reload()
        assert isinstance(outcome, Applied)
        assert after in {outcome.logging.level, outcome.plan.active}


async def test_a_secret_of_a_pipeline_that_nobody_gets_changes_nothing(recorded):
    recorded.environ["WORD"] = "one"
    recorded.write(default=pipeline(), never=pipeline(stt={"id": "b", "text": "${WORD}"}))
    async with recorded.serve() as pipelines:
        recorded.environ["WORD"] = "two"
        assert isinstance(await pipelines.reload(), Unchanged)


# --- Whatever is raised --------------------------------------------------------------------------------------------


class Abandoned(BaseException):
    """A vendor's own cancellation, such as asyncio's."""


RAISED = {
    "error": lambda: ValueError("no"),
    "group": lambda: ExceptionGroup("several", [OSError("reset")]),
    "exit": lambda: SystemExit(3),
    "exit in a group": lambda: BaseExceptionGroup("several", [SystemExit(3)]),
    "base": lambda: Abandoned("no"),
}


@pytest.mark.parametrize("place", ["open", "check", "model"])
@pytest.mark.parametrize("make", RAISED.values(), ids=RAISED)
async def test_whatever_an_adapter_raises_rejects_the_file(recorded, place, make):
    def fail(_options):
        raise make()

    async with recorded.serve() as pipelines:
        before = pipelines.current
        if place == "open":
            recorded.opening["stt b"] = raising(make())
        else:
            setattr(recorded, place, fail)
        outcome = await recorded.rewrite(pipelines, default=pipeline(stt="b"))
        assert isinstance(outcome, Rejected)
        assert outcome.problems
        assert pipelines.current is before
        assert recorded.open == {"stt a": 1, "llm a": 1, "tts a": 1}
        recorded.opening.clear()
        recorded.check, recorded.model = (lambda _options: ()), (lambda _options: None)
        assert isinstance(await pipelines.reload(), Applied)


# --- Failover lists ------------------------------------------------------------------------------------------------


async def test_a_list_that_opens_in_part_is_applied_and_degraded(recorded):
    recorded.opening["stt x"] = raising(ComponentError("refused"))
    async with recorded.serve() as pipelines:
        outcome = await recorded.rewrite(pipelines, default=pipeline(stt=["x", "b"], llm=["a", "b"]))
        assert isinstance(outcome, Applied)
        (problem,) = outcome.plan.degraded
        assert problem.message == "stt recorded can't be opened: refused"
        assert problem.path == "pipelines.default.stt[0]"
        assert ids(pipelines.current) == ["b", "a", "b", "a"]
        assert recorded.open == {"stt b": 1, "llm a": 1, "llm b": 1, "tts a": 1}

        del recorded.opening["stt x"]
        outcome = await recorded.rewrite(pipelines, default=pipeline(stt=["x", "b"], llm="a"))
        assert outcome.plan.opened == ("stt recorded (x)",)
        assert outcome.plan.degraded == ()
        assert ids(pipelines.current) == ["x", "b", "a", "a"]


async def test_a_list_of_which_nothing_opens_is_rejected_with_all_reasons(recorded):
    for component_id in "xy":
        recorded.opening[f"stt {component_id}"] = raising(ComponentError(f"{component_id} refused"))
    async with recorded.serve() as pipelines:
        outcome = await recorded.rewrite(pipelines, default=pipeline(stt=["x", "y"]))
        assert isinstance(outcome, Rejected)
        assert [problem.path for problem in outcome.problems] == [
            "pipelines.default.stt[0]",
            "pipelines.default.stt[1]",
        ]
