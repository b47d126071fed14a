"""What `reference-engine status` prints: which problem, what is degraded, and how a rollback went."""

from __future__ import annotations

import pytest
from recording import RecordedSet, pipeline, raising

from reference_engine.reports.json_bodies import outcome_body, set_body
from reference_engine.reports.printing import describe_reload, describe_sets
from voicepipe import Applied, Rejected
from voicepipe.errors import ComponentError

AWAY = ComponentError("HTTP 503", answered="try later", hint="is it up?")


@pytest.fixture
def recorded(tmp_path):
    return RecordedSet(tmp_path)


def status_of(pipelines) -> list[str]:
    """The lines below the table."""
    body = {"engine": None, "sets": [set_body(pipelines)], "removed": []}
    table, _, notes = describe_sets(body).partition("\n\n")
    assert table.splitlines()[0].split() == ["SET", "VERSION", "STATE", "CALLS", "ACTIVE", "PIPELINE", "SINCE"]
    return notes.splitlines()


async def test_all_well_is_a_table_alone(recorded):
    async with recorded.serve() as pipelines:
        assert status_of(pipelines) == []


async def test_which_problem_a_rejected_reload_had(recorded):
    async with recorded.serve() as pipelines:
        recorded.path.write_text("pipelines: {default: {stt: nobody, llm: 3, tts: {type: recorded, id: a}}}")
        assert isinstance(await pipelines.reload(), Rejected)
        first, *problems = status_of(pipelines)
        assert first.startswith("main: last reload rejected, 2 problems, ")
        assert [problem.strip().split(": ")[1] for problem in problems] == [
            "pipelines.default.stt",
            "pipelines.default.llm",
        ]
        assert all(problem.strip().startswith(f"{recorded.path}:1:") for problem in problems)
        assert "there is no component or stt adapter" in problems[0]


async def test_what_is_degraded_and_why(recorded):
    recorded.write(default=pipeline(tts=["a", "b"]))
    recorded.opening["tts a"] = raising(AWAY)
    async with recorded.serve() as pipelines:
        (line,) = status_of(pipelines)
        assert line.startswith("main: degraded: tts recorded has not opened yet, ")
        assert line.endswith("HTTP 503; answered: try later (is it up?)")
        outcome = await recorded.rewrite(pipelines, default=pipeline(llm="b", tts=["a", "b"]))
        answer = describe_reload(outcome_body(outcome))
        assert "tts recorded can't be opened" in answer
        assert "components opened: " not in answer, "it says that one could not be"
        assert "components opened, or tried again until they are: " in answer


@pytest.mark.parametrize("away", [False, True])
async def test_how_a_rollback_went(recorded, away):
    async with recorded.serve() as pipelines:
        assert isinstance(await recorded.rewrite(pipelines, default=pipeline(llm="b")), Applied)
        if away:
            recorded.opening["llm a"] = raising(AWAY)
        outcome = await pipelines.rollback()
        assert outcome.rolled_back_to == 1
        answer = describe_reload(outcome_body(outcome))
        first, *problems = status_of(pipelines)
        if away:
            assert isinstance(outcome, Rejected)
            assert first.startswith("main: last rollback, to 1, rejected, 1 problem, ")
            assert "llm recorded can't be opened: HTTP 503" in problems[0]
            assert answer.startswith("main: rollback to 1 rejected (1 problem), version 2 serves on")
        else:
            assert first.startswith("main: last reload applied (rolled back to 1), ")
            assert problems == []
            assert answer.startswith("main: version 3 serves as 1 did, ")
