"""Who may come in to a media stream's listener, what instructions a carrier gets, and what its ticket says."""

from __future__ import annotations

import base64
import hmac
import json
import re
from pathlib import Path
from urllib.parse import urlencode, urlsplit
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicepipe.components.values import Secret
from voicepipe.transports.media_stream.dialects import DIALECTS
from voicepipe.transports.media_stream.listener import MediaStreamCalls
from voicepipe.transports.media_stream.options import MediaStreamOptions, check_options
from voicepipe.transports.media_stream.signatures import FORM
from voicepipe.transports.media_stream.tickets import LIFETIME_S, SPENT, Tickets, WebhookFacts
from voicepipe.transports.websocket_calls import HttpRequest, Upgrade

PUBLIC = "https://voice.example.com"
TOKEN = "a-token-of-enough-length"
SECRET = "the-auth-token"
FIELDS = {"From": "+4915112345", "To": "+4930999", "CallSid": "CA1", "CallStatus": "ringing"}
NOW = 1_700_000_000.0


def options_of(dialect="twilio", **options):
    options = {name: Secret(value) if name in {"token", "signing_secret"} else value for name, value in options.items()}
    return MediaStreamOptions(dialect=dialect, **{"public_url": PUBLIC, **options})


class Site:
    """A listener named `carrier`, without a socket."""

    def __init__(self, dialect="twilio", **options):
        self.now = NOW
        self.options = options_of(dialect, **options)
        assert list(check_options(self.options)) == []
        self.calls = MediaStreamCalls(self.options, "carrier", lambda: self.now)

    def webhook(self, target="/voice/carrier", form=None, headers=None, method="POST", body=b"", public=PUBLIC):
        """A request to the webhook; with `signed` among the headers, Twilio's signature over it."""
        headers = dict(headers or {})
        if form is not None:
            body, headers["content-type"] = urlencode(form).encode(), FORM
        if headers.pop("signed", ""):
            text = f"{public}{target}" + "".join(f"{name}{value}" for name, value in sorted((form or {}).items()))
            headers["x-twilio-signature"] = signature(text)
        return HttpRequest(**described(target, headers), method=method, body=body)

    def upgrade(self, url, headers=None, *, signed=False):
        parts = urlsplit(url)
        headers = {**(headers or {}), **({"x-twilio-signature": signature(url)} if signed else {})}
        return Upgrade(**described(parts.path + (f"?{parts.query}" if parts.query else ""), headers))

    def refused(self, request):
        """The status with which a request is refused; None if it may proceed."""
        answer = self.calls.authorise(request)
        return None if answer is None else answer.status

    def stream_url(self, request):
        """The WebSocket's URL in the instructions that a request gets."""
        assert self.refused(request) is None
        answer = self.calls.respond(request)
        assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
        return url_of(answer)

    def info(self, request):
        """What a call knows of itself before its start message."""
        return self.calls.transport(request, None)


def signature(text):
    return base64.b64encode(hmac.digest(SECRET.encode(), text.encode(), "sha1")).decode()


def described(target, headers):
    path, _, query = target.partition("?")
    parameters = dict(part.partition("=")[::2] for part in query.split("&") if part)
    return {"target": target, "path": path, "query": parameters, "headers": headers, "peer": "203.0.113.7:4"}


def url_of(answer):
    if answer.content_type == "application/json":
        return json.loads(answer.body)[0]["endpoint"][0]["uri"]
    (stream,) = ET.fromstring(answer.body).iter("Stream")
    return stream.get("url") or stream.text


