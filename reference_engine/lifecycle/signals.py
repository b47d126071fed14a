"""Signals that a running engine acts on: SIGHUP reloads."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from reference_engine.lifecycle.systemd import ServiceManager
    from reference_engine.reloads.reloading import Reloading


async def reload_on_signals(hangups: AsyncIterator[int], reloading: Reloading, manager: ServiceManager) -> None:
    """Reloads everything for each SIGHUP, and tells systemd; a burst that comes during a reload makes one more.

    A SIGHUP that came before this began is not lost: the receiver that `hangups` is of has kept it.
    """
    async for _signal in hangups:
        with manager.reloading():
            await reloading.reload(trigger="signal")
