"""A supervisor that ends leaves no worker behind, however far that is."""

from __future__ import annotations

import os
import sys

import trio
from patience import LONG_S

from reference_engine.link.link import open_links
from reference_engine.link.messages import WorkerStarted
from reference_engine.link.worker_start import WorkerStart
from reference_engine.settings.run_options import RunOptions


async def test_a_worker_that_has_not_begun_to_serve_ends_at_once(home):
    """It waits to be told what to serve, by nobody any more."""
    link, theirs = open_links()
    log_lock = os.memfd_create("log-lock")
    with link, theirs:
        start = WorkerStart(
            number=2,
            generation=1,
            link=theirs.fileno(),
            log_lock=log_lock,
            log_format="json",
            colours=False,
            run=RunOptions(file=home / "ai-agent.yaml", control=home / "c.sock").as_data(),
            addresses={"audiosocket": ("127.0.0.1", 1)},
        )
        command = [sys.executable, "-m", "reference_engine.worker_program", start.as_text()]
        process = await trio.lowlevel.open_process(command, pass_fds=[theirs.fileno(), log_lock], cwd=home)
        try:
            theirs.close()
            with trio.fail_after(LONG_S):
                while not isinstance((await link.receive()).message, WorkerStarted):
                    pass
                link.close()
                assert await process.wait() == 0
        finally:
            os.close(log_lock)
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
