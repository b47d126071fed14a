"""The life of a call in Asterisk as tables: what happened in, requests out; captures of a real one are replayed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from voicepipe.transports.asterisk_ari.call_flow import JOIN_ATTEMPTS, CallFlow
from voicepipe.transports.asterisk_ari.call_wishes import (
    Begin,
    Connect,
    Dial,
    GiveUp,
    Leave,
    MediaConnected,
    Replied,
    Transfer,
)
from voicepipe.transports.asterisk_ari.caller_info import info_of
from voicepipe.transports.asterisk_ari.events import (
    AriChannel,
    ChannelEnded,
    DialProgressed,
    EnteredStasis,
    HangupRequested,
    KeyReceived,
    Replaced,
    parse_event,
    reason_of,
)
from voicepipe.transports.asterisk_ari.keys import TWIN_S, TwinKeys
from voicepipe.transports.asterisk_ari.options import (
    AsteriskAriOptions,
    check_options,
    dial_string_for,
    dial_string_of_program,
)
from voicepipe.transports.asterisk_ari.requests import AriRequest, PartNames, call_and_part
from voicepipe.transports.asterisk_ari.state import Pair, compare

CAPTURES = sorted((Path(__file__).parents[1] / "data/asterisk/ari").glob("*.jsonl"))
CALL = "0123456789abcdef0123456789abcdef"
MEDIA, TARGET, BRIDGE = (f"app-{CALL}-{part}" for part in ("media", "target1", "bridge"))
CALLED = f"app-{CALL}-caller"
MAKE_MEDIA = AriRequest("media", "POST", "/channels/externalMedia", {"app": "app"})


def entered(channel):
    return EnteredStasis(AriChannel(channel))


def ok(step):
    return Replied(step, 204)


def no(step, status=500, message="no"):
    return Replied(step, status, message)


class Story:
    """A call that is told events one after the other, and the requests that followed."""

    def __init__(self, caller="caller", **options):
        self.flow = CallFlow(PartNames("app", CALL, caller), MAKE_MEDIA, **options)

    def tell(self, *events):
        return [self.written(request) for event in events for request in self.flow.take(event)]

    @staticmethod
    def written(request):
        """`POST caller/ring`, with the IDs of the call by their parts."""
        text = f"{request.method} {request.path}".replace("/channels/", "").replace("/bridges/", "")
        if query := {name: value for name, value in request.query.items() if name in {"channel", "channelId", "value"}}:
            text += f" {','.join(query.values())}"
        for name, part in ((MEDIA, "media"), (TARGET, "target"), (BRIDGE, "bridge"), (CALLED, "caller")):
            text = text.replace(name, part)
        return text


SET_UP = (
    Begin(),
    ok("answer"),
    ok("media"),
    entered(MEDIA),
    MediaConnected(),
    ok("bridge"),
    ok("join"),
)


def up(*events, **options):
    story = Story(**options)
    story.tell(*SET_UP, *events)
    return story


WAY_UP = [
    (Begin(), ["POST caller/answer"], "answering"),
    (ok("answer"), ["POST externalMedia media"], "opening"),
    (entered(MEDIA), [], "opening"),
    (ok("media"), [], "opening"),
    (MediaConnected(), ["POST bridge"], "bridging"),
    (ok("bridge"), ["POST bridge/addChannel caller,media"], "joining"),
    (no("join", 422), ["POST bridge/addChannel caller,media"], "joining"),
    (ok("join"), [], "up"),
]


def test_the_way_up():
    story = Story()
    for event, requests, state in WAY_UP:
        assert (story.tell(event), story.flow.state) == (requests, state), event
    assert story.flow.made == {MEDIA: "media", BRIDGE: "bridge"}


@pytest.mark.parametrize(
    "order",
    [
        (ok("media"), entered(MEDIA), MediaConnected()),
        (entered(MEDIA), MediaConnected(), ok("media")),
        (MediaConnected(), ok("media"), entered(MEDIA)),
    ],
)
def test_the_media_channels_reply_event_and_audio_come_in_any_order(order):
    story = Story()
    story.tell(Begin(), ok("answer"))
    assert [story.tell(event) for event in order] == [[], [], ["POST bridge"]]


def test_a_call_that_the_agent_makes():
    story = Story(caller="")
    assert story.tell(Dial("Local/1@out")) == ["POST /channels caller"]
    assert story.tell(ok("call"), DialProgressed(CALLED, "RINGING")) == []
    assert story.tell(entered(CALLED)) == ["POST externalMedia media"]
    assert story.tell(Leave(to_dialplan=True)) == ["DELETE caller", "DELETE media"], "it has no dialplan to go on in"


HANGS_UP = [HangupRequested("caller", 16), ChannelEnded("caller")]
ENDS = {
    "the caller": (HANGS_UP, []),
    "we": ([Leave()], ["DELETE caller"]),
    "we, to the dialplan": (
        [Leave(to_dialplan=True, status="ENDED")],
        ["POST caller/variable ENDED", "POST caller/continue"],
    ),
}


@pytest.mark.parametrize("steps", range(1, len(SET_UP) + 1))
@pytest.mark.parametrize("end", ENDS)
def test_a_call_that_ends_at_any_step_deletes_what_it_has_asked_for(steps, end):
    story = Story()
    asked_for = story.tell(*SET_UP[:steps])
    events, first = ENDS[end]
    made = ["DELETE media"] * any("externalMedia" in request for request in asked_for)
    made += ["DELETE bridge"] * any(request == "POST bridge" for request in asked_for)
    assert story.tell(*events) == [*first, *made]
    assert story.flow.is_over
    assert story.tell(*SET_UP[steps:], Transfer("Local/1@x"), *HANGS_UP, Leave()) == [], "nothing is made any more"
    story.tell(*(ok("delete x") for _ in range(3)))
    assert story.flow.state == "gone"


FAILURES = [
    ((Begin(), no("answer", 412, "invalid state")), "the call could not be answered: HTTP 412, invalid state"),
    (
        (*SET_UP[:2], no("media", 400, "format cannot be empty")),
        "Asterisk could not open the external media channel: HTTP 400, format cannot be empty",
    ),
    ((*SET_UP[:5], no("bridge", 500, "")), "Asterisk could not make a bridge: HTTP 500, without a message"),
    (
        (*SET_UP[:6], no("join", 409, "Bridge not in Stasis application")),
        "Asterisk could not join the caller and the media channel: HTTP 409, Bridge not in Stasis application",
    ),
    ((*SET_UP[:2], no("media", 0, "ARI did not answer")), "Asterisk could not open the external media channel: "),
    ((*SET_UP[:6], *[no("join", 422)] * (JOIN_ATTEMPTS + 1)), "Asterisk could not join the caller"),
    ((*SET_UP, HangupRequested(MEDIA, 38), ChannelEnded(MEDIA)), "the media channel ended (cause 38)"),
]


@pytest.mark.parametrize(("events", "failure"), FAILURES)
def test_a_step_that_fails_gives_the_caller_back_to_the_dialplan(events, failure):
    story = Story()
    requests = story.tell(*events)
    assert "POST caller/continue" in requests
    assert "POST caller/variable FAILED" in requests
    assert story.flow.failure.startswith(failure)


def test_the_media_channels_end_is_no_failure_when_we_have_closed_the_audio():
    story = up()
    story.flow.expect_media_end()
    assert story.tell(ChannelEnded(MEDIA, 16)) == []
    assert story.tell(Leave()) == ["DELETE caller", "DELETE bridge"]


RINGING = Transfer("Local/200@transfers")
CONSULTING = Transfer("Local/200@transfers", consult=True)
TRANSFERS = [
    ("it rings", [RINGING], ["POST caller/ring", "POST /channels target"], "ringing"),
    (
        "it is answered",
        [RINGING, entered(TARGET)],
        ["POST caller/ring", "POST /channels target", "DELETE caller/ring", "POST bridge/addChannel target"],
        "connecting",
    ),
    (
        "it is connected",
        [RINGING, entered(TARGET), ok("join target")],
        [
            "POST caller/ring",
            "POST /channels target",
            "DELETE caller/ring",
            "POST bridge/addChannel target",
            "DELETE media",
        ],
        "connected",
    ),
    (
        "it is refused",
        [RINGING, no("call target", 500, "Allocation failed")],
        ["POST caller/ring", "POST /channels target", "DELETE caller/ring", "DELETE target"],
        "up",
    ),
    (
        "the agent gives up",
        [RINGING, GiveUp("enough")],
        ["POST caller/ring", "POST /channels target", "DELETE caller/ring", "DELETE target"],
        "up",
    ),
    (
        "the caller hangs up",
        [RINGING, *HANGS_UP],
        ["POST caller/ring", "POST /channels target", "DELETE media", "DELETE bridge", "DELETE target"],
        "leaving",
    ),
    (
        "music",
        [Transfer("Local/1@x", sound="music"), ChannelEnded(TARGET, 17)],
        ["POST caller/moh", "POST /channels target", "DELETE caller/moh", "DELETE target"],
        "up",
    ),
    (
        "the agent is heard",
        [Transfer("Local/1@x", sound="agent"), ChannelEnded(TARGET, 17)],
        ["POST /channels target", "DELETE target"],
        "up",
    ),
    (
        "the caller can't be put on hold, and must not hear what the agent tells the target",
        [CONSULTING, entered(TARGET), no("hold caller", 422)],
        [
            "POST caller/ring",
            "POST /channels target",
            "DELETE caller/ring",
            "POST bridge/removeChannel caller",
            "POST caller/moh",
            "POST bridge/addChannel target",
            "DELETE target",
            "DELETE caller/moh",
            "POST bridge/addChannel caller",
        ],
        "up",
    ),
    (
        "the agent speaks with the target",
        [CONSULTING, entered(TARGET)],
        [
            "POST caller/ring",
            "POST /channels target",
            "DELETE caller/ring",
            "POST bridge/removeChannel caller",
            "POST caller/moh",
            "POST bridge/addChannel target",
        ],
        "consulting",
    ),
]


@pytest.mark.parametrize(("events", "requests", "state"), [row[1:] for row in TRANSFERS], ids=[r[0] for r in TRANSFERS])
def test_transfers(events, requests, state):
    story = up()
    assert story.tell(*events) == requests
    assert story.flow.state == state


AFTER_CONSULTING = [
    (
        [GiveUp("no"), no("caller is back", 500)],
        [
            "DELETE target",
            "DELETE caller/moh",
            "POST bridge/addChannel caller",
            "POST caller/variable FAILED",
            "POST caller/continue",
            "DELETE media",
            "DELETE bridge",
        ],
        "leaving",
    ),
    ([Connect()], ["DELETE caller/moh", "POST bridge/addChannel caller"], "connecting"),
    ([GiveUp("no")], ["DELETE target", "DELETE caller/moh", "POST bridge/addChannel caller"], "up"),
    ([ChannelEnded(TARGET, 16)], ["DELETE target", "DELETE caller/moh", "POST bridge/addChannel caller"], "up"),
    ([ChannelEnded("caller", 16)], ["DELETE media", "DELETE bridge", "DELETE target"], "leaving"),
    (
        [Connect(), ok("join caller")],
        ["DELETE caller/moh", "POST bridge/addChannel caller", "DELETE media"],
        "connected",
    ),
]


@pytest.mark.parametrize(("events", "requests", "state"), AFTER_CONSULTING)
def test_consultations(events, requests, state):
    story = up(CONSULTING, entered(TARGET), ok("consult"))
    assert story.tell(*events) == requests
    assert story.flow.state == state


@pytest.mark.parametrize(
    ("event", "hang_up_caller", "requests"),
    [
        (ChannelEnded("caller", 16), True, ["DELETE bridge", "DELETE target"]),
        (ChannelEnded(TARGET, 16), True, ["DELETE caller", "DELETE bridge"]),
        (ChannelEnded(TARGET, 16), False, ["POST caller/continue", "DELETE bridge"]),
        (ChannelEnded(MEDIA, 16), True, []),
    ],
)
def test_a_connected_transfer_ends_with_either_side(event, hang_up_caller, requests):
    story = up(RINGING, entered(TARGET), ok("join target"), hang_up_caller=hang_up_caller)
    assert story.tell(event) == requests


REASONS = [
    ("BUSY", 17, "busy"),
    ("", 17, "busy"),
    ("NOANSWER", 0, "no answer"),
    ("RINGING", 16, "no answer"),
    ("RINGING", 0, "no answer"),
    ("", 21, "rejected"),
    ("CONGESTION", 34, "congestion"),
    ("CHANUNAVAIL", 20, "unavailable"),
    ("", 1, "no such number"),
    ("", 0, "failed"),
    ("ANSWER", 127, "failed"),
]


@pytest.mark.parametrize(("status", "cause", "reason"), REASONS)
def test_why_nobody_took_a_transfer(status, cause, reason):
    assert reason_of(status, cause) == reason
    story = up(RINGING, DialProgressed(TARGET, "RINGING" if status == "BUSY" else status))
    story.tell(DialProgressed(TARGET, status), ChannelEnded(TARGET, cause))
    assert story.flow.transfer_failure == reason


# --- Captures ---------------------------------------------------------------------------------------------------------


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_events_of_the_captures():
    kinds = {}
    for path in CAPTURES:
        for line in lines_of(path):
            if line["kind"] == "event":
                event = parse_event(json.dumps(line["event"]))
                kinds.setdefault(line["event"]["type"], set()).add(type(event).__name__)
    assert kinds == {
        "BridgeDestroyed": {"NoneType"},
        "ChannelConnectedLine": {"NoneType"},
        "ChannelDestroyed": {"ChannelEnded"},
        "ChannelEnteredBridge": {"NoneType"},
        "ChannelHangupRequest": {"HangupRequested"},
        "ChannelLeftBridge": {"NoneType"},
        "ChannelStateChange": {"NoneType"},
        "ChannelVarset": {"NoneType"},
        "Dial": {"DialProgressed"},
        "StasisEnd": {"ChannelEnded"},
        "StasisStart": {"EnteredStasis"},
    }


@pytest.mark.parametrize("name", ["ari_extmedia_ws_client_ulaw", "ari_extmedia_audiosocket_slin"])
def test_a_captured_call_makes_the_requests_that_were_captured(name):
    """The program that was captured chose no IDs, and did not answer: its phone was up already."""
    (path,) = [path for path in CAPTURES if path.name.startswith(name)]
    lines = lines_of(path)
    replies = [line for line in lines if line["kind"] == "rest"]
    caller = lines[1]["event"]["channel"]["id"]
    media = next(line["response"]["id"] for line in replies if line["path"].endswith("externalMedia"))
    bridge = next(line["response"]["id"] for line in replies if line["path"] == "/ari/bridges")
    story = Story(caller=caller)
    requests = story.tell(Begin(), ok("answer"))
    asked = ["POST caller/answer"]
    for line in lines:
        if line["kind"] == "event":
            text = json.dumps(line["event"]).replace(media, MEDIA).replace(bridge, BRIDGE)
            if (event := parse_event(text)) is not None and not isinstance(event, KeyReceived):
                requests += story.tell(event)
        elif line["kind"] == "rest" and line["method"] == "POST":
            step = {"externalMedia": "media", "bridges": "bridge", "addChannel": "join"}[line["path"].split("/")[-1]]
            requests += story.tell(Replied(step, line["status"]))
            asked.append(step)
            if step == "media":
                requests += story.tell(MediaConnected())
    assert [text.replace(caller, "caller") for text in requests[:4]] == [
        "POST caller/answer",
        "POST externalMedia media",
        "POST bridge",
        "POST bridge/addChannel caller,media",
    ]
    assert story.flow.is_over
    assert {request.replace(caller, "caller") for request in requests[4:]} >= {"DELETE bridge"}


def test_errors_of_the_captures_are_quoted():
    (path,) = [path for path in CAPTURES if "errors" in path.name]
    refusals = [
        (line["status"], line["response"]["message"])
        for line in lines_of(path)
        if line["kind"] == "rest" and line["status"] >= 400
    ]
    assert len(refusals) == 7
    for status, message in refusals:
        story = Story()
        story.tell(Begin(), ok("answer"), Replied("media", status, message))
        assert message in story.flow.failure


# --- Events, names, options -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "[]", "{", "7", "{}", '{"type": 7}'])
def test_what_is_no_event(text):
    with pytest.raises(ValueError, match=r".*"):
        parse_event(text)


@pytest.mark.parametrize(
    ("text", "event"),
    [
        ('{"type": "StasisStart"}', None),
        ('{"type": "StasisEnd", "channel": {"id": 7}}', None),
        ('{"type": "Dial", "peer": "x"}', None),
        ('{"type": "ApplicationReplaced", "application": "a"}', Replaced("a")),
        ('{"type": "ChannelDestroyed", "channel": {"id": "c"}, "cause": "x"}', ChannelEnded("c")),
        ('{"type": "ChannelHangupRequest", "channel": {"id": "c"}, "cause": 16}', HangupRequested("c", 16)),
        ('{"type": "ChannelHangupRequest", "channel": {"id": "c"}, "cause": 32, "soft": true}', HangupRequested("c")),
        ('{"type": "StasisStart", "channel": {"id": "c", "caller": 1}, "args": "x"}', EnteredStasis(AriChannel("c"))),
        ('{"type": "ChannelDtmfReceived", "channel": {"id": "c"}, "digit": "#"}', KeyReceived("c", "#")),
    ],
)
def test_odd_events(text, event):
    assert parse_event(text) == event


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (MEDIA, (CALL, "media")),
        (f"{TARGET};2", (CALL, "target")),
        (BRIDGE, (CALL, "bridge")),
        ("1764500000.1", None),
        (f"other-{CALL}-media", None),
        (f"app-{CALL[:-1]}-media", None),
        (f"app-{CALL}-mediator", None),
    ],
)
def test_names_are_recognised(name, found):
    assert call_and_part("app", name) == found


@pytest.mark.parametrize(
    ("target", "dialled"),
    [("200", "Local/200@x"), ("+49 (30) 1234-5", "Local/+49301234-5@x"), ("a&b/c@d", "Local/abcd@x"), ("@&/", "")],
)
def test_targets(target, dialled):
    assert dial_string_for("Local/{target}@x", target) == dialled


@pytest.mark.parametrize(
    ("target", "transfer", "dial"),
    [
        ("PJSIP/200", "PJSIP/200", "PJSIP/200"),
        ("PJSIP/+49 30@trunk&PJSIP/9", "PJSIP/+4930@trunkPJSIP/9", "PJSIP/+4930@trunkPJSIP/9"),
        ("Local/200@office", "Local/200@office/n", "Local/200@office/n"),
        ("Local/200@office/n", "Local/200@office/n", "Local/200@office/n"),
        ("200", "", "Local/200@out/n"),
        ("/200", "", ""),
        ("PJSIP/", "", ""),
    ],
)
def test_dial_strings(target, transfer, dial):
    assert dial_string_for("{target}", target) == transfer
    assert dial_string_of_program("Local/{target}@out/n", target) == dial


def test_arguments_are_variables():
    channel = AriChannel("1.1", number="1555", extension="1666", variables={"DID": "9"})
    info = info_of(channel, ["called=1777", "a=1", "", "x=y=z"], {"DID": "8"}, "line")
    assert (info.called, info.caller) == ("1777", "1555")
    assert dict(info.variables) == {"DID": "8", "a": "1", "3": "", "x": "y=z"}


def test_twins_of_keys():
    keys = TwinKeys()
    steps = [
        ("ari", "1", 0.0, True),
        ("media", "1", 0.1, False),
        ("media", "1", 0.2, True),  # pressed twice
        ("ari", "1", 0.3, False),
        ("media", "2", 1.0, True),
        ("media", "2", 1.1, True),
        ("ari", "3", 1.2, True),
        ("ari", "2", 1.3, False),
        ("ari", "2", 1.1 + TWIN_S + 0.1, True),  # too late for a twin
    ]
    assert [keys.is_new(source, digit, at) for source, digit, at, _ in steps] == [new for *_, new in steps]


@pytest.mark.parametrize(
    ("changes", "paths"),
    [
        ({}, []),
        ({"url": "ws://x/ari"}, ["url"]),
        ({"url": "http://user:secret@x/ari"}, ["url"]),
        ({"app": "a b"}, ["app"]),
        ({"username": "a:b"}, ["username"]),
        ({"media": "audiosocket", "format": "ulaw"}, ["format"]),
        ({"media": "audiosocket", "format": "slin16"}, []),
        ({"transfer": "200"}, ["transfer"]),
        ({"transfer": "Local/{target}@a&Local/{target}@b"}, ["transfer"]),
        ({"dial": "{target}", "transfer": "{target}"}, []),
        ({"dial": "target"}, ["dial"]),
        ({"dial": "Local/{target}@outbound"}, ["dial"]),
        ({"dial": "PJSIP/{target}@trunk", "transfer": "Local/{target}@x/n"}, []),
        ({"media": "audiosocket", "host": "0.0.0.0"}, ["media_address"]),
        ({"media": "audiosocket", "host": "::", "media_address": "engine:9095"}, []),
        ({"media_username": "u"}, ["media_username"]),
        ({"media_username": "u", "media_password": "12345678"}, []),
    ],
)
def test_options_are_checked(changes, paths):
    options = AsteriskAriOptions(**{"url": "http://x/ari", "username": "u", "password": "p"} | changes)
    assert [problem.path for problem in check_options(options)] == paths
    assert "secret" not in "".join(map(str, check_options(options)))


# --- The state after a loss -------------------------------------------------------------------------------------------


def channel(name, app="app", bridge=""):
    return {"id": name, "dialplan": {"app_name": "Stasis", "app_data": f"{app},x"}, "bridge": bridge}


OTHER = "f" * 32


def test_the_state_is_compared():
    channels = [
        channel("up.1"),
        channel(MEDIA),
        channel("new.1"),
        channel("stranger.1", app="other"),
        {"id": "dialplan.1", "dialplan": {"app_name": "Dial", "app_data": "app"}},
        channel(f"app-{OTHER}-media"),
        "rubbish",
        {},
    ]
    bridges = [{"id": BRIDGE, "channels": []}, {"id": f"app-{OTHER}-bridge", "channels": []}, {"id": "x"}, {}, 7]
    live = {CALL: {"up.1", MEDIA, TARGET, "young.1"}}
    difference = compare("app", channels, bridges, live, {"up.1", MEDIA, TARGET})
    assert difference.gone == (TARGET,)
    assert {found.id for found in difference.entered} == {"up.1", MEDIA}
    assert [found.id for found in difference.waiting] == ["new.1"]
    assert [request.path for request in difference.deletions] == [
        f"/channels/app-{OTHER}-media",
        f"/bridges/app-{OTHER}-bridge",
    ]
    assert difference.pairs == ()


def test_a_pair_is_spared():
    target = f"app-{OTHER}-target"
    bridges = [{"id": f"app-{OTHER}-bridge", "channels": ["c.1", target]}]
    difference = compare("app", [channel("c.1"), channel(target), channel(f"app-{OTHER}-media")], bridges, {}, ())
    assert difference.pairs == (Pair(OTHER, "c.1", target),)
    assert difference.waiting == ()
    assert [request.path for request in difference.deletions] == [f"/channels/app-{OTHER}-media"]


@pytest.mark.parametrize("answer", [None, {}, "x", 7])
def test_an_answer_that_is_no_list_is_nothing(answer):
    assert compare("app", answer, answer, {}, ()).deletions == ()
