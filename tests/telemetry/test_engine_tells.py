"""A real engine tells a receiver of webhooks and a collector of a call; a command tries webhooks."""

from __future__ import annotations

import json

import trio
from engine_process import open_engine, run_command
from patience import LONG_S
from telemetry_peers import open_receiver
from test_traces import attributes, decoded

from voicepipe.testing.audiosocket_caller import open_audiosocket_call

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
TRACE = "0af7651916cd43dd8448eb211c80319c"


def of_type(requests, event):
    return [body for body in (json.loads(body) for *_, body in requests) if body["type"] == event]


async def test_a_call_is_told_to_a_receiver_and_to_a_collector(home):
    with open_receiver() as ops, open_receiver() as collector:
        yaml = home / "engine.yaml"
        yaml.write_text(
            yaml.read_text()
            + f"notify_spool: webhooks.db\notel: {{endpoint: {collector.url!r}}}\n"
            + f"notify: [{{url: {ops.url!r}, events: [call.started, call.ended, reload.rejected], secret: {SECRET}}}]\n"
        )
        async with open_engine(home, file="engine.yaml") as engine:
            async with open_audiosocket_call(port=engine.ports["main"]) as caller:
                call_id = await engine.id_of(caller)
                await engine.logged("call.turn", call_id=call_id)
            await engine.logged("call.ended", call_id=call_id)
            engine.edit("pipelines:", "pipeline:")
            engine.hang_up()
            await engine.logged("reload.rejected")
            got = []
            with trio.fail_after(LONG_S):
                while not of_type(got, "reload.rejected"):
                    got.append(await trio.to_thread.run_sync(ops.next))
        (started,), (ended,) = of_type(got, "call.started"), of_type(got, "call.ended")
        assert started["data"]["call_id"] == ended["data"]["call_id"] == call_id
        assert ended["data"]["outcome"] == "caller_hung_up"
        assert "transcript" not in ended["data"]
        spans = [span for *_, body in collector.rest() for _, span in decoded(body)]
        (call,) = (span for span in spans if span.name == "call")
        assert attributes(call)["gen_ai.conversation.id"] == call_id
        assert call.trace_id.hex() == started["data"]["trace_id"] == ended["data"]["trace_id"]
        assert any(span.name.startswith("reload ") for span in spans), [span.name for span in spans]


async def test_webhooks_are_tried_by_a_command(home):
    with open_receiver() as ops, open_receiver() as broken:
        broken.status = 401
        targets = [
            {"name": name, "url": receiver.url, "events": ["call.ended"], "secret": SECRET}
            for name, receiver in (("ops", ops), ("broken", broken))
        ]
        yaml = home / "engine.yaml"
        yaml.write_text(yaml.read_text() + f"notify: {json.dumps(targets)}\n")
        told = await run_command("notify", "engine.yaml", home=home)
        assert (told.returncode, told.stdout.decode().splitlines()) == (
            1,
            ["ops: ok: HTTP 200", "broken: failed: HTTP 401"],
        )
        _, headers, body = ops.next()
        assert json.loads(body)["type"] == "test"
        assert headers["webhook-signature"].startswith("v1,")
        yaml.write_text(yaml.read_text().partition("notify:")[0])
        assert (await run_command("notify", "engine.yaml", home=home)).returncode == 1
