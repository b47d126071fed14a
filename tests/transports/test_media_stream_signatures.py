"""Carriers' signatures, held against published vectors and against what the carriers' own libraries compute."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from urllib.parse import urlencode

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from voicepipe.transports.media_stream.signatures import FORM, TOLERANCE_S, VERIFIERS, SignedRequest

NOW = 1_700_000_000.0
FIELDS = {"From": "+4915112345", "To": "4930999", "CallUUID": "u-1"}


def request_of(method, url, *, form=None, body=b"", content_type="", is_upgrade=False, **headers):
    """A request with headers, whose underscores are hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if form is not None:
        body, content_type = urlencode(form).encode(), FORM
    if content_type:
        named["content-type"] = content_type
    return SignedRequest(method, url, named, body, is_upgrade)


# --- Twilio -----------------------------------------------------------------------------------------------------------

# The example of Twilio's page on security, with the variants in the tests of Twilio's own libraries; token 12345.
EXAMPLE_URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
EXAMPLE_FORM = {
    "CallSid": "CA1234567890ABCDE",
    "Caller": "+14158675309",
    "Digits": "1234",
    "From": "+14158675309",
    "To": "+18005551212",
}
REPEATED = [("Sid", "CA123"), ("SidAccount", "AC123"), ("Digits", "5678"), ("Digits", "1234"), ("Digits", "1234")]
PORT = EXAMPLE_URL.replace(".com", ".com:1234")


