"""What a reload changes, as a value."""

from __future__ import annotations

from pathlib import Path

import attrs
from recording import RecordingAdapters

from voicepipe.components.values import Secret
from voicepipe.config.call_settings import OnFailure
from voicepipe.config.settings import LoggingSettings, PipelineSettings, SetConfig
from voicepipe.errors import Location, Problem
from voicepipe.pipelines.plan import Plan, plan_change, reachable_components

COMPONENT = RecordingAdapters().settings


def a_pipeline(name="default", *, stt=("a",), llm=("a",), tts=("a",), **other):
    return PipelineSettings(
        name=name,
        stt=tuple(COMPONENT("stt", one) for one in stt),
        llm=tuple(COMPONENT("llm", one) for one in llm),
        tts=tuple(COMPONENT("tts", one) for one in tts),
        **other,
    )


def config(*pipelines, active="default"):
    return SetConfig(
        path=Path("test.yaml"),
        digest="",
        active_pipeline=active,
        pipelines={one.name: one for one in pipelines},
        logging=LoggingSettings(),
        files=(),
    )


def test_the_first_version_opens_all_that_calls_can_get():
    chosen = a_pipeline("chosen", stt=("b", "a"), selectable=True)
    never = a_pipeline("never", tts=("z",))
    plan = plan_change(None, config(a_pipeline(), never, chosen))
    assert plan == Plan(
        opened=("stt my_a", "llm my_a", "tts my_a", "stt my_b"), added=("default", "chosen"), active="default"
    )


def test_the_same_changes_nothing():
    old = config(a_pipeline())
    assert plan_change(old, config(a_pipeline())) == Plan(
        kept=("stt my_a", "llm my_a", "tts my_a"), active="default", was_active="default"
    )


def test_another_component_is_opened_and_the_old_one_closed():
    plan = plan_change(config(a_pipeline()), config(a_pipeline(tts=("b",))))
    assert (plan.opened, plan.kept, plan.closed) == (("tts my_b",), ("stt my_a", "llm my_a"), ("tts my_a",))
    assert (plan.added, plan.changed, plan.removed) == ((), ("default",), ())


def test_a_change_that_needs_no_component_opens_none():
    plan = plan_change(config(a_pipeline()), config(a_pipeline(prompt="Be brief.")))
    assert (plan.opened, plan.closed, plan.changed) == ((), (), ("default",))


def test_another_active_pipeline_is_added_and_the_old_one_removed():
    both = a_pipeline(), a_pipeline("sales", stt=("b",))
    plan = plan_change(config(*both), config(*both, active="sales"))
    assert (plan.added, plan.changed, plan.removed) == (("sales",), (), ("default",))
    assert (plan.active, plan.was_active) == ("sales", "default")
    assert (plan.opened, plan.closed) == (("stt my_b",), ("stt my_a",))


def test_a_pipeline_that_stays_selectable_is_neither_added_nor_removed():
    both = a_pipeline(selectable=True), a_pipeline("sales", selectable=True)
    plan = plan_change(config(*both), config(*both, active="sales"))
    assert (plan.added, plan.changed, plan.removed) == ((), (), ())


def test_a_pipeline_that_calls_can_no_longer_get_is_removed():
    old = config(a_pipeline(), a_pipeline("chosen", stt=("b",), selectable=True))
    plan = plan_change(old, config(a_pipeline(), a_pipeline("chosen", stt=("b",))))
    assert (plan.removed, plan.closed) == (("chosen",), ("stt my_b",))


def test_what_could_not_be_opened_before_is_not_kept():
    old = config(a_pipeline(stt=("a", "b")))
    plan = plan_change(old, config(a_pipeline(stt=("a", "b"), prompt="x")), unopened=[COMPONENT("stt", "a").key])
    assert (plan.opened, plan.kept) == (("stt my_a",), ("stt my_b", "llm my_a", "tts my_a"))
    plan = plan_change(old, config(a_pipeline(stt=("b",))), unopened=[COMPONENT("stt", "a").key])
    assert (plan.opened, plan.closed) == ((), ())


