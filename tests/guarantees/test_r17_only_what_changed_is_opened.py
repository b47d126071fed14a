"""R17: only what changed is opened; a component whose resolved options are the same is the same object."""

from __future__ import annotations

from recording import RecordedSet, pipeline


def components(snapshot):
    active = snapshot.active
    return {role: [one.component for one in getattr(active, role)] for role in ("stt", "llm", "tts")}


async def test_what_stays_is_the_same_object(tmp_path):
    recorded = RecordedSet(tmp_path)
    async with recorded.serve() as pipelines:
        first = components(pipelines.current)
        await recorded.rewrite(pipelines, default=pipeline(prompt="Be brief."))
        assert components(pipelines.current) == first
        await recorded.rewrite(pipelines, default=pipeline(llm="b", prompt="Be brief."))
        second = components(pipelines.current)
        assert second["stt"][0] is first["stt"][0]
        assert second["tts"][0] is first["tts"][0]
        assert second["llm"][0] is not first["llm"][0]
    assert sorted(recorded.opened) == ["llm a", "llm b", "stt a", "tts a"]


async def test_by_whatever_way_its_options_are_come_to(tmp_path):
    recorded = RecordedSet(tmp_path)
    recorded.environ["ID"] = "a"
    async with recorded.serve() as pipelines:
        first = components(pipelines.current)
        named = {"house": {"type": "recorded", "id": "a"}}
        recorded.write(
            "sales",
            sales=pipeline(llm={"id": "${ID}"}) | {"stt": "house", "tts": "recorded", "options": {"tts": {"id": "a"}}},
            sections={"components": named},
        )
        outcome = await pipelines.reload()
        assert outcome.plan.opened == ()
        assert components(pipelines.current) == first
    assert sorted(recorded.opened) == ["llm a", "stt a", "tts a"]


async def test_a_file_that_changed_is_a_changed_component(tmp_path):
    recorded = RecordedSet(tmp_path)
    script = tmp_path / "script.yaml"
    script.write_text("one")
    recorded.write(default=pipeline(llm={"id": "a", "file": "script.yaml"}))
    async with recorded.serve() as pipelines:
        first = components(pipelines.current)
        script.write_text("two")
        outcome = await pipelines.reload()
        assert outcome.plan.opened == ("llm recorded (a)",)
        second = components(pipelines.current)
        assert second["llm"][0] is not first["llm"][0]
        assert second["stt"][0] is first["stt"][0]
        assert pipelines.current.active.llm[0].settings.options.file.content == b"two"
