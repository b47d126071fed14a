"""The kit for transports on the dialects of media streams that T01 leaves out, as far as they differ from those."""

from __future__ import annotations

import pytest
from kit_peers import TOKEN, carrier
from media_streams import PlivoStream, SignalWireStream, TelnyxStream

from voicepipe import Secret
from voicepipe.testing import transports
from voicepipe.transports.media_stream.dialects import MULAW
from voicepipe.transports.media_stream.options import MediaStreamOptions
from voicepipe.transports.media_stream.transport_type import media_stream


@pytest.mark.parametrize("kind", [TelnyxStream, PlivoStream, SignalWireStream])
async def test_the_other_dialects(kind):
    url, token = "https://voice.example.com", Secret(TOKEN)
    options = MediaStreamOptions(dialect=kind.name, public_url=url, port=0, token=token)
    await transports.transport(media_stream, options, **carrier(kind, MULAW)).check(
        [
            "the_caller_is_heard",
            "the_agent_is_heard",
            "keys_arrive_once_and_in_order",
            "clear_drops_only_what_came_before",
            "marks_are_reported_once_and_in_order",
            "marks_survive_a_clear",
            "the_callers_hang_up_is_delivered_once_and_last",
        ]
    )