def test_components_come_once_and_in_order():
    chosen = a_pipeline("chosen", stt=("b", "a"), selectable=True)
    names = [component.key.split()[0] for component in reachable_components(config(a_pipeline(), chosen))]
    assert names == ["stt", "llm", "tts", "stt"]


def test_a_plan_says_what_it_does():
    assert str(Plan(active="default")) == "active pipeline default"
    problem = Problem(Location("x.yaml", 3, 5), "pipelines.sales.stt", "stt vosk can't be opened: no", "try")
    plan = Plan(("tts b",), ("stt a",), ("tts a",), ("sales",), (), ("old",), "sales", "default", (problem,))
    assert str(plan) == (
        "active pipeline default -> sales; added: sales; removed: old; opened: tts b; kept: stt a; closed: tts a; "
        "degraded: x.yaml:3:5: pipelines.sales.stt: stt vosk can't be opened: no (try)"
    )


def test_a_secret_that_changed_is_named_and_not_shown():
    def voiced(secret, **other):
        component = COMPONENT("tts", "a", text=secret)
        return attrs.evolve(a_pipeline(**other), tts=(attrs.evolve(component, key=str(secret)),))

    old = config(voiced(Secret("canary-1", "${KEY}"), greeting=Secret("Hi from canary-1", "Hi from ${KEY}")))
    new = config(voiced(Secret("canary-2", "${KEY}"), greeting=Secret("Hi from canary-2", "Hi from ${KEY}")))
    plan = plan_change(old, new)
    assert plan.secrets_changed == ("tts my_a", "pipelines.default.greeting")
    assert (plan.changed, plan.opened, plan.closed) == (("default",), ("tts my_a",), ("tts my_a",))
    assert "secrets changed: tts my_a, pipelines.default.greeting" in str(plan)
    assert "canary" not in str(plan) + repr(plan)
    assert plan_change(old, old).secrets_changed == ()
    assert plan_change(None, old).secrets_changed == ()


def test_what_is_written_differently_is_an_edit_not_a_changed_secret():
    old = config(
        a_pipeline(greeting=Secret("one", "${ONE}"), prompt="a", on_failure=OnFailure(say=Secret("x", "${X}")))
    )
    new = config(
        a_pipeline(greeting=Secret("two", "${TWO}"), prompt="b", on_failure=OnFailure(say=Secret("y", "${X}")))
    )
    assert plan_change(old, new).secrets_changed == ("pipelines.default.on_failure.say",)


def test_components_of_one_key_need_no_look_at_their_secrets():
    old = config(attrs.evolve(a_pipeline(prompt="a"), tts=(attrs.evolve(COMPONENT("tts"), options=Secret("a", "x")),)))
    new = config(attrs.evolve(a_pipeline(prompt="b"), tts=(attrs.evolve(COMPONENT("tts"), options=Secret("b", "x")),)))
    assert plan_change(old, new).secrets_changed == ()


def test_no_version_is_without_a_change_to_show():
    """Whatever makes the digest another one is said, be it that calls get nothing of it."""
    night, other = (a_pipeline("night", llm=(script,)) for script in ("one", "two"))

    def version(digest, *pipelines, **settings):
        return attrs.evolve(config(a_pipeline(), *pipelines), digest=digest, **settings)

    old = version("1", night)
    cases = {
        "script": (version("2", other), "changed, but no call gets them: night"),
        "gone": (version("2"), "changed, but no call gets them: night"),
        "new": (version("2", night, a_pipeline("day")), "changed, but no call gets them: day"),
        "logging": (version("2", night, logging=LoggingSettings(level="DEBUG")), "settings changed: logging"),
        "written": (version("2", night), "settings changed: written"),
    }
    for name, (new, said) in cases.items():
        assert said in str(plan_change(old, new)), name
    assert "changed" not in str(plan_change(old, old))
    served = plan_change(old, version("2", attrs.evolve(other, selectable=True)))
    assert (served.added, served.unserved, served.settings) == (("night",), (), ())
