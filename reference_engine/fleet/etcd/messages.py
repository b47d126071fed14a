"""Requests to etcd and its answers, and both as its JSON gateway has them. Pure.

Keys and values are base64 there, 64-bit numbers are texts, and whatever is zero, empty or false is left out: a lease
that is unknown has no `TTL`, a deletion no `type` but its own name, and an empty range no `kvs`. An error in the middle
of a stream comes as `{"error": {...}}` after the status 200, one of a plain request as `{"error": "...", "code": 5}`.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from attrs import frozen

from reference_engine.fleet.etcd.errors import Compacted, EtcdRefused, LeaseNotFound

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NOT_FOUND = 5
"""gRPC's code for something that is not there."""


@frozen
class KeyValue:
    """A key with its value, as it was at a revision."""

    key: str
    """The key."""
    value: bytes = b""
    """The value; empty for one that was deleted."""
    create_revision: int = 0
    """The revision at which it was created."""
    mod_revision: int = 0
    """The revision at which it was changed last; of a deletion, at which it was deleted."""
    lease: int = 0
    """The lease with which it goes; 0: it stays."""


@frozen
class Put:
    """Sets a key, in a transaction."""

    key: str
    """The key."""
    value: bytes | None
    """The value; None: the one that it has, which must exist."""
    lease: int = 0
    """The lease with which it goes; 0: it stays."""


@frozen
class Delete:
    """Deletes a key, in a transaction."""

    key: str
    """The key."""
    prefix: bool = False
    """Whether all keys that begin with it are deleted."""


@frozen
class KeyCompare:
    """A condition of a transaction, on one key or on all that begin with it."""

    key: str
    """The key."""
    target: Literal["mod", "create"]
    """Which of its revisions is compared; that of a key that is not there is 0."""
    result: Literal["equal", "less", "greater"]
    """What it must be."""
    revision: int
    """What it is compared with."""
    prefix: bool = False
    """Whether the condition is for each key that begins with it; it holds if there is none."""


Change: TypeAlias = Put | Delete


@frozen
class RangeResult:
    """Keys with their values."""

    revision: int
    """The revision of the whole store at which they were read."""
    kvs: tuple[KeyValue, ...] = ()
    """The keys, in their order."""


@frozen
class TxnResult:
    """The outcome of a transaction."""

    succeeded: bool
    """Whether the conditions held, so that its changes were made."""
    revision: int
    """The revision of the store afterwards."""


@frozen
class WatchEvent:
    """A change of a key."""

    kv: KeyValue
    """The key, as it is after the change."""
    deleted: bool = False
    """Whether it was deleted, or went with its lease."""


@frozen
class WatchBatch:
    """The changes of one revision or of several."""

    revision: int
    """The revision up to which all changes have been reported."""
    events: tuple[WatchEvent, ...] = ()
    """The changes, in the order in which they were made; none if only the revision is reported."""


def after_prefix(prefix: str) -> bytes:
    """Returns the end of the range of all keys that begin with a prefix: the next text of its length."""
    data = prefix.encode().rstrip(b"\xff")
    return data[:-1] + bytes([data[-1] + 1]) if data else b"\0"


def range_request(key: str, *, prefix: bool = False) -> dict[str, Any]:
    """Returns the body of `/v3/kv/range`."""
    return _keys(key, prefix)


def txn_request(compares: Sequence[KeyCompare], success: Sequence[Change]) -> dict[str, Any]:
    """Returns the body of `/v3/kv/txn`."""
    return {"compare": [_compare(one) for one in compares], "success": [_change(one) for one in success]}


def watch_request(key: str, *, prefix: bool, from_revision: int) -> dict[str, Any]:
    """Returns the body of `/v3/watch`, for changes from a revision on."""
    keys = _keys(key, prefix)
    return {"create_request": {**keys, "start_revision": str(from_revision), "progress_notify": True}}


