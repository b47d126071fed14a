"""The instructions that a carrier's webhook asks for: to connect the call to a WebSocket, in TwiML, TeXML, XML or NCCO.

Each says in both directions the format that the listener wants, and nothing after the stream: when the agent hangs up,
the carrier ends the call. Whoever wants more verbs writes the instructions himself.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement, tostring

from voicepipe.transports.media_stream.texts import NUMBER_CHARACTERS, clean, variables
from voicepipe.transports.media_stream.tickets import WebhookFacts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from voicepipe.audio import AudioFormat
    from voicepipe.transports.media_stream.dialects import Dialect

XML = "text/xml; charset=utf-8"
JSON = "application/json"


def instructions(dialect: Dialect, audio: AudioFormat, url: str) -> tuple[bytes, str]:
    """Returns the instructions to connect a call to a WebSocket, and their content type.

    Args:
        dialect: the carrier.
        audio: the format that the carrier is asked for.
        url: the WebSocket's URL.

    """
    encoding = dialect.encodings[audio.encoding]
    if dialect.name == "vonage":
        endpoint = {"type": "websocket", "uri": url, "content-type": f"{encoding};rate={audio.rate}"}
        return json.dumps([{"action": "connect", "endpoint": [endpoint]}]).encode(), JSON
    response = Element("Response")
    if dialect.name == "plivo":
        stream = SubElement(response, "Stream", bidirectional="true", keepCallAlive="true")
        stream.set("contentType", f"{encoding};rate={audio.rate}")
        stream.text = url
    else:
        stream = SubElement(SubElement(response, "Connect"), "Stream", url=url)
        if dialect.name == "telnyx":
            stream.set("track", "inbound_track")
            stream.set("codec", encoding)
            stream.set("bidirectionalMode", "rtp")
            stream.set("bidirectionalCodec", encoding)
            stream.set("bidirectionalSamplingRate", str(audio.rate))
        elif audio != dialect.audio[0]:  # the default needs no name, and Twilio has no other
            stream.set("codec", f"{encoding}@{audio.rate}h")
    return tostring(response, encoding="utf-8", xml_declaration=True), XML


def webhook_facts(dialect: Dialect, fields: Mapping[str, str], added: Mapping[str, str]) -> WebhookFacts:
    """Returns what a webhook says of a call.

    Args:
        dialect: the carrier.
        fields: the carrier's fields: those of the form or the JSON, or of the query.
        added: the query's parameters, among which may be some that the user added to the webhook's URL.

    """
    names = ("from", "to", "uuid") if dialect.name == "vonage" else ("From", "To", "CallSid", "CallUUID")
    caller, called, *ids = (clean(fields.get(name), NUMBER_CHARACTERS) for name in names)
    headers = {
        name.removeprefix("SipHeader_").removeprefix("X-PH-"): value
        for name, value in fields.items()
        if name.startswith(("SipHeader_", "X-PH-"))
    }
    own = {name: value for name, value in added.items() if not _is_carriers(dialect, name)}
    return WebhookFacts(caller, called, next(filter(None, ids), ""), variables(own, headers))


_VONAGE_FIELDS = frozenset(
    {
        *("from", "to", "uuid", "conversation_uuid", "region_url", "endpoint_type", "from_user", "custom_data"),
        *("request_uuid", "timestamp"),
    }
)


def _is_carriers(dialect: Dialect, name: str) -> bool:
    """Returns whether a parameter of the query is the carrier's own: most carriers' begin with a capital letter."""
    if name in {"token", "bodySHA256"} or name.startswith(("SipHeader_", "X-PH-")):
        return True
    return name in _VONAGE_FIELDS if dialect.name == "vonage" else name[:1].isupper()
