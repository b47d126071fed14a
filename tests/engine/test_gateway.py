"""The supervisor's HTTP in front of real control applications: what is merged, passed on, refused, and lost."""

from __future__ import annotations

import json
import socket
import subprocess
import sys

import jsonschema
import pytest
import trio
import trio.testing
from gateway_workers import InProcessWorker, control_of, serve_gateway
from patience import LONG_S
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from reference_engine.control.openapi import OPENAPI
from reference_engine.control.operations import OPERATIONS
from reference_engine.reports.ended_calls import EndedCall
from reference_engine.supervisor.gateway import gateway as module
from reference_engine.supervisor.gateway.gateway import Gateway
from reference_engine.supervisor.gateway.rules import INTERNAL, RULES, rule_of

TOKEN = "a-token-of-sixteen"


def test_each_operation_has_its_rule():
    assert set(RULES) == {(operation.method, operation.path) for operation in OPERATIONS}
    assert all(callable(getattr(Gateway, rule)) for rule in (*RULES.values(), *INTERNAL.values()))
    for (method, path), rule in RULES.items():
        assert rule_of(method, path.replace("{", "").replace("}", "")) == rule
    assert rule_of("HEAD", "/calls") == "show_calls"
    assert rule_of("GET", "/calls/a/say") == rule_of("GET", "/pages/now") == rule_of("PATCH", "/calls") == "pass_on"