@pytest.mark.parametrize(
    ("url", "form", "signature"),
    [
        (EXAMPLE_URL, EXAMPLE_FORM, "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
        (EXAMPLE_URL, REPEATED, "IK+Dwps556ElfBT0I3Rgjkr1wJU="),
        (PORT, EXAMPLE_FORM, "RSOYDt4T1cUTdK1PDd93/VVr8B8="),  # signed without the port
        (PORT.replace("https", "http"), EXAMPLE_FORM, "Zmvh+3yNM1Phv2jhDCwEM3q5ebU="),  # signed with it
        (EXAMPLE_URL, EXAMPLE_FORM, "kvajT1Ptam85bY51eRf/AJRuM3w="),  # signed with the usual port
        (EXAMPLE_URL.replace("https", "http"), EXAMPLE_FORM, "0ZXoZLH/DfblKGATFgpif+LLRf4="),
        (EXAMPLE_URL.replace("//", "//user:pass@"), EXAMPLE_FORM, "CukzLTc1tT5dXEDIHm/tKBanW10="),
    ],
)
@pytest.mark.parametrize("header", ["x_twilio_signature", "x_signalwire_signature"])
def test_twilios_example(url, form, signature, header):
    carrier = header.split("_")[1]
    request = request_of("POST", url, form=form, **{header: signature})
    verify = VERIFIERS[carrier]
    assert verify(request, "12345", NOW)
    assert not verify(request, "12346", NOW)
    assert not verify(evolve(request, url=url + "&x=1"), "12345", NOW)
    assert not verify(evolve(request, url=url.replace("mycompany", "other")), "12345", NOW)
    assert not verify(evolve(request, body=request.body + b"&x=1"), "12345", NOW)
    assert not verify(evolve(request, headers={"content-type": FORM}), "12345", NOW)


def test_twilio_signs_the_request_for_the_websocket():
    url = "https://voice.example.com/stream/carrier/t.m"
    for signed in (
        url.replace("https", "wss"),
        url,
        url.replace("https", "wss") + "/",
        "wss" + url[5:].replace(".com", ".com:443"),
    ):
        signature = base64.b64encode(hmac.digest(b"12345", signed.encode(), "sha1")).decode()
        request = request_of("GET", url, is_upgrade=True, x_twilio_signature=signature)
        assert VERIFIERS["twilio"](request, "12345", NOW)
        assert not VERIFIERS["twilio"](evolve(request, url=url + "x"), "12345", NOW)
    # As Twilio's library for Python, 9.13, computes it.
    request = request_of("GET", url, is_upgrade=True, x_twilio_signature="liOISdPgtp56/z6fXZ/F0dXAM+0=")
    assert VERIFIERS["twilio"](request, "12345", NOW)
    assert not VERIFIERS["twilio"](evolve(request, is_upgrade=False), "12345", NOW)


def test_twilios_shared_keys_sign_with_another_hash():
    # As Twilio's library for Python, 9.13, computes both.
    signed = {
        "x_twilio_signature": "033hgUJA9M/hXIZsYjwkerEP/DBm35nEri5FhCYjA5s=",
        "x_twilio_webhooks_signature_settings": "key=k, algorithm=HMAC_SHA256",
    }
    request = request_of("POST", EXAMPLE_URL, form=EXAMPLE_FORM, **signed)
    verify = VERIFIERS["twilio"]
    assert verify(request, "12345", NOW)
    assert not verify(request, "12346", NOW)
    for settings in ("", "key=k", "algorithm=HMAC_SHA1", "algorithm=HMAC_MD5", "algorithm=", "algorithm"):
        other = {**request.headers, "x-twilio-webhooks-signature-settings": settings}
        assert not verify(evolve(request, headers=other), "12345", NOW)
    old = {"x_twilio_signature": "RSOYDt4T1cUTdK1PDd93/VVr8B8=", "x_twilio_webhooks_signature_settings": "key=k"}
    assert verify(request_of("POST", EXAMPLE_URL, form=EXAMPLE_FORM, **old), "12345", NOW)


def test_twilio_signs_the_hash_of_a_body_that_is_no_form():
    body = b'{"property": "value", "boolean": true}'
    digest = "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"
    url = f"{EXAMPLE_URL}&bodySHA256={digest}"
    signed = {"content_type": "application/json", "x_twilio_signature": "a9nBmqA0ju/hNViExpshrM61xv4="}
    assert VERIFIERS["twilio"](request_of("POST", url, body=body, **signed), "12345", NOW)
    assert not VERIFIERS["twilio"](request_of("POST", url, body=body + b" ", **signed), "12345", NOW)
    unsigned = base64.b64encode(hmac.digest(b"12345", EXAMPLE_URL.encode(), "sha1")).decode()
    request = request_of("POST", EXAMPLE_URL, body=body, content_type="application/json", x_twilio_signature=unsigned)
    assert not VERIFIERS["twilio"](request, "12345", NOW)  # the signature says nothing of the body


# --- Plivo ------------------------------------------------------------------------------------------------------------

# As Plivo's library for Python, 4.63, computes it, with the token MA_token.
NONCE = "05429567804466091622"
VOICE = "https://voice.example.com/voice/carrier"


@pytest.mark.parametrize(
    ("method", "url", "form", "signature"),
    [
        ("GET", VOICE, None, "OWv/1hGRHqMRV84cJuXAss0XvWf4ZqVyGIYrIb82Jz8="),
        ("GET", f"{VOICE}?b=2&a=x%20y&a=1", None, "GiMxD5t50Rk6vXIGMP4JH1qzrsK+l/xgZ9GWlnjhv0g="),
        ("POST", VOICE, FIELDS, "eZ8ThQW1S0+uNFVW03Df/wQQZgXVMmCWen/EHlfcPKA="),
        ("POST", f"{VOICE}?tenant=acme", FIELDS, "YxwQpDcljg56jfAnXNc+nE02bNrKPTV4/+7Zyiif4EE="),
        ("POST", f"{VOICE}?tenant=acme", {}, "FIF8nPUqkqU2zrfaFOeIlCJeQd+FJdR6VzJuPt5jbI8="),
        ("GET", "https://voice.example.com/stream/carrier/t.m", None, "yqz41PI7FtTI0t04CRb/5fudKQSz7XeTVTMlO/m09vk="),
    ],
)
def test_plivo(method, url, form, signature):
    verify = VERIFIERS["plivo"]
    signed = {"x_plivo_signature_v3_nonce": NONCE, "is_upgrade": "/stream/" in url}
    request = request_of(method, url, form=form, x_plivo_signature_v3=signature, **signed)
    assert verify(request, "MA_token", NOW)
    assert not verify(request, "MA_tokem", NOW)
    assert not verify(evolve(request, url=url.replace("voice.", "vice.")), "MA_token", NOW)
    assert not verify(evolve(request, headers={**request.headers, "x-plivo-signature-v3-nonce": "1"}), "MA_token", NOW)
    assert not verify(evolve(request, headers={}), "MA_token", NOW)
    several = request_of(method, url, form=form, x_plivo_signature_v3=f"AAAA, {signature}", **signed)
    assert verify(several, "MA_token", NOW)
    main_account = request_of(method, url, form=form, x_plivo_signature_ma_v3=signature, **signed)
    assert verify(main_account, "MA_token", NOW)
    unsigned = request_of(
        method, url, body=b"{}", content_type="application/json", x_plivo_signature_v3=signature, **signed
    )
    assert not verify(unsigned, "MA_token", NOW)


# --- Vonage -----------------------------------------------------------------------------------------------------------

SECRET = "signature-secret-of-thirty-two-by"
VONAGE_BODY = b'{"from":"4915112345","to":"4930999","uuid":"u-1"}'
# As PyJWT 2.15 makes it.
VONAGE_TOKEN = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpYXQiOjE3MDAwMDAwMDAsImp0aSI6ImoiLCJpc3MiOiJWb25hZ2UiLCJhcGlfa2V5IjoiayIsIn"
    "BheWxvYWRfaGFzaCI6IjUwYzNmYTc2OGQ3Njc5MmJkOTM5MmZkM2FlNTliMmY5MjVhYWY4OTk5MWVkNzUwMzk4MjQ0NWJlYWJmZWE4ZjcifQ."
    "zXL8pHJv2Fxtb5dZ2_GPLrACfdAGxxoTkkJoAW_uzUo"
)
HS512 = (
    "eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCJ9.eyJpYXQiOjE3MDAwMDAwMDB9.VEStqQbojscO1fK95Xp3xiqPWJgxC5pLuYXJvPVfDxvKZ16YGc82om"
    "pYjsHkrRjn2Dv67JhPs7sYG_OGAX6Qnw"
)
UNSIGNED = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJpYXQiOjE3MDAwMDAwMDB9."


