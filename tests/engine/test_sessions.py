"""The store of what every call is doing."""

from __future__ import annotations

from reference_engine.reports.json_bodies import session_body
from reference_engine.reports.sessions import SessionStore
from voicepipe import CallBegan, CallEnded, CallInfo, ComponentLabel, ReplyStarted, SpeechDetected, TurnEnded

LABEL = ComponentLabel(name="any", adapter="any", model=None)


def began(call_id, version=1):
    return CallBegan(
        call_id=call_id,
        at_s=0.0,
        info=CallInfo(call_id=call_id, caller="+15550123", called="100"),
        set="main",
        version=version,
        digest="0" * 64,
        pipeline="default",
        stt=LABEL,
        llm=LABEL,
        tts=LABEL,
    )


def turn_ended(call_id, turn):
    return TurnEnded(
        call_id=call_id,
        at_s=3.0,
        turn=turn,
        trigger="utterance",
        heard="yes",
        said="Fine.",
        interrupted=False,
        response_ms=1.0,
    )


def test_it_follows_a_call_from_its_beginning_to_its_end():
    store = SessionStore()
    store.observe(began("a"))
    session = store.get("a")
    assert (session.state, session.turns, session.version, session.pipeline) == ("listening", 0, 1, "default")
    body = session_body(session)
    assert (body["caller"], body["called"]) == ("+15550123", "100")
    assert body["since"].endswith("+00:00")

    states = []
    for event in (
        ReplyStarted("a", 1.0, 1, None),
        SpeechDetected("a", 2.0, interrupts=True),
        turn_ended("a", 1),
        SpeechDetected("a", 4.0, interrupts=False),
    ):
        store.observe(event)
        states.append(store.get("a").state)
    assert states == ["speaking", "hearing", "listening", "hearing"]
    assert store.get("a").turns == 1
    assert session.turns == 0, "a session that was read stays as it was"

    store.observe(CallEnded("a", 5.0, "caller_hung_up", 1))
    assert store.get("a") is None
    store.observe(turn_ended("a", 2))
    assert len(store) == 0


def test_it_counts_calls_by_version():
    store = SessionStore()
    for call_id, version in (("a", 1), ("b", 2), ("c", 2)):
        store.observe(began(call_id, version))
    assert store.counts() == {("main", 1): 1, ("main", 2): 2}
    store.forget("b")
    store.forget("b")
    assert store.counts() == {("main", 1): 1, ("main", 2): 1}
    assert [session.call_id for session in store] == ["a", "c"]
