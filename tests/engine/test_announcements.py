"""Calls that a dialplan announces: what it may send, what is kept of it, and what a call that connects has of it."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
import trio
from engine_process import QUICK, open_engine
from recording import RecordedSet, pipeline
from starlette.exceptions import HTTPException

from reference_engine.calls.announcements import KEEP_S, MAX_CALLS, Announcement, Announcements, joined
from reference_engine.calls.answering import CallAnswerer
from reference_engine.control.announcing import announcement_of, is_form
from reference_engine.reports.ended_calls import EndedCalls
from reference_engine.reports.metrics import Metrics
from reference_engine.reports.sessions import SessionStore
from reference_engine.settings.settings import CurrentSettings, settings_for_set_file
from reference_engine.upkeep.shortage import Shortage
from voicepipe import CallInfo, CallRefused, TraceContext
from voicepipe.testing.audiosocket_caller import open_audiosocket_call
from voicepipe.testing.transport import MemoryTransport

ID = "0b8f7a52-9f0e-4d0b-8f43-6a1fbb0a9c11"
FORM = "application/x-www-form-urlencoded"


def told(body, name=ID, content_type=FORM):
    content = body if isinstance(body, bytes) else body.encode()
    return announcement_of(name, content, form=is_form(content_type, content))


@pytest.mark.parametrize(
    ("body", "content_type", "caller", "called", "variables", "pipeline"),
    [
        ("", FORM, "", "", {}, ""),
        ("caller=%2B4930123&called=100", FORM, "+4930123", "100", {}, ""),
        ("caller=+4930123&called=+49+30", FORM, "+4930123", "+49 30", {}, ""),  # a dialplan that does not encode
        ("caller=100&pipeline=night", FORM, "100", "", {}, "night"),
        ("variables.customer=Zo%C3%AB+%26+co&variables.a.b=", FORM, "", "", {"customer": "Zoë & co", "a.b": ""}, ""),
        ("variables.x=1&variables.x=2", FORM, "", "", {"x": "2"}, ""),
        ("variables.note=a%0D%0Ab", FORM, "", "", {"note": "a b"}, ""),
        ('{"caller": "+49", "variables": {"n": 7}}', "application/json", "+49", "", {"n": "7"}, ""),
        ('{"called": 100}', "application/json; charset=utf-8", "", "100", {}, ""),
        ('{"caller": "1"}', FORM, "1", "", {}, ""),  # JSON, posted with the type of a form
        ("caller=1", "", "1", "", {}, ""),
    ],
)
def test_what_is_read(body, content_type, caller, called, variables, pipeline):
    info = CallInfo(transport_id=ID, caller=caller, called=called, variables=variables)
    assert told(body, content_type=content_type) == Announcement(info, pipeline)


TRACE = "0af7651916cd43dd8448eb211c80319c"


def test_the_trace_of_the_request_is_the_calls_unless_a_variable_has_one():
    headers = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
    announced = announcement_of(ID, b"caller=1", form=True, headers=headers)
    assert announced.info.trace == TraceContext(TRACE, "b7ad6b7169203331", sampled=True)
    assert joined(CallInfo(transport_id=ID), announced).trace == announced.info.trace
    told_otherwise = f"variables.TRACEPARENT=00-{TRACE}-00f067aa0ba902b7-00".encode()
    assert announcement_of(ID, told_otherwise, form=True, headers=headers).info.trace.span_id == "00f067aa0ba902b7"
    assert announcement_of(ID, b"", form=True, headers={"traceparent": "no"}).info.trace is None


@pytest.mark.parametrize("name", [ID.upper(), ID.replace("-", ""), f" {ID} ", f"{{{ID}}}"])
def test_a_uuid_is_written_as_the_transport_writes_it(name):
    assert told("", name).info.transport_id == ID


@pytest.mark.parametrize(
    ("body", "name", "reason"),
    [
        ("caler=1", ID, "unknown field 'caler'; fields: caller, called, pipeline, variables.NAME"),
        ("caller=1&caller=2", ID, "the field 'caller' is given twice"),
        ("variables=1", ID, "variables.NAME=value"),
        (b"caller=%ff", ID, "URIENCODE"),
        (b"\xff", ID, "the body is not UTF-8"),
        ("&".join(f"variables.v{n}=1" for n in range(201)), ID, "the form can't be read"),
        ("{", ID, "must be a JSON object"),
        ("{" * 10_000, ID, "must be a JSON object"),
        ('{"caller": true}', ID, "caller must be text"),
        ('{"caller": ["1"]}', ID, "caller must be text"),
        ('{"variables": ["a"]}', ID, "`variables` must be an object"),
        ('{"variables": {"a": {}}}', ID, "variables.a must be text"),
        ("", str(UUID(int=0)), "make one by ${UUID()}"),
        ("", "x" * 201, "up to 200 characters"),
        ("", "a\nb", "up to 200 characters"),
    ],
)
def test_what_is_refused(body, name, reason):
    with pytest.raises(HTTPException) as refused:
        told(body, name)
    assert refused.value.status_code == 400
    assert reason in refused.value.detail


def announced(name, **told_of):
    return Announcement(CallInfo(transport_id=name, **told_of))


async def test_they_are_bounded_in_number_and_in_time(autojump_clock):
    waiting = Announcements()
    assert all(waiting.add(announced(f"t{number}")) for number in range(MAX_CALLS))
    assert not waiting.add(announced("one too many"))
    assert waiting.add(announced("t0", caller="1")), "a second announcement takes the place of the first"
    assert waiting.find("t0").info.caller == "1"
    assert waiting.find("one too many") is None
    waiting.remove("t1")
    waiting.remove("t1")
    assert waiting.add(announced("t1"))
    await trio.sleep(KEEP_S / 2)
    waiting.add(announced("t2"))
    await trio.sleep(KEEP_S / 2)
    assert len(waiting) == 1
    assert waiting.find("t2") is not None
    await trio.sleep(KEEP_S / 2)
    assert waiting.find("t2") is None


def test_what_was_announced_comes_first():
    info = CallInfo(caller="anonymous", listener="main", transport_id="t", variables={"a": "line", "b": "line"})
    call = joined(info, announced("t", caller="+49", variables={"a": "told", "c": "told"}))
    assert (call.caller, call.called, call.listener, call.transport_id) == ("+49", "", "main", "t")
    assert call.variables == {"a": "told", "b": "line", "c": "told"}
    assert joined(info, None) is info


# --- In an engine -----------------------------------------------------------------------------------------------------

SET = QUICK.replace('greeting: "Good night."', 'greeting: "Night."') + (
    "routes:\n  - when: {caller: '+49*', variables: {tenant: acme}}\n    pipeline: night\n"
)
ENGINE = """\
pipeline_sets: {main: ai-agent.yaml}
listeners:
  - {set: main, port: 0, when_full: hang_up, require_announced: true}
