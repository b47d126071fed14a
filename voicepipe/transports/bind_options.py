"""Options that transports which listen have in common: the address to bind to. No I/O."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from attrs import field
from attrs.validators import ge, le

if TYPE_CHECKING:
    from attrs import Attribute

_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9.-]{1,253}")


def is_loopback(host: str) -> bool:
    """Returns whether only this machine can connect to an address; of names, only `localhost` is known to be so."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_host(_instance: Any, _field: Attribute[str], host: str) -> None:
    """Raises `ValueError` unless the text is an IP address or a host name; a validator of attrs."""
    try:
        ip_address(host)
    except ValueError:
        if not _HOST_NAME.fullmatch(host):
            raise ValueError("must be an IP address or a host name, without a port") from None


def host_field(default: str = "127.0.0.1") -> Any:
    """Returns the field of an address to bind to, for an options class of attrs."""
    return field(default=default, validator=is_host)


def port_field(default: int) -> Any:
    """Returns the field of a port to bind to, for an options class of attrs; 0 takes a free one."""
    return field(default=default, validator=[ge(0), le(65_535)])
