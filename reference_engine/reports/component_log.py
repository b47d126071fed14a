"""Log records of components that calls share: failed, not open, recovered."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from reference_engine.log.log import Log
    from voicepipe import ComponentHealth


def component_log(log: Log) -> Callable[[ComponentHealth], None]:
    """An observer for `open_runtime` that writes a record when calls begin, and cease, to leave a component alone.

    One that a version has to do without, because it could not be opened, is `component.not_open`; once it has been, it
    is `component.recovered` as any other.

    Without a `call_id`: it is about all of them. That it was tried again in vain is not worth another record.
    """

    def write(health: ComponentHealth) -> None:
        component = {"role": health.role, "component": health.name, "adapter": health.adapter, "model": health.model}
        if health.state == "closed":
            log.info("component.recovered", **component)
        elif health.state == "open" and health.error is not None and not health.retries:
            write, name = (log.error, "component.failed") if health.was_open else (log.warning, "component.not_open")
            write(
                name,
                **component,
                message=health.error.message,
                retryable=health.error.retryable,
                fault=health.error.fault,
                answered=health.error.answered,
                hint=health.error.hint,
                retry_s=round(health.retry_s, 3),
            )

    return write
