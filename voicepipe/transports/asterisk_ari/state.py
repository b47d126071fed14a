"""What Asterisk has of an application when the connection to ARI is there again, without I/O.

Events that happened meanwhile are not repeated, and an engine that died left behind what it had made. So the lists of
channels and bridges are compared with the calls that are up: `StateDifference` says what has to be done.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from attrs import field, frozen

from voicepipe.transports.asterisk_ari.events import AriChannel, parse_channel
from voicepipe.transports.asterisk_ari.requests import AriRequest, call_and_part, delete_request


@frozen
class Pair:
    """A caller and the target of a transfer, which an earlier process connected."""

    call: str
    caller: str
    target: str


@frozen
class StateDifference:
    """The difference between Asterisk's state and ours."""

    gone: tuple[str, ...] = ()
    """Channels of our calls that are not there any more."""
    entered: tuple[AriChannel, ...] = ()
    """Channels of our calls that are in the application, and may have come there unnoticed."""
    waiting: tuple[AriChannel, ...] = ()
    """Callers in the application whom no call of ours has: they came while ARI was away, or their engine died."""
    pairs: tuple[Pair, ...] = ()
    """Connected transfers that nobody watches."""
    deletions: tuple[AriRequest, ...] = ()
    """What was made for calls that are not up any more."""


@frozen
class _Found:
    """The channels and bridges of one call that is not up."""

    channels: dict[str, str] = field(factory=dict)  # the part of each ID
    bridges: dict[str, Collection[str]] = field(factory=dict)  # the channels in each


def compare(
    app: str, channels: Any, bridges: Any, live: Mapping[str, Collection[str]], expected: Collection[str]
) -> StateDifference:
    """Compares Asterisk's state with the calls that are up.

    Args:
        app: the application's name.
        channels: the answer to `GET /channels`.
        bridges: the answer to `GET /bridges`.
        live: the calls that are up, by their 32 digits, with the IDs of all channels that each has.
        expected: the channels that calls had before the lists were asked for; others may be younger than the lists.

    """
    known = {channel: call for call, mine in live.items() for channel in mine}
    present = {channel.id: channel for item in _list(channels) if (channel := parse_channel(item)) is not None}
    dead: dict[str, _Found] = {}
    waiting: list[AriChannel] = []
    entered: list[AriChannel] = []
    for channel in present.values():
        own, arguments = call_and_part(app, channel.id), channel.stasis_arguments
        is_inside = arguments is not None and arguments[0] == app
        if channel.id in known:
            if is_inside:
                entered.append(channel)
        elif own is not None and own[0] not in live:
            dead.setdefault(own[0], _Found()).channels[channel.id] = own[1]
        elif own is None and is_inside:
            waiting.append(channel)
    for item in _list(bridges):
        name = item.get("id") if isinstance(item, dict) else None
        own = call_and_part(app, name) if isinstance(name, str) else None
        if own is not None and own[0] not in live:
            inside = item.get("channels")
            dead.setdefault(own[0], _Found()).bridges[str(name)] = inside if isinstance(inside, list) else ()
    pairs = tuple(pair for call, found in dead.items() if (pair := _pair_in(call, found, present)) is not None)
    watched = {pair.call for pair in pairs}
    callers = {pair.caller for pair in pairs}
    return StateDifference(
        gone=tuple(channel for channel in known if channel in expected and channel not in present),
        entered=tuple(entered),
        waiting=tuple(channel for channel in waiting if channel.id not in callers),
        pairs=pairs,
        deletions=tuple(
            request for call, found in dead.items() for request in _deletions(found, spare=call in watched)
        ),
    )


def _pair_in(call: str, found: _Found, present: Mapping[str, AriChannel]) -> Pair | None:
    """The caller and the target that a bridge of a dead call still joins."""
    for inside in found.bridges.values():
        targets = [name for name in inside if found.channels.get(name) == "target"]
        callers = [name for name in inside if name in present and found.channels.get(name, "caller") == "caller"]
        if targets and callers:
            return Pair(call, callers[0], targets[0])
    return None


def _deletions(found: _Found, *, spare: bool) -> list[AriRequest]:
    """Deletes everything of a dead call; of one whose transfer goes on, only the media channel."""
    channels = {name: part for name, part in found.channels.items() if not spare or part == "media"}
    bridges = () if spare else tuple(found.bridges)
    return [delete_request(name, part) for name, part in channels.items()] + [
        delete_request(name, "bridge") for name in bridges
    ]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