# --- Instructions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "instructions"),
    [
        ({"dialect": "twilio"}, '<Response><Connect><Stream url="URL" /></Connect></Response>'),
        (
            {"dialect": "telnyx"},
            (
                '<Response><Connect><Stream url="URL" track="inbound_track" codec="PCMU" bidirectionalMode="rtp" '
                'bidirectionalCodec="PCMU" bidirectionalSamplingRate="8000" /></Connect></Response>'
            ),
        ),
        (
            {"dialect": "telnyx", "encoding": "linear"},
            (
                '<Response><Connect><Stream url="URL" track="inbound_track" codec="L16" bidirectionalMode="rtp" '
                'bidirectionalCodec="L16" bidirectionalSamplingRate="16000" /></Connect></Response>'
            ),
        ),
        (
            {"dialect": "plivo"},
            (
                '<Response><Stream bidirectional="true" keepCallAlive="true" contentType="audio/x-mulaw;rate=8000">URL'
                "</Stream></Response>"
            ),
        ),
        (
            {"dialect": "plivo", "rate": 16000},
            (
                '<Response><Stream bidirectional="true" keepCallAlive="true" contentType="audio/x-l16;rate=16000">URL'
                "</Stream></Response>"
            ),
        ),
        ({"dialect": "signalwire"}, '<Response><Connect><Stream url="URL" /></Connect></Response>'),
        (
            {"dialect": "signalwire", "encoding": "linear"},
            '<Response><Connect><Stream url="URL" codec="L16@16000h" /></Connect></Response>',
        ),
        (
            {"dialect": "vonage"},
            (
                '[{"action": "connect", "endpoint": [{"type": "websocket", "uri": "URL", "content-type": '
                '"audio/l16;rate=16000"}]}]'
            ),
        ),
    ],
)
def test_instructions(options, instructions):
    site = Site(**options, token=TOKEN)
    answer = site.calls.respond(site.webhook(f"/voice/carrier/{TOKEN}", FIELDS))
    text = answer.body.decode().partition("?>")[2].strip() or answer.body.decode()
    url = url_of(answer)
    assert url.startswith("wss://voice.example.com/stream/carrier/")
    assert len(url) < 2048
    assert text.replace(url, "URL") == instructions


@pytest.mark.parametrize("dialect", sorted(DIALECTS))
def test_the_reference_shows_these_instructions(dialect):
    page = (Path(__file__).parents[2] / "docs/reference/media-stream.md").read_text(encoding="utf-8")
    name = "SignalWire" if dialect == "signalwire" else dialect.capitalize()
    shown = re.search(rf"^{name}:\n\n```\w+\n(.*?)```", page, re.MULTILINE | re.DOTALL)[1]
    site = Site(dialect, token=TOKEN)
    answer = site.calls.respond(site.webhook(f"/voice/carrier/{TOKEN}", FIELDS))
    served = answer.body.decode().replace(url_of(answer), "wss://voice.example.com/stream/NAME/TICKET")
    if dialect == "vonage":
        assert json.loads(shown) == json.loads(served)
    else:
        assert ET.canonicalize(shown) == ET.canonicalize(served)


@pytest.mark.parametrize(
    ("dialect", "request_", "facts"),
    [
        (
            "twilio",
            {"form": {**FIELDS, "SipHeader_X-Account": "7"}},
            ("+4915112345", "+4930999", "CA1", {"X-Account": "7"}),
        ),
        (
            "twilio",
            {"method": "GET", "target": "/voice/carrier?From=%2B1&To=%2B2&CallSid=CA2&FromCity=Ulm&tenant=acme"},
            ("%2B1", "%2B2", "CA2", {"tenant": "acme"}),  # the tests' own query is not decoded
        ),
        (
            "plivo",
            {"form": {"From": "1", "To": "2", "CallUUID": "u", "X-PH-Lead": "9"}},
            ("1", "2", "u", {"Lead": "9"}),
        ),
        (
            "telnyx",
            {"form": FIELDS, "target": "/voice/carrier?tenant=acme"},
            ("+4915112345", "+4930999", "CA1", {"tenant": "acme"}),
        ),
        (
            "vonage",
            {"body": b'{"from":"1","to":"2","uuid":"u","conversation_uuid":"C","SipHeader_X-A":"b"}'},
            ("1", "2", "u", {"X-A": "b"}),
        ),
        (
            "vonage",
            {"method": "GET", "target": "/voice/carrier?from=1&to=2&uuid=u&conversation_uuid=C&tenant=acme"},
            ("1", "2", "u", {"tenant": "acme"}),
        ),
        ("vonage", {"body": b"[1"}, ("", "", "", {})),
        ("vonage", {"body": b'{"from": {"a": 1}, "to": null}'}, ('{"a":1}', "", "", {})),
        ("twilio", {}, ("", "", "", {})),
    ],
)
def test_the_webhook_says_who_calls(dialect, request_, facts):
    site = Site(dialect, token=TOKEN)
    request = site.webhook(**{"headers": {"authorization": f"Bearer {TOKEN}"}, **request_})
    url = site.stream_url(request)
    ticket = url.rpartition("/")[2]
    assert site.calls._tickets.read(ticket, NOW) == WebhookFacts(*facts)


def test_a_ticket_stays_short():
    site = Site(token=TOKEN)
    many = {f"SipHeader_X-{number}": "x" * 200 for number in range(60)}
    url = site.stream_url(site.webhook(f"/voice/carrier/{TOKEN}", {**FIELDS, **many}))
    assert len(url) < 2048
    facts = site.calls._tickets.read(url.rpartition("/")[2], NOW)
    assert (facts.caller, len(facts.variables)) == ("+4915112345", 5)


