"""`python -m reference_engine.supervisor PLAN FILE`: `reference-engine run` executes it for several workers.

PLAN is the descriptor of its plan; FILE is there for whoever reads a list of processes.
"""

from __future__ import annotations

import os
import sys

import trio

from reference_engine.errors import EngineError
from reference_engine.lifecycle.early_signals import ignore_late_signals
from reference_engine.log.line_writer import LineWriter
from reference_engine.log.rendering import open_plain_log
from reference_engine.supervisor.plan import SupervisorPlan
from reference_engine.supervisor.running import run_supervisor


def main() -> int:
    """Runs the supervisor and returns its exit status."""
    plan = SupervisorPlan.read(int(sys.argv[1]))
    status = 1
    log_lock = os.memfd_create("voicepipe-log-lock", os.MFD_CLOEXEC)
    with LineWriter(sys.stderr.fileno(), lock=log_lock) as lines:
        log = open_plain_log(lines, plan.log_format, colours=plan.colours)
        try:
            status = trio.run(run_supervisor, plan, log, log_lock)
        except* EngineError as errors:
            for failed in errors.exceptions:
                log.error("engine.failed", reason=str(failed))  # noqa: TRY400 - the reason says all
        ignore_late_signals()
    return status


sys.exit(main())
