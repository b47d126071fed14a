"""Makes log records of the health of components, which all calls share: failed, not open, recovered."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from reference_engine.log.log import Log
    from voicepipe import ComponentHealth


def component_log(log: Log) -> Callable[[ComponentHealth], None]:
    """Returns an observer for `open_runtime` that logs when a component's circuit breaker opens and closes.

    `component.failed` is logged when the breaker opens, `component.not_open` for a component that could not be opened
    and that a version has to do without, `component.recovered` when either works again. The records have no `call_id`,
    because they concern all calls. Unsuccessful retries are not logged.
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
