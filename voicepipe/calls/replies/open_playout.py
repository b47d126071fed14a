"""Opens the playout of a call, in the form that its transport asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voicepipe.calls.replies.buffered_playout import BufferedPlayout
from voicepipe.calls.replies.timed_playout import TimedPlayout

if TYPE_CHECKING:
    from collections.abc import Callable

    from voicepipe.audio import Sound
    from voicepipe.calls.listening.echo import EchoGuard
    from voicepipe.calls.recording import RecordedTransport
    from voicepipe.calls.replies.playout import Playout
    from voicepipe.calls.tasks import Tasks
    from voicepipe.clock.clock import Clock
    from voicepipe.config.call_settings import StreamingSettings
    from voicepipe.transports.protocol import Transport


def open_playout(
    transport: Transport,
    clock: Clock,
    streaming: StreamingSettings,
    tasks: Tasks,
    *,
    failed: Callable[[Exception | SystemExit], None],
    echo: EchoGuard | None,
    recording: RecordedTransport | None,
    noise: Sound | None,
) -> Playout:
    """Returns the playout of a call.

    Args:
        transport: where the audio goes; its `pacing` decides the form.
        clock: wakes the playout.
        streaming: how far ahead audio is written.
        tasks: the call's.
        failed: called with what the transport raises.
        echo: learns what the agent says; None: there is no echo guard.
        recording: records it, unless it records what it passes on by itself; None: the call is not recorded.
        noise: played whenever nothing else is; None: silence.

    """
    on_sounding = None if echo is None else echo.played
    if transport.pacing == "ours":
        return TimedPlayout(
            transport, clock.ticker, streaming.lead_ms, tasks, failed=failed, on_written=on_sounding, noise=noise
        )
    return BufferedPlayout(
        transport,
        clock.refills,
        streaming.ahead_ms,
        tasks,
        failed=failed,
        on_sounding=on_sounding,
        on_heard=None if recording is None else recording.add_agent_audio,
        noise=noise,
    )