def test_a_proxys_path_is_in_the_public_url():
    for path in ("/phone/voice/carrier", "/voice/carrier"):  # a proxy may leave it, or take it off
        site = Site(public_url=f"{PUBLIC}/phone/", signing_secret=SECRET)
        request = site.webhook(path, FIELDS, {"signed": "yes"}, public=f"{PUBLIC}/phone" if path[1] == "v" else PUBLIC)
        url = site.stream_url(request)
        assert url.startswith("wss://voice.example.com/phone/stream/carrier/")
        assert site.refused(site.upgrade(url, signed=True)) is None


# --- Access -----------------------------------------------------------------------------------------------------------


def test_twilios_signature_decides():
    site = Site(signing_secret=SECRET)
    assert site.refused(site.webhook(form=FIELDS)) == 403
    assert site.refused(site.webhook(form=FIELDS, headers={"x-twilio-signature": "AAAA"})) == 403
    url = site.stream_url(site.webhook(form=FIELDS, headers={"signed": "yes"}))
    assert site.refused(site.upgrade(url)) == 403  # a ticket is not enough where the carrier signs
    assert site.refused(site.upgrade(url + "x", signed=False)) == 403
    assert site.refused(site.upgrade(url, signed=True)) is None
    assert site.refused(site.upgrade("wss://voice.example.com/stream/carrier", signed=True)) is None  # own TwiML
    other = MediaStreamCalls(options_of(signing_secret="another-secret"), "carrier", lambda: NOW)
    assert other.authorise(site.upgrade(url, signed=True)).status == 403


def test_a_signature_is_needed_although_there_is_a_token():
    site = Site(signing_secret=SECRET, token=TOKEN)
    assert site.refused(site.webhook(f"/voice/carrier/{TOKEN}", FIELDS)) == 403
    assert site.refused(site.upgrade(f"wss://voice.example.com/stream/carrier/{TOKEN}")) == 403


def test_carriers_that_do_not_sign_websockets_bring_a_ticket():
    site = Site("signalwire", signing_secret=SECRET)
    url = site.stream_url(site.webhook(form=FIELDS, headers={"signed": "yes"}))
    assert site.refused(site.upgrade(url)) is None
    for changed in (
        url[:-1] + ("A" if url[-1] != "A" else "B"),
        url + "A",
        url.rpartition("/")[0],
        url.replace(".", "", 3),
    ):
        assert site.refused(site.upgrade(changed)) == 403
    site.now += LIFETIME_S + 1
    assert site.refused(site.upgrade(url)) == 403


def test_a_ticket_is_good_for_one_call_of_this_listener():
    site = Site("signalwire", signing_secret=SECRET)
    url = site.stream_url(site.webhook(form=FIELDS, headers={"signed": "yes"}))
    request = site.upgrade(url)
    other = MediaStreamCalls(site.options, "other", lambda: NOW)
    assert other.authorise(site.upgrade(url.replace("carrier", "other"))).status == 403
    first, second = site.info(request), site.info(request)  # both had been let in before one was a call
    assert first._facts == WebhookFacts("+4915112345", "+4930999", "CA1")
    assert second._facts is None
    assert second._delivery.is_over
    assert site.refused(request) == 403


@pytest.mark.parametrize("where", ["path", "query", "bearer", "telnyx"])
def test_a_token_may_be_anywhere(where):
    site = Site("telnyx", token=TOKEN)

    def request(kind, token):
        target = {"path": f"/{kind}/carrier/{token}", "query": f"/{kind}/carrier?token={token}"}.get(
            where, f"/{kind}/carrier"
        )
        headers = {"bearer": {"authorization": f"Bearer {token}"}, "telnyx": {"x-telnyx-streaming-auth-token": token}}
        if kind == "voice":
            return site.webhook(target, FIELDS, headers.get(where))
        return site.upgrade(PUBLIC + target, headers.get(where))

    for kind in ("voice", "stream"):
        assert site.refused(request(kind, TOKEN)) is None
        for wrong in ("", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "ä"):
            assert site.refused(request(kind, wrong)) == 403


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (("webhook", "/"), 404),
        (("webhook", "/voice"), 404),
        (("webhook", "/voice/other"), 404),
        (("webhook", "//voice/carrier"), 404),
        (("webhook", f"/voice/other/{TOKEN}"), 404),
        (("webhook", f"/stream/carrier/{TOKEN}"), 426),
        (("upgrade", f"{PUBLIC}/voice/carrier/{TOKEN}"), 404),
        (("upgrade", f"{PUBLIC}/stream/other/{TOKEN}"), 404),
        (("upgrade", f"{PUBLIC}/stream/carrier/{TOKEN}/x"), 403),
        (("upgrade", f"{PUBLIC}/metrics"), 404),
    ],
)
def test_other_paths(request_, status):
    site = Site(token=TOKEN)
    method, target = request_
    assert site.refused(getattr(site, method)(target)) == status


