#!/bin/bash
# What:      The signature checkers of two carriers' own libraries don't treat the URL of a WebSocket as they treat that of
#            a webhook. Plivo signs the requests for its audio streams, and its guide says to check them with the library's
#            validate_v3_signature and the full URL; the library for Python refuses any URL but http and https, so a right
#            signature over wss://... is an error and not True. Twilio's RequestValidator tries a URL with and without its
#            usual port, since Twilio signs either; for wss it takes 80 for the usual port, so a signature over
#            wss://host:443/... is refused where one over https://host:443/... is accepted.
# For whom:  Programs that check the signature of a carrier's WebSocket (Plivo's <Stream>, Twilio's <Connect><Stream>).
# How seen:  Signatures were made by the libraries' own functions for one URL in several forms, and checked by them.
# A good guess: what is accepted for https:// is accepted for wss://.
# Exit status: not 0 if this has changed.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install -q --disable-pip-version-check plivo==4.63.0 twilio==9.13.0
cat > "$place/look.py" <<'PYTHON'
from importlib.metadata import version

from plivo.utils import signature_v3, validate_v3_signature
from twilio.request_validator import RequestValidator

TOKEN, NONCE = "a-token", "05429567804466091622"


def by_plivo(url):
    signature = signature_v3.get_signature_v3(TOKEN, signature_v3.construct_get_url(url, {}), NONCE).decode()
    try:
        return validate_v3_signature("GET", url, NONCE, TOKEN, signature)
    except Exception as error:
        return type(error).__name__


def by_twilio(url, signed):
    validator = RequestValidator(TOKEN)
    return validator.validate(url, {}, validator.compute_signature(signed, {}))


print("plivo", version("plivo"), "twilio", version("twilio"))
seen = {}
for scheme in ("https", "wss"):
    url = f"{scheme}://voice.example.com/stream"
    with_port = url.replace(".com", ".com:443")
    seen[f"plivo, {scheme}"] = by_plivo(url)
    seen[f"twilio, {scheme}"] = by_twilio(url, url)
    seen[f"twilio, {scheme}, signed with :443"] = by_twilio(url, with_port)
for case, result in seen.items():
    print(f"{case:36} guess: True, seen: {result}")
expected = {"plivo, wss": "ValidationError", "twilio, wss, signed with :443": False}
raise SystemExit(seen != {case: expected.get(case, True) for case in seen})
PYTHON
"$place/venv/bin/python" -W ignore "$place/look.py"
