"""Asterisk by ARI: a Stasis application that answers, transfers and makes calls."""

from __future__ import annotations

from voicepipe.transports.asterisk_ari.listener import AsteriskAriListener, open_asterisk_ari
from voicepipe.transports.asterisk_ari.options import AsteriskAriOptions, check_installed, check_options
from voicepipe.transports.listener import TransportType

__all__ = ["AsteriskAriListener", "AsteriskAriOptions", "asterisk_ari"]

asterisk_ari = TransportType(
    "asterisk_ari", AsteriskAriOptions, open_asterisk_ari, check=check_options, check_installed=check_installed
)
"""The transport type `asterisk_ari`."""
