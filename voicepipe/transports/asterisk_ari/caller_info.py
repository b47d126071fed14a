"""Who calls whom: a `CallInfo` of a caller's channel, without I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from voicepipe.components.requests import CallInfo

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from voicepipe.transports.asterisk_ari.events import AriChannel

OF_THE_CALL: Final = frozenset({"called", "caller", "pipeline"})
"""Arguments of `Stasis()` that are no variables, but fields of `CallInfo`."""


def info_of(channel: AriChannel, arguments: Sequence[str], read: Mapping[str, str], listener: str) -> CallInfo:
    """Makes the information about a call that has come in.

    An argument of `Stasis()` is `name=value`, or has its position for a name: `Stasis(voicepipe,tenant=acme,7)` gives
    the variables `tenant` and `2`. `called=`, `caller=` and `pipeline=` are those of the call.

    Args:
        channel: the caller's channel.
        arguments: the arguments of `Stasis()` after the application's name.
        read: variables that were read from the channel.
        listener: the listener's name.

    """
    variables = dict(channel.variables) | dict(read)
    if channel.caller_name:
        variables.setdefault("caller_name", channel.caller_name)
    given: dict[str, str] = {}
    for position, argument in enumerate(arguments, 1):
        name, is_named, value = argument.partition("=")
        if not is_named:
            variables[str(position)] = argument
        elif name.strip() in OF_THE_CALL:
            given[name.strip()] = value
        else:
            variables[name.strip()] = value
    return CallInfo(
        called=given.get("called", "") or channel.extension,
        caller=given.get("caller", "") or channel.number,
        listener=listener,
        variables=variables,
        transport_id=channel.id,
        pipeline=given.get("pipeline", ""),
    )
