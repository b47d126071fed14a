"""Every dialplan that we show: what it jumps to is there, and no way of ending leaves the caller in the lurch."""

from __future__ import annotations

import configparser
import re

import pytest
from attrs import define, field
from doc_pages import ROOT

from reference_engine.control.announcing import announcement_of
from reference_engine.control.operations import OPERATIONS
from reference_engine.reports.ended_calls import EndedCall
from reference_engine.reports.json_bodies import call_body

SHIPPED = ROOT / "examples/deploy/asterisk/extensions.conf"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```ini\n(.*?)^```", re.MULTILINE | re.DOTALL)
STEP = re.compile(
    r"(?:exten\s*=>\s*(?P<exten>[^,]+),(?:1|n)|same\s*=>\s*n)(?:\((?P<label>\w+)\))?,(?P<app>\w+)\((?P<data>.*)\)$"
)


@define
class Step:
    """One line."""

    context: str
    exten: str
    label: str
    app: str
    data: str


@define
class Plan:
    """What a file or a page has of dialplan."""

    name: str
    steps: list[Step] = field(factory=list)
    variables: set[str] = field(factory=set)
    contexts: set[str] = field(factory=set)

    def extension(self, step):
        """The steps of the extension that a step is in."""
        return [one for one in self.steps if (one.context, one.exten) == (step.context, step.exten)]


def read(name, text):
    plan, context, exten = Plan(name), "", ""
    for line in text.splitlines():
        line = re.sub(r"\s*;.*", "", line).strip()  # noqa: PLW2901
        if not line:
            continue
        if match := re.fullmatch(r"\[([\w-]+)\]", line):
            context, exten = match[1], ""
            plan.contexts.add(context)
        elif match := STEP.match(line):
            exten = match["exten"] or exten
            assert exten, f"{name}: {line}: of no extension"
            plan.steps.append(Step(context, exten, match["label"] or "", match["app"], match["data"]))
        else:
            assert context == "globals", f"{name}: {line}"
            plan.variables.add(re.fullmatch(r"(\w+)=.+", line)[1])
    return plan


def dialplans():
    yield read("extensions.conf", SHIPPED.read_text())
    for page in PAGES:
        blocks = [block for block in BLOCK.findall(page.read_text()) if "same =>" in block]
        if blocks:
            yield read(str(page.relative_to(ROOT)), "\n".join(blocks))


PLANS = list(dialplans())
CHOSEN = pytest.mark.parametrize("plan", PLANS, ids=[plan.name for plan in PLANS])


def arguments(data):
    """An application's arguments: commas within brackets part nothing."""
    found, depth = [""], 0
    for char in data:
        depth += (char in "([{") - (char in ")]}")
        if char == "," and not depth:
            found.append("")
        else:
            found[-1] += char
    return found


def jumps(step):
    """Where a step may go on, other than at the next one."""
    if step.app == "Goto":
        return [step.data]
    if step.app == "GotoIf":
        _, _, targets = step.data.rpartition("?")
        return [target for target in targets.split(":") if target]
    return []


def calls_the_agent(step):
    return "AudioSocket" in step.app + step.data or "WebSocket/" in step.data


def test_the_pages_show_some():
    assert {plan.name for plan in PLANS} >= {"extensions.conf", "README.md", "docs/how-to/connect-asterisk.md"}
    assert all(plan.steps for plan in PLANS)


@CHOSEN
def test_what_is_jumped_to_is_there(plan):
    known = PLANS[0] if plan.name != "extensions.conf" else plan  # a page may show a part of it
    for step in plan.steps:
        for target in jumps(step):
            place = arguments(target)
            if len(place) == 1:
                assert place[0] in {one.label for one in plan.extension(step)}, f"{step.app}({step.data})"
            else:
                context, exten, _ = place
                assert context in plan.contexts | known.contexts, target
                if "$" not in exten:
                    extens = {one.exten for one in (*plan.steps, *known.steps) if one.context == context}
                    assert exten in extens, target


@CHOSEN
def test_every_extension_ends(plan):
    for step in plan.steps:
        last = plan.extension(step)[-1]
        assert last.app in {"Hangup", "Goto"}, f"[{last.context}] {last.exten} falls off its end"


@CHOSEN
def test_the_caller_is_answered_before_the_agent_gets_him(plan):
    for step in plan.steps:
        if calls_the_agent(step):
            before = plan.extension(step)
            before = before[: before.index(step)]
            assert "Answer" in [one.app for one in before], "a SIP channel that is not answered is refused (603)"


@CHOSEN
def test_no_ending_of_the_agent_ends_the_call_by_itself(plan):
    for step in plan.steps:
        if step.app == "Dial":
            options = arguments(step.data)[2] if len(arguments(step.data)) > 2 else ""
            assert "g" in re.sub(r"\(.*?\)", "", options), f"Dial({step.data}) without g"


@CHOSEN
def test_an_engine_that_is_away_or_full_has_its_branch(plan):
    for step in plan.steps:
        if not calls_the_agent(step):
            continue
        following = plan.extension(step)
        following = following[following.index(step) + 1 :]
        branches = " ".join(one.data for one in following if one.app == "GotoIf")
        if step.app == "TryExec":
            assert re.search(r'\{TRYSTATUS\}" = "FAILED"\]\?\w', branches)
        elif step.app == "Dial":
            assert re.search(r'\{DIALSTATUS\}" = "CHANUNAVAIL"\]\?\w', branches)
        else:  # a bare one: what became of the call is all that tells
            assert (step.app, [one.data for one in following]) == ("AudioSocket", ["after-agent,s,1"])


