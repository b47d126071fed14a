"""Reloads at SIGHUP. Stop signals are in `stopping.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from reference_engine.lifecycle.systemd import ServiceManager
    from reference_engine.reloads.reloading import Reloader


async def reload_on_signals(hangups: AsyncIterator[int], reloader: Reloader, manager: ServiceManager) -> None:
    """Reloads everything for each SIGHUP and tells systemd, until it is cancelled.

    Signals that arrive during a reload cause one more. One that arrived before this was called is acted on too, because
    the receiver `hangups` was open already.
    """
    async for _signal in hangups:
        with manager.reloading():
            await reloader.reload(trigger="signal")