def _keys(key: str, prefix: bool) -> dict[str, str]:
    keys = {"key": _base64(key.encode())}
    return keys | {"range_end": _base64(after_prefix(key))} if prefix else keys


def _compare(compare: KeyCompare) -> dict[str, Any]:
    field = f"{compare.target}_revision"
    keys = _keys(compare.key, compare.prefix)
    return {
        **keys,
        "target": compare.target.upper(),
        "result": compare.result.upper(),
        field: str(compare.revision),
    }


def _change(change: Change) -> dict[str, Any]:
    if isinstance(change, Delete):
        return {"request_delete_range": _keys(change.key, change.prefix)}
    value: dict[str, Any] = {"ignore_value": True} if change.value is None else {"value": _base64(change.value)}
    return {"request_put": {"key": _base64(change.key.encode()), **value, "lease": str(change.lease)}}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def range_result(answer: Mapping[str, Any]) -> RangeResult:
    """Returns what `/v3/kv/range` has answered."""
    return RangeResult(revision_of(answer), tuple(_key_value(kv) for kv in answer.get("kvs", ())))


def txn_result(answer: Mapping[str, Any]) -> TxnResult:
    """Returns what `/v3/kv/txn` has answered."""
    return TxnResult(bool(answer.get("succeeded")), revision_of(answer))


def revision_of(answer: Mapping[str, Any]) -> int:
    """Returns the revision of the store that an answer tells."""
    return int(answer.get("header", {}).get("revision", 0))


def watch_batch(answer: Mapping[str, Any]) -> WatchBatch:
    """Returns the changes that a message of a watch reports.

    Raises:
        Compacted: its revision is not kept any more.
        EtcdRefused: etcd has cancelled the watch.

    """
    if answer.get("canceled"):
        if compacted := int(answer.get("compact_revision", 0)):
            raise Compacted(f"etcd keeps no changes from before revision {compacted}", 11)
        reason = str(answer.get("cancel_reason", "")) or "no reason is given"
        raise refused({"message": reason})
    events = tuple(
        WatchEvent(_key_value(event["kv"]), deleted=event.get("type") == "DELETE") for event in answer.get("events", ())
    )
    # The head of a message has the revision of the whole store, up to which there may be more events to come.
    return WatchBatch(events[-1].kv.mod_revision if events else revision_of(answer), events)


def _key_value(kv: Mapping[str, Any]) -> KeyValue:
    return KeyValue(
        base64.b64decode(kv["key"]).decode(errors="replace"),
        base64.b64decode(kv.get("value", "")),
        int(kv.get("create_revision", 0)),
        int(kv.get("mod_revision", 0)),
        int(kv.get("lease", 0)),
    )


def refused(error: Mapping[str, Any]) -> EtcdRefused:
    """Returns the error that etcd has answered, on its own or within a stream."""
    code = int(error.get("code", error.get("grpc_code", 0)))
    message = str(error.get("message") or error.get("error") or "an error without a message")
    kind = LeaseNotFound if "lease not found" in message else Compacted if "compacted" in message else EtcdRefused
    return kind(message.removeprefix("etcdserver: "), code)


class LineReader:
    """Cuts a stream of the gateway into its messages, one a line."""

    def __init__(self) -> None:
        self._unfinished = bytearray()

    def read(self, data: bytes) -> list[bytes]:
        """Returns the lines that these bytes complete, for `message_of`."""
        self._unfinished += data
        *lines, rest = bytes(self._unfinished).split(b"\n")
        self._unfinished = bytearray(rest)
        return [line for line in lines if line.strip()]


def message_of(line: bytes) -> dict[str, Any]:
    """Returns the message of a line of a stream, without the `result` around it.

    Raises:
        EtcdRefused: it is an error.
        ValueError: it is no JSON object.

    """
    message = json.loads(line)
    if not isinstance(message, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - for the caller it is like all that is no JSON
    if "error" in message:
        error = message["error"]
        raise refused(error if isinstance(error, dict) else message)
    result = message.get("result", message)
    if not isinstance(result, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - as above
    return result