@CHOSEN
def test_each_call_has_a_uuid_of_its_own(plan):
    for step in plan.steps:
        if calls_the_agent(step):
            made = "${UUID()}" in step.data
            before = plan.extension(step)
            before = [one.data for one in before[: before.index(step)] if one.app == "Set"]
            assert made or "CALL_UUID=${UUID()}" in before


def test_by_websocket_the_format_is_named_and_the_numbers_go_along():
    dials = [(plan, step) for plan in PLANS for step in plan.steps if "Dial" in step.app and "WebSocket/" in step.data]
    assert {plan.name for plan, _ in dials} >= {"extensions.conf", "docs/how-to/connect-asterisk.md"}
    for plan, step in dials:
        assert re.fullmatch(r"WebSocket/voicepipe/c\((slin|slin16|ulaw|alaw)\)f\(json\),,g", step.data)
        before = plan.extension(step)
        before = [one.data for one in before[: before.index(step)] if one.app == "Set"]
        assert {"_VP_CHAN=${CALL_UUID}", "_VP_CALLER=${CALLERID(num)}", "_VP_CALLED=${EXTEN}"} <= {*before}


def test_the_section_that_the_dialplan_names_is_shipped():
    """Asterisk drops a section that has an option which it does not know."""
    known = {"type", "connection_type", "uri", "protocols", "username", "password", "connection_timeout"}
    shipped = configparser.ConfigParser(comment_prefixes=";")
    shipped.read(SHIPPED.with_name("websocket_client.conf"))
    assert shipped.sections() == ["voicepipe"]
    assert {*shipped["voicepipe"]} == known | {"reconnect_attempts"}
    guide = (ROOT / "docs/how-to/connect-asterisk.md").read_text()
    shown = configparser.ConfigParser()
    shown.read_string(guide.partition('```ini title="websocket_client.conf"\n')[2].partition("```")[0])
    assert {**shown["voicepipe"]} == {**shipped["voicepipe"]}


def test_the_control_is_asked_for_what_it_has():
    asked = [step for plan in PLANS for step in plan.steps if "CURL(" in step.data]
    assert asked
    fields = call_body(EndedCall("1", "2", "main", "failed", ""))
    paths = {operation.path for operation in OPERATIONS if operation.method == "GET"}
    for step in asked:
        if ",${TOLD})" in step.data:
            continue
        path, name = re.search(r"\$\{CURL\(\$\{VOICEPIPE_CALLS\}/\$\{(\w+)\}\?field=(\w+)\)\}", step.data).groups()
        assert path == "CALL_UUID"
        assert "/calls/{call}" in paths
        assert name in fields
        assert step.data.split("=", 1)[1].startswith("${FILTER("), "what comes from elsewhere is filtered"


def test_a_call_is_announced_with_fields_that_there_are_and_encoded_values():
    announcing = [plan for plan in PLANS if any(",${TOLD})" in step.data for step in plan.steps)]
    assert {plan.name for plan in announcing} == {"extensions.conf", "docs/how-to/connect-asterisk.md"}
    paths = {operation.path for operation in OPERATIONS if operation.method == "POST"}
    assert "/calls/{call}" in paths
    for plan in announcing:
        (call,) = [step.data for step in plan.steps if ",${TOLD})" in step.data]
        assert call == "ANSWER=${FILTER(a-z,${CURL(${VOICEPIPE_CALLS}/${CALL_UUID},${TOLD})})}"
        told = [step.data.removeprefix("TOLD=") for step in plan.steps if step.data.startswith("TOLD=")]
        form = "&".join(told).replace("${TOLD}&", "")
        assert (
            re.sub(r"\$\{URIENCODE\(\$\{\w+(?:\(\w+\))?\}\)\}", "x", form) == "caller=x&called=x&variables.customer=x"
        )
        content = re.sub(r"\$\{URIENCODE\(.*?\}\)\}", "x", form).encode()
        assert announcement_of("a-call", content, form=True).info.variables == {"customer": "x"}


def test_what_is_dialled_for_a_model_is_on_the_list_only():
    dialled = [step for plan in PLANS for step in plan.steps if "TARGET" in step.data and step.app in {"Dial", "Goto"}]
    assert dialled == []
    assert any("DIALPLAN_EXISTS(transfers,${TARGET},1)" in step.data for step in PLANS[0].steps)


def test_each_outcome_has_its_branch():
    """Those after which the caller still wants something; after all others the call is over."""
    from typing import get_args  # noqa: PLC0415

    from voicepipe import Outcome  # noqa: PLC0415

    steps = [step for step in PLANS[0].steps if step.context == "after-agent"]
    branches = {name for step in steps for name in re.findall(r'"\$\{OUTCOME\}" = "(\w*)"', step.data)}
    over = {
        "caller_hung_up",
        "agent_hung_up",
        "said_goodbye",
        "idle",
        "max_length",
        "no_audio",
        "drained",
        "transferred",
    }
    assert branches == {*get_args(Outcome), "refused", ""} - over
