"""What is known of a call when it begins: numbers and variables, from `MEDIA_START` or from the URL's query."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from attrs import frozen

from voicepipe.components.requests import CallInfo

if TYPE_CHECKING:
    from collections.abc import Mapping

    from voicepipe.transports.asterisk_websocket.wire_format import MediaStart

UseQuery: TypeAlias = Literal["auto", "always", "never"]
"""When parameters of the URL's query become variables. `auto`: in calls whose channel has none of the variables that
`DetailNames` names. `always`: those that are not among the channel's variables. `never`: not at all."""

_OF_CHAN_WEBSOCKET: Final = "MEDIA_WEBSOCKET_"


@frozen
class DetailNames:
    """The names of the variables that have a call's own fields; of several, the first that is there and not empty."""

    caller: tuple[str, ...] = ("VP_CALLER", "caller")
    """Those with the caller's number."""
    called: tuple[str, ...] = ("VP_CALLED", "called", "did")
    """Those with the number that was dialled."""
    call: tuple[str, ...] = ("VP_CHAN", "uuid")
    """Those with the dialplan's ID of the call."""
    use_query: UseQuery = "auto"
    """When the query counts."""


def call_info(start: MediaStart, query: Mapping[str, str], names: DetailNames, listener: str) -> CallInfo:
    """Returns a call's info.

    Args:
        start: the event with which it began.
        query: the parameters of the URL, without secrets. Asterisk may repeat those of an earlier call of the same
            section of websocket_client.conf: its `v()` sets them, and nothing removes them.
        names: where its fields are.
        listener: the name for `CallInfo.listener`.

    """
    told = {name.lstrip("_") for name in (*names.caller, *names.called, *names.call)} & start.variables.keys()
    uses_query = names.use_query == "always" or (names.use_query == "auto" and not told)
    variables = {
        **(query if uses_query else {}),
        **{name: value for name, value in start.variables.items() if not name.startswith(_OF_CHAN_WEBSOCKET)},
    }

    def first_of(candidates: tuple[str, ...]) -> str:
        return next(filter(None, (variables.get(name.lstrip("_"), "") for name in candidates)), "")

    return CallInfo(
        called=first_of(names.called),
        caller=first_of(names.caller),
        listener=listener,
        variables=variables,
        transport_id=first_of(names.call) or start.channel_id,
    )
