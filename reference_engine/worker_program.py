"""`python -m reference_engine.worker_program START` runs a worker: its supervisor starts it, and hands it its link."""

from __future__ import annotations

import sys

from reference_engine.lifecycle.early_signals import take_early_signals

take_early_signals()

from reference_engine.link.worker_start import WorkerStart  # noqa: E402 - see `early_signals`
from reference_engine.starting import start_worker  # noqa: E402

sys.exit(start_worker(WorkerStart.of_text(sys.argv[1])))
