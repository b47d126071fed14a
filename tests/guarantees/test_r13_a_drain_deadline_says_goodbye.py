"""R13: an optional drain deadline says goodbye in the call's own voice, then hangs up; the default is none."""

from __future__ import annotations

import trio
from engine_process import open_engine
from patience import LONG_S

from voicepipe.testing.audiosocket_caller import open_audiosocket_call


async def test_calls_on_an_older_version_and_only_those(home):
    engine_yaml = home / "engine.yaml"
    async with open_engine(home, file="engine.yaml") as engine:
        async with open_audiosocket_call(port=engine.ports["main"]) as old:
            old_id = await engine.id_of(old)
            await engine.logged("call.turn", call_id=old_id, said="Hello.")
            engine.edit("active_pipeline: default", "active_pipeline: night")
            assert (await engine.ask("POST", "/-/reload")).status_code == 200
            async with open_audiosocket_call(port=engine.ports["main"]) as new:
                new_id = await engine.id_of(new)
                await engine.logged("call.turn", call_id=new_id, said="Good night.")
                await trio.sleep(1.5)
                assert not old.hung_up.is_set()  # none is configured

                engine_yaml.write_text(engine_yaml.read_text() + "drain_deadline_s: 1\n")
                assert (await engine.ask("POST", "/-/reload")).json()["engine"]["plan"]["changed"] == [
                    "drain_deadline_s"
                ]
                with trio.fail_after(LONG_S):
                    await old.hung_up.wait()
                assert old.how == "0x00"
                assert (await engine.logged("call.turn", call_id=old_id, turn=2))["said"] == "Bye."
                assert (await engine.logged("call.ended", call_id=old_id))["outcome"] == "drained"
                await engine.logged("version.retired", set="main", version=1)
                assert not new.hung_up.is_set()
        assert (await engine.logged("call.ended", call_id=new_id))["outcome"] == "caller_hung_up"