def test_the_supervisor_s_http_imports_neither_the_sdk_nor_a_framework_and_is_small():
    program = """
import sys, reference_engine.supervisor.gateway.gateway, reference_engine.control.http
print(*{name.partition(".")[0] for name in sys.modules} & {"voicepipe", "starlette", "httpx", "prometheus_client"})
print(int(open("/proc/self/statm").read().split()[1]) * 4096 >> 20)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    heavy, megabytes = done.stdout.split("\n")[:2]
    assert heavy == ""
    assert int(megabytes) < 34, "the supervisor has a few megabytes more for itself"


@pytest.fixture
async def listening():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.fixture
async def served(nursery, listening):
    """Two workers with a call each; `served(...)` gives them other controls, or another door."""

    def serve(*controls, door="control"):
        controls = controls or (control_of(("b", 2)), control_of(("a", 1), ("c", 3)))
        workers = [
            InProcessWorker(number, control.app(), nursery, control) for number, control in enumerate(controls, start=1)
        ]
        return serve_gateway(nursery, listening, workers, door)

    yield serve
    nursery.cancel_scope.cancel()


def as_described(answer, method, path):
    content = OPENAPI["paths"][path][method.lower()]["responses"][str(answer.status_code)]["content"]
    schema = next(iter(content.values()))["schema"]
    jsonschema.validate(answer.json(), {**schema, "components": OPENAPI["components"]})
    return answer.json()


async def test_calls_of_all_workers_the_oldest_first(served):
    body = as_described(await served().ask("GET", "/calls"), "GET", "/calls")
    assert [(call["call_id"], call["worker"]) for call in body["calls"]] == [("a", 2), ("b", 1), ("c", 2)]


async def test_a_worker_that_does_not_answer_is_named(served, nursery, monkeypatch):
    monkeypatch.setattr(module, "ANSWER_S", 0.05)
    here = served()
    kept = []

    class Hung(InProcessWorker):
        async def hand_request(self, _door, _peer, end):
            kept.append(end.dup())

    hung = Hung(3, None, nursery)
    here.workers.append(hung)
    body = as_described(await here.ask("GET", "/calls"), "GET", "/calls")
    assert (len(body["calls"]), body["unanswered"]) == (3, [3])
    lost = await here.ask("GET", "/calls/nobody")
    assert (lost.status_code, lost.json()["unanswered"]) == (503, [3]), "it may have the call"
    assert (await here.ask("GET", "/calls/c")).json()["worker"] == 2
    for end in kept:
        end.close()


async def test_a_call_by_its_id_is_asked_of_all(served):
    here = served()
    for name, worker in (("a", 2), ("t-b", 1)):
        body = as_described(await here.ask("GET", f"/calls/{name}"), "GET", "/calls/{call}")
        assert (body["worker"], body["state"]) == (worker, "listening")
    assert (await here.ask("GET", "/calls/c?field=state")).text == "listening"
    unknown = await here.ask("GET", "/calls/nobody")
    assert (unknown.status_code, "no call 'nobody'" in unknown.json()["error"]) == (404, True)
    assert (await here.ask("GET", "/calls/nobody?field=state")).content == b""
    assert (await here.ask("POST", "/calls/nobody/say", json={"text": "x"})).status_code == 404
    assert (await here.ask("GET", "/calls/a/b")).status_code == 404


async def test_of_two_that_knew_a_call_the_one_where_it_is_up_is_meant(served):
    here = served()
    here.workers[0].control.ended.add(EndedCall("old", "t-a", "main", "caller_hung_up", ""))
    assert (await here.ask("GET", "/calls/t-a")).json()["call_id"] == "a"
    assert (await here.ask("GET", "/calls/t-a?field=call_id")).text == "a"
    assert (await here.ask("GET", "/calls/old")).json() | {"ended": 0} == {
        "call_id": "old",
        "transport_id": "t-a",
        "set": "main",
        "state": "ended",
        "ended": 0,
        "worker": 1,
        "outcome": "caller_hung_up",
        "detail": "",
    }
    steered = await here.ask("POST", "/calls/old/hang-up", json={})
    assert (steered.status_code, steered.json()) == (409, {"error": "the call is over: caller_hung_up"})


async def test_a_call_of_a_worker_that_has_died_is_not_found_and_the_answer_says_why(served):
    here = served()
    here.gateway.leave(here.workers[1])
    here.workers[1].dead = True
    for method, path in (("GET", "/calls/a"), ("POST", "/calls/a/tell")):
        answer = await here.ask(method, path, json={"fact": "x"})
        assert answer.status_code == 404
        assert answer.json()["error"].endswith(
            "; worker 2 ended in that time, and `reference-engine call ID` shows its calls"
        )


async def test_an_announcement_is_kept_by_all_workers_or_by_none(served):
    here = served()
    kept = [worker.control.announced for worker in here.workers]
    assert (await here.ask("PUT", "/calls/x", json={"caller": "1"})).status_code == 200
    assert [announced.find("x").info.caller for announced in kept] == ["1", "1"]
    assert (await here.ask("POST", "/calls/y", data={"caller": "2"})).text == "announced"
    refused = await here.ask("PUT", "/calls/t-a", json={})
    assert refused.status_code == 409
    assert [announced.find("t-a") for announced in kept] == [None, None], "worker 1 had taken it, and gave it back"
    assert as_described(await here.ask("DELETE", "/calls/x"), "DELETE", "/calls/{call}") == {"transport_id": "x"}
    assert [announced.find("x") for announced in kept] == [None, None]
    kept[1].add(kept[1].find("y"))
    kept[0].remove("y")
    assert (await here.ask("DELETE", "/calls/y")).status_code == 200, "one had it"
    as_described(await here.ask("DELETE", "/calls/y"), "DELETE", "/calls/{call}")


@pytest.mark.parametrize(("size", "status"), [(65_000, 400), (65_536, 400), (65_537, 413), (300_000, 413)])
async def test_a_body_that_is_too_long_is_refused_by_the_workers_in_their_words(served, size, status):
    answer = await served().ask("PUT", "/calls/x", content=b"[" * size)
    assert answer.status_code == status
    assert ("longer than 65536 bytes" in answer.text) == (status == 413)


async def test_the_workers_decide_who_may_ask(served):
    here = served(control_of(("b", 2), token=TOKEN), control_of(("a", 1), token=TOKEN), door="admin")
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    for method, path in (
        *(
            ("GET", path)
            for path in ("/calls", "/sets", "/calls/a", "/calls/a?field=state", "/sets/x/versions/1", "/-/now")
        ),
        *(("POST", path) for path in ("/-/reload", "/calls", "/calls/a/say", "/sets/x/rollback", "/calls/z")),
        *(("PUT", "/calls/z"), ("DELETE", "/calls/z"), ("GET", "/nothing")),
    ):
        assert (await here.ask(method, path)).status_code == 401, path
    for path in ("/metrics", "/openapi.json", "/healthz", "/readyz"):
        assert (await here.ask("GET", path)).status_code == 200
    assert [call["call_id"] for call in (await here.ask("GET", "/calls", headers=bearer)).json()["calls"]] == ["a", "b"]
    assert {door for worker in here.workers for door, _peer in worker.handed} == {"admin"}
    assert all(peer.startswith("127.0.0.1:") for worker in here.workers for _door, peer in worker.handed)


async def test_without_a_token_a_page_from_elsewhere_gets_nothing_but_probes(served):
    here = served(door="admin")
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
        for path in ("/calls", "/metrics", "/sets"):
            assert (await here.ask("GET", path, headers=headers)).status_code == 403
    assert (await here.ask("GET", "/readyz", headers={"Host": "10.0.0.7"})).status_code == 200


async def test_readiness_is_that_of_any_worker(served):
    here = served(control_of(state="starting"), control_of())
    body = as_described(await here.ask("GET", "/readyz"), "GET", "/readyz")
    assert (body["status"], [each["status"] for each in body["workers"]]) == ("ready", ["starting", "ready"])
    here.workers[1].control.readiness.draining()
    assert as_described(await here.ask("GET", "/readyz"), "GET", "/readyz")["status"] == "starting"
    here.workers.clear()
    assert (await here.ask("GET", "/readyz")).status_code == 503
    assert (await here.ask("GET", "/healthz")).json() == {"status": "ok"}
    nobody = await here.ask("GET", "/calls")
    assert (nobody.status_code, nobody.headers["retry-after"]) == (503, "2")
    assert "no worker answers" in nobody.json()["error"]
    assert (await here.ask("GET", "/metrics")).status_code == 503


async def test_metrics_are_summed_in_the_format_that_is_asked_for(served):
    here = served()
    for worker, times in zip(here.workers, (2, 3), strict=True):
        for _ in range(times):
            worker.control.metrics.observe_refused_connection()

    async def samples(**headers):
        answer = await here.ask("GET", "/metrics", headers=headers)
        lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
        return answer, {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    answer, found = await samples(Accept="*/*")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert found["voicepipe_connections_refused_total"] == 5
    assert found["voicepipe_tasks"] > 0
    assert [found[f'voicepipe_worker_up{{worker="{number}"}}'] for number in (1, 2)] == [1, 1]
    here.gateway.leave(here.workers[1])
    here.workers[1].dead = True
    answer, found = await samples(Accept="application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")
    assert found["voicepipe_connections_refused_total"] == 5, "a worker's death takes nothing away"
    assert found['voicepipe_worker_deaths_total{worker="2"}'] == 1


async def test_the_worker_that_can_dials(served, nursery):
    def worker(number, status, load):
        async def dial(request):
            return JSONResponse({"by": number, "asked": await request.json()}, status)

        return InProcessWorker(number, Starlette(routes=[Route("/calls", dial, methods=["POST"])]), nursery, load=load)

    here = served()
    for answers, expected in (
        ([(200, 3), (200, 1)], (200, 2)),
        ([(404, 0), (200, 9)], (200, 2)),
        ([(503, 0), (404, 1)], (503, 1)),
        ([(404, 0), (404, 1)], (404, 1)),
        ([(409, 0), (200, 1)], (409, 1)),
    ):
        here.workers[:] = [worker(number, *of) for number, of in enumerate(answers, start=1)]
        answer = await here.ask("POST", "/calls", json={"target": "1"})
        assert (answer.status_code, answer.json()["by"]) == expected
        assert answer.json()["asked"] == {"target": "1"}


async def test_pages_stay_with_one_worker_until_that_ends(served, nursery):
    def worker(number):
        async def page(_request):
            return PlainTextResponse(str(number), headers={"set-cookie": "a=b"})

        return InProcessWorker(number, Starlette(routes=[Route("/pages/now", page), Route("/", page)]), nursery)

    here = served()
    here.workers[:] = [worker(1), worker(2)]
    here.workers[0].state = "starting"
    assert [(await here.ask("GET", path)).text for path in ("/pages/now", "/")] == ["2", "2"]
    here.workers[0].state = "ready"
    again = await here.ask("GET", "/pages/now")
    assert (again.text, again.headers["set-cookie"]) == ("2", "a=b"), "who has signed in there stays signed in"
    here.workers[1].dead = True
    assert (await here.ask("GET", "/pages/now")).text == "1"


def failing(nursery, *, after):
    """A worker that closes its connection after a head, in the middle of a body, or before anything."""

    async def answer_and_close(stream):
        async with stream:
            await stream.receive_some()
            await stream.send_all(after)

    class Dying(InProcessWorker):
        async def hand_request(self, _door, _peer, end):
            nursery.start_soon(answer_and_close, trio.SocketStream(trio.socket.from_stdlib_socket(end.dup())))

    return Dying(2, None, nursery)


async def test_a_worker_that_dies_before_its_answer_is_named(served, nursery):
    here = served()
    for after in (b"", b"HTTP/1.1 200 OK\r\nconte", b"nonsense\r\n\r\n"):
        here.workers[:] = [failing(nursery, after=after)]
        answer = await here.ask("GET", "/openapi.json")
        assert answer.status_code == 502
        assert answer.json() == {"error": "worker 2 (process 1) ended before it answered", "worker": 2}
    here.workers[:] = [InProcessWorker(1, None, nursery, dead=True)]
    here.gateway._workers = lambda: here.workers  # it ended a moment ago
    assert (await here.ask("GET", "/openapi.json")).json()["worker"] == 1


async def test_half_an_answer_is_not_taken_for_a_whole_one(served, nursery):
    import httpx  # noqa: PLC0415

    here = served()
    for head in (b"content-length: 10", b"transfer-encoding: chunked"):
        body = b"half" if b"length" in head else b"4\r\nhalf\r\n"
        here.workers[:] = [failing(nursery, after=b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n" + body)]
        with pytest.raises(httpx.RemoteProtocolError):
            await here.ask("GET", "/openapi.json")


async def begin(send, *headers):
    await send({"type": "http.response.start", "status": 200, "headers": headers})


async def test_events_are_passed_on_as_they_come_and_end_with_the_client(served, nursery):
    said, gone = trio.Event(), trio.Event()

    async def events(_scope, receive, send):
        await begin(send, (b"content-type", b"text/event-stream"))
        await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
        await said.wait()
        await send({"type": "http.response.body", "body": b"data: 2\n\n", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        gone.set()

    here = served()
    here.workers[:] = [InProcessWorker(1, events, nursery)]
    async with await trio.open_tcp_stream(*here.address) as stream:
        await stream.send_all(b"GET /pages/now/events HTTP/1.1\r\nHost: x\r\n\r\n")
        got = b""
        while b"data: 1" not in got:
            got += await stream.receive_some()
        assert b"text/event-stream" in got
        said.set()
        while b"data: 2" not in got:
            got += await stream.receive_some()
    with trio.fail_after(LONG_S):
        await gone.wait()


async def test_a_client_that_reads_slowly_holds_little(served, nursery):
    made = 0

    async def recording(_scope, _receive, send):
        nonlocal made
        await begin(send, (b"content-length", b"%d" % (64 << 20)))
        for made in range(1, 65):  # noqa: B007 - it is looked at below
            await send({"type": "http.response.body", "body": bytes(1 << 20), "more_body": True})

    here = served()
    here.workers[:] = [InProcessWorker(1, recording, nursery)]
    async with await trio.open_tcp_stream(*here.address) as stream:
        await stream.send_all(b"GET /pages/recording HTTP/1.1\r\nHost: x\r\n\r\n")
        await stream.receive_some()
        await trio.testing.wait_all_tasks_blocked(0.1)
        assert 1 <= made < 20, "most of it waits in the worker until the client has taken the rest"


async def test_head_keep_alive_and_pipelined_requests_in_their_order(served):
    here = served()
    asked = [b"HEAD /calls", b"GET /calls/a", b"HEAD /readyz", b"GET /calls/c", b"GET /nothing"]
    async with await trio.open_tcp_stream(*here.address) as stream:
        await stream.send_all(b"".join(each + b" HTTP/1.1\r\nHost: x\r\n\r\n" for each in asked))
        await stream.send_eof()
        answered = b""
        with trio.fail_after(LONG_S):
            while data := await stream.receive_some():
                answered += data
    heads = [b"200", b"200", b"200", b"200", b"404"]
    assert [part[:3] for part in answered.split(b"HTTP/1.1 ")[1:]] == heads
    parts = [part.partition(b"\r\n\r\n")[2] for part in answered.split(b"HTTP/1.1 ")[1:]]
    assert parts[0] == parts[2] == b""
    assert [json.loads(parts[at])["call_id"] for at in (1, 3)] == ["a", "c"]


async def test_a_request_of_http_1_0_without_a_host(served):
    here = served(door="admin")
    async with await trio.open_tcp_stream(*here.address) as stream:
        await stream.send_all(b"GET /calls HTTP/1.0\r\n\r\n")
        answered = b""
        while data := await stream.receive_some():
            answered += data
    assert answered.startswith(b"HTTP/1.1 200")


async def test_a_body_that_does_not_arrive(served, monkeypatch):
    from reference_engine.supervisor.gateway import responder  # noqa: PLC0415

    monkeypatch.setattr(responder, "BODY_S", 0.01)
    async with await trio.open_tcp_stream(*served().address) as stream:
        await stream.send_all(b"PUT /calls/x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab")
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 408")
