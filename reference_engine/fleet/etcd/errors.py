"""What may go wrong with etcd."""

from __future__ import annotations

from reference_engine.errors import EngineError


class EtcdError(EngineError):
    """A request to etcd failed; the message says which server, and why."""


class EtcdUnavailable(EtcdError):  # noqa: N818 - a state of etcd, not a mistake
    """No server of etcd has answered, or the one that did has no leader; nothing was changed by the request."""


class EtcdUnknown(EtcdUnavailable):
    """A request that changes something was not answered: whether it was carried out is not known."""


class EtcdRefused(EtcdError):  # noqa: N818 - etcd's answer
    """Etcd has refused a request.

    Attributes:
        code: gRPC's code: 3 the request is invalid, 5 something is not there, 7 permission denied, 9 not now.

    """

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class LeaseNotFound(EtcdRefused):
    """The lease has expired, or was revoked."""


class Compacted(EtcdRefused):
    """The revision that a watch was to begin at is not kept any more: read the present state, and watch from there."""