def token_of(header, claims, secret=SECRET):
    def part(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    signed = b".".join(part(json.dumps(each).encode()) for each in (header, claims))
    return (signed + b"." + part(hmac.digest(secret.encode(), signed, "sha256"))).decode()


def vonage(token, body=VONAGE_BODY, scheme="Bearer"):
    return request_of("POST", VOICE, body=body, content_type="application/json", authorization=f"{scheme} {token}")


def test_vonage():
    verify = VERIFIERS["vonage"]
    assert verify(vonage(VONAGE_TOKEN), SECRET, NOW)
    assert verify(
        vonage(VONAGE_TOKEN, body=VONAGE_BODY.replace(b":", b": ")), SECRET, NOW
    )  # hashed without white space
    assert verify(vonage(VONAGE_TOKEN, body=b""), SECRET, NOW)  # a GET
    for when in (NOW + TOLERANCE_S + 1, NOW - TOLERANCE_S - 1):
        assert not verify(vonage(VONAGE_TOKEN), SECRET, when)
    assert not verify(vonage(VONAGE_TOKEN), SECRET + "x", NOW)
    assert not verify(vonage(VONAGE_TOKEN, body=VONAGE_BODY.replace(b"1", b"2")), SECRET, NOW)
    assert not verify(vonage(VONAGE_TOKEN, scheme="Basic"), SECRET, NOW)
    assert not verify(request_of("GET", VOICE), SECRET, NOW)


@pytest.mark.parametrize(
    "token",
    [
        HS512,
        UNSIGNED,
        UNSIGNED.replace("..", ".x."),
        "",
        "a.b",
        "a.b.c.d",
        "!.!.!",
        token_of({"alg": "none"}, {"iat": NOW}),
        token_of({"alg": "HS512"}, {"iat": NOW}),
        token_of({}, {"iat": NOW}),
        token_of([], {"iat": NOW}),
        token_of({"alg": "HS256"}, {}),
        token_of({"alg": "HS256"}, []),
        token_of({"alg": "HS256"}, {"iat": "soon"}),
        token_of({"alg": "HS256"}, {"iat": None}),
        token_of({"alg": "HS256"}, {"iat": NOW, "exp": NOW - 1}),
        token_of({"alg": "HS256"}, {"iat": NOW}, "other"),
    ],
)
def test_tokens_that_are_none_of_vonages(token):
    assert not VERIFIERS["vonage"](vonage(token, body=b""), SECRET, NOW)


def test_a_token_without_a_hash_says_nothing_of_a_body():
    token = token_of({"alg": "HS256"}, {"iat": NOW})
    assert VERIFIERS["vonage"](vonage(token, body=b""), SECRET, NOW)
    assert not VERIFIERS["vonage"](vonage(token), SECRET, NOW)
    digest = hashlib.sha256(b"{").hexdigest()
    assert VERIFIERS["vonage"](
        vonage(token_of({"alg": "HS256"}, {"iat": NOW, "payload_hash": digest}), b"{"), SECRET, NOW
    )


# --- Telnyx -----------------------------------------------------------------------------------------------------------

# Made with the private key of the bytes 0 to 31.
TELNYX_KEY = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
TELNYX_BODY = b"From=%2B49151&To=%2B4930999&CallSid=v3%3Aabc"
TELNYX_SIGNATURE = "29emn8b3FiL293NMfSY4LddZRw96zmgTaAx2Y0rlvhK0xv/ZywB6HENXodI1Rol/pic6JmwYvhE6GFQaP1AuDA=="


def telnyx(body=TELNYX_BODY, signature=TELNYX_SIGNATURE, timestamp="1700000000"):
    signed = {"telnyx_timestamp": timestamp, "telnyx_signature_ed25519": signature}
    return request_of("POST", VOICE, body=body, content_type=FORM, **signed)


def test_telnyx():
    pytest.importorskip("cryptography")
    verify = VERIFIERS["telnyx"]
    assert verify(telnyx(), TELNYX_KEY, NOW)
    assert verify(telnyx(), TELNYX_KEY, NOW + TOLERANCE_S)
    assert not verify(telnyx(), TELNYX_KEY, NOW + TOLERANCE_S + 1)
    assert not verify(telnyx(body=TELNYX_BODY + b"&x=1"), TELNYX_KEY, NOW)
    for timestamp in ("1700000001", "", "now", "\u0661700000000", "-1", "9" * 5000):
        assert not verify(telnyx(timestamp=timestamp), TELNYX_KEY, NOW)
    for signature in ("", "AAAA", "!", TELNYX_SIGNATURE[4:], TELNYX_SIGNATURE.replace("29", "39")):
        assert not verify(telnyx(signature=signature), TELNYX_KEY, NOW)
    for key in ("", "AAAA", "no base64", TELNYX_KEY.replace("A6", "A7")):
        assert not verify(telnyx(), key, NOW)


# --- Anything ---------------------------------------------------------------------------------------------------------

NAMES = [
    "authorization",
    "x-twilio-signature",
    "x-plivo-signature-v3",
    "x-plivo-signature-v3-nonce",
    "telnyx-timestamp",
]
HEADERS = st.dictionaries(st.sampled_from([*NAMES, "content-type", "telnyx-signature-ed25519"]), st.text(max_size=40))


@given(st.sampled_from(sorted(VERIFIERS)), HEADERS, st.binary(max_size=60), st.booleans())
def test_what_is_not_signed_is_refused_whatever_it_is(carrier, headers, body, is_upgrade):
    request = SignedRequest("POST", f"{VOICE}?a=1", headers, body, is_upgrade)
    assert not VERIFIERS[carrier](request, TELNYX_KEY, NOW)