admin: {port: 0, token: a-token-for-the-test}
"""
BEARER = {"authorization": "Bearer a-token-for-the-test"}


async def test_a_dialplan_announces_calls(home):
    (home / "ai-agent.yaml").write_text(SET)
    (home / "engine.yaml").write_text(ENGINE)
    async with open_engine(home, file="engine.yaml") as engine:

        async def curl(call_id, data, status=200):
            """What `CURL(url,data)` sends, and gets."""
            headers = {"content-type": FORM, **BEARER}
            answer = await engine.ask_admin("POST", f"/calls/{call_id}", content=data, headers=headers)
            assert (answer.status_code, answer.headers["content-type"]) == (status, "text/plain; charset=utf-8")
            return answer.text

        # Who may announce, and what
        for method in ("POST", "PUT"):
            for headers in ({}, {"authorization": "Bearer wrong"}):
                assert (await engine.ask_admin(method, f"/calls/{ID}", headers=headers)).status_code == 401
        assert "longer than" in await curl(ID, b"a" * 70_000, 413)
        assert "unknown field" in await curl(ID, "caler=1", 400)
        assert "pipelines: default, night" in await curl(ID, "pipeline=nihgt", 422)
        assert (await engine.ask("PUT", f"/calls/{ID}?set=main", json={})).status_code == 400

        # Numbers and variables, for the routes too
        data = "caller=%2B4930123456&called=100&variables.tenant=acme&variables.customer=Ada"
        assert await curl(ID.upper(), data) == "announced"
        async with open_audiosocket_call(port=engine.port, call_id=UUID(ID)):
            started = await engine.logged("call.started", transport_id=ID)
            assert (started["pipeline"], started["caller"], started["called"]) == ("night", "+4930123456", "100")
            assert started["variables"] == {"tenant": "acme", "customer": "Ada"}
            (up,) = (await engine.ask("GET", "/calls")).json()["calls"]
            assert (up["caller"], up["called"]) == ("+4930123456", "100")
            assert "is up already" in await curl(ID, "caller=1", 409)
        await engine.logged("call.ended", transport_id=ID)
        assert (await engine.ask("GET", f"/calls/{ID.upper()}?field=outcome")).text == "caller_hung_up"

        # An announcement is for one call
        async with open_audiosocket_call(port=engine.port, call_id=UUID(ID)) as again:
            await again.hung_up.wait()
        assert "`require_announced: true`" in (await engine.logged("call.refused", transport_id=ID))["reason"]
        assert (await engine.ask("GET", f"/calls/{ID}?field=outcome")).text == "refused"

        # A pipeline by its name, in JSON
        other = str(uuid4())
        body = (await engine.ask("PUT", f"/calls/{other}", json={"pipeline": "night"})).json()
        assert body == {"transport_id": other, "within_s": KEEP_S}
        async with open_audiosocket_call(port=engine.port, call_id=UUID(other)):
            assert (await engine.logged("call.started", transport_id=other))["pipeline"] == "night"


async def test_a_pipeline_that_is_gone_when_the_call_comes(autojump_clock, tmp_path):
    """A reload may take it away in between; the call is refused, and the dialplan learns why."""
    recorded = RecordedSet(tmp_path)
    recorded.write(default=pipeline())
    waiting, ended = Announcements(), EndedCalls()
    waiting.add(Announcement(CallInfo(transport_id="t"), "night"))
    async with recorded.serve() as pipelines:
        sets = {pipelines.name: pipelines}
        log = Quiet()
        answerer = CallAnswerer(
            CurrentSettings(settings_for_set_file(pipelines.path)),
            sets,
            SessionStore(),
            Metrics(sets),
            log,
            keep=print,
            shortage=Shortage(log),
            ended=ended,
            announced=waiting,
        )
        with pytest.raises(CallRefused, match="announced for pipeline 'night'"):
            await answerer.answer(MemoryTransport(info=CallInfo(transport_id="t", listener="audiosocket")))
    assert ended.find("t").detail.endswith("which set 'main' has not opened; pipelines: default")
    assert (ended.find("t").outcome, len(waiting)) == ("refused", 1)


class Quiet:
    """A log that keeps its records."""

    def __init__(self):
        self.records = []

    def warning(self, event, **fields):
        self.records.append({"event": event, **fields})
