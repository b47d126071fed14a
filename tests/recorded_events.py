"""Events of calls as observers get them, and a store of records that gets them."""

from __future__ import annotations

from reference_engine.records.runs import EngineRun
from reference_engine.records.store import RecordStore
from reference_engine.settings.records_place import read_place
from voicepipe import CallBegan, CallEnded, CallInfo, ComponentLabel, ComponentUsage, ComponentUsed, TurnEnded


class Log:
    """Keeps what is logged."""

    def __init__(self):
        self.records = []

    def __getattr__(self, level):
        return lambda event, **fields: self.records.append({"level": level, "event": event, **fields})

    def named(self, event):
        """The records of an event."""
        return [record for record in self.records if record["event"] == event]


def began(call_id, **info):
    """A call's first event."""
    label = ComponentLabel("ears", "vosk", "en")
    return CallBegan(
        call_id=call_id,
        at_s=0.0,
        info=CallInfo(**{"caller": "+4930123", "called": "100", "listener": "main", **info}),
        set="main",
        version=1,
        digest="d1",
        pipeline="default",
        stt=label,
        llm=label,
        tts=label,
    )


def turn(call_id, number=1, heard="two tickets please", said="I see.", **fields):
    """A turn of it."""
    return TurnEnded(
        call_id=call_id,
        at_s=float(number),
        turn=number,
        trigger="utterance",
        heard=heard,
        said=said,
        **{"interrupted": False, "response_ms": 500.0 + number, **fields},
    )


def ended(call_id, turns=0, outcome="caller_hung_up", at_s=10.0, **fields):
    """Its last event."""
    return CallEnded(call_id=call_id, at_s=at_s, outcome=outcome, turns=turns, **fields)


def used(call_id, role="llm"):
    """What it used of a component."""
    usage = ComponentUsage(role=role, component="mind", adapter="openai", model="m", requests=1, reported=1)
    return ComponentUsed(call_id=call_id, at_s=10.0, usage=usage)


def whole_call(call_id, turns=2):
    """All events of a call."""
    parts = [turn(call_id, number) for number in range(1, turns + 1)]
    return [began(call_id), *parts, used(call_id), ended(call_id, turns)]


def record_store(url, spool, *, log=None, name="one", worker=None, **options):
    """A store of records, to be entered."""
    return RecordStore(
        read_place(url) if isinstance(url, str) else url,
        spool,
        EngineRun.of_this_process(name, worker),
        log=log or Log(),
        software="0.1",
        transport_of=lambda _listener: "audiosocket",
        **options,
    )
