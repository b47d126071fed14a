"""R28: a new logging level applies at once, to that set; streaming, turns and limits apply to the next call.

Here: what the SDK gives its observer and its calls. That the engine's log follows is tested with the engine.
"""

from __future__ import annotations

from recording import RecordedSet, pipeline

from voicepipe import Applied


async def test_a_logging_change_is_a_version_that_says_the_level_at_once(tmp_path):
    recorded = RecordedSet(tmp_path)
    recorded.write(default=pipeline(), sections={"logging": {"level": "INFO"}})
    async with recorded.serve() as pipelines:
        with pipelines.pin() as up:
            recorded.write(default=pipeline(), sections={"logging": {"level": "DEBUG"}})
            outcome = await pipelines.reload()
            assert isinstance(outcome, Applied)
            assert (outcome.version, outcome.logging.level) == (2, "DEBUG")
            assert recorded.events == [outcome]
            assert pipelines.current.config.logging.level == "DEBUG"
            assert (outcome.plan.opened, outcome.plan.changed, outcome.plan.closed) == ((), (), ())
            assert up.version == 1


async def test_streaming_turns_and_limits_of_calls_that_are_up_stay(tmp_path):
    recorded = RecordedSet(tmp_path)

    def sections(number):
        return {
            "turns": {"end_of_turn_ms": 500 + number, "barge_in": {"min_speech_ms": 100 + number}},
            "streaming": {"lead_ms": 20 + number},
            "limits": {"max_call_minutes": 10 + number, "idle_prompt_s": 5 + number},
        }

    def seen(snapshot):
        settings = snapshot.active.settings
        turns, limits = settings.turns, settings.limits
        return (
            turns.end_of_turn_ms,
            turns.barge_in.min_speech_ms,
            settings.streaming.lead_ms,
            limits.max_call_minutes,
            limits.idle_prompt_s,
        )

    recorded.write(default=pipeline(), sections=sections(1))
    async with recorded.serve() as pipelines:
        with pipelines.pin() as up:
            outcome = await recorded.rewrite(pipelines, default=pipeline(), sections=sections(2))
            assert isinstance(outcome, Applied)
            assert outcome.plan.changed == ("default",)
            with pipelines.pin() as new:
                assert seen(up) == (501, 101, 21, 11, 6)
                assert seen(new) == (502, 102, 22, 12, 7)
            assert recorded.closed == []
            assert len(recorded.opened) == 3
