"""At `max_calls` each listener refuses as its transport can: paused before a call begins, or one by one."""

from __future__ import annotations

import pytest

from reference_engine.calls.capacity import Capacity
from reference_engine.settings.settings import CurrentSettings, EngineSettings, ListenerSettings
from voicepipe import AudioSocketListener


class Silent:
    """A log and metrics that take everything."""

    def __getattr__(self, _name):
        return lambda *_args, **_kwargs: None


class OtherListener:
    """A listener of another transport."""

    def __init__(self):
        self.done = []

    def pause(self):
        self.done.append("pause")

    def resume(self):
        self.done.append("resume")


class Asterisk(OtherListener, AudioSocketListener):
    """A listener of AudioSocket that is not open."""

    __slots__ = ("done", "when_full")

    def __init__(self, when_full):
        self.done, self.when_full = [], when_full


@pytest.mark.parametrize(
    ("listener", "done"),
    [
        (OtherListener(), ["pause", "resume"]),
        (Asterisk("close_listener"), ["pause", "resume"]),
        (Asterisk("error"), []),
        (Asterisk("hang_up"), []),
    ],
)
async def test_a_full_engine_pauses_what_can_refuse_before_a_call_begins(listener, done):
    settings = EngineSettings(pipeline_sets={"main": "x"}, listeners=(ListenerSettings(set="main"),), max_calls=1)
    capacity = Capacity(CurrentSettings(settings), {"door": listener}, Silent(), Silent())
    assert not capacity.is_full
    async with capacity.admit_call() as admitted:
        assert admitted
        assert capacity.is_full
        assert listener.done == done[:1]
    assert listener.done == done