@given(st.text(max_size=60), st.text(max_size=60), st.booleans())
def test_strangers_are_refused(rest, header, is_webhook):
    site = Site("vonage", signing_secret=SECRET + "-long", token=TOKEN)
    headers = {"authorization": header, "x-telnyx-streaming-auth-token": header}
    if is_webhook:
        assert site.refused(HttpRequest(**described(f"/voice/carrier/{rest}", headers), method="POST")) == 403
    else:
        assert site.refused(Upgrade(**described(f"/stream/carrier/{rest}", headers))) == 403


def test_reports_are_taken():
    site = Site(signing_secret=SECRET)
    signed = site.webhook("/status/carrier", FIELDS, {"signed": "yes"})
    assert site.refused(signed) is None
    assert site.calls.respond(signed).status == 204
    assert site.refused(site.webhook("/status/carrier", FIELDS)) == 403
    assert site.refused(site.upgrade(f"{PUBLIC}/status/carrier", signed=True)) == 404


def test_tickets_that_were_used_are_remembered_within_limits():
    tickets = Tickets("secret", "carrier")
    issued = [tickets.issue(WebhookFacts(), NOW) for _ in range(3)]
    assert [tickets.spend(ticket, NOW) for ticket in issued] == [WebhookFacts()] * 3
    assert [tickets.spend(ticket, NOW) for ticket in issued] == [None] * 3
    tickets._spent.update((f"n{number}", NOW + 60) for number in range(SPENT))
    assert tickets.spend(tickets.issue(WebhookFacts(), NOW), NOW) == WebhookFacts()
    assert len(tickets._spent) <= SPENT
    assert tickets.spend(tickets.issue(WebhookFacts(), NOW + 100), NOW + 100) == WebhookFacts()
    assert len(tickets._spent) == 1 + 1  # those that have expired are forgotten, up to the first that has not


def test_a_ticket_of_another_version_is_none():
    tickets = Tickets("secret", "carrier")
    payload = json.dumps([int(NOW) + 60, "nonce", "only a caller"]).encode()
    parts = (payload, tickets._sign(payload))
    ticket = ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)
    assert tickets.read(ticket, NOW) is None


# --- Options ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "path", "message"),
    [
        ({"token": TOKEN, "public_url": "voice.example.com"}, "public_url", "is no URL of this listener"),
        ({"token": TOKEN, "public_url": "wss://voice.example.com"}, "public_url", "is no URL of this listener"),
        ({"token": TOKEN, "public_url": f"{PUBLIC}?a=1"}, "public_url", "is no URL of this listener"),
        ({"token": TOKEN, "public_url": "https://voice:port"}, "public_url", "is no URL of this listener"),
        ({"token": TOKEN, "public_url": "https://[::1"}, "public_url", "is no URL of this listener"),
        ({}, "signing_secret", "anybody could make calls"),
        ({"token": TOKEN, "encoding": "alaw"}, "encoding", "streams of twilio don't have that audio"),
        ({"token": TOKEN, "rate": 16000}, "rate", "streams of twilio don't have that audio"),
        ({"token": TOKEN, "dialect": "vonage", "encoding": "mulaw"}, "encoding", "streams of vonage don't have"),
        ({"token": TOKEN, "dialect": "plivo", "encoding": "mulaw", "rate": 16000}, "encoding", "streams of plivo"),
    ],
)
def test_faults_of_options(options, path, message):
    (problem,) = check_options(options_of(**options))
    assert problem.path == path
    assert message in problem.message
    assert problem.hint


def test_telnyxs_signature_needs_a_library(monkeypatch):
    monkeypatch.setattr("voicepipe.transports.media_stream.options.find_spec", lambda _name: None)
    (problem,) = check_options(options_of("telnyx", signing_secret="A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="))
    assert "pip install" in problem.hint
    assert list(check_options(options_of("telnyx", token=TOKEN))) == []
