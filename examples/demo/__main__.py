"""`python -m examples.demo`: see it once, in real time, in less than a minute."""

import signal
import sys

signal.signal(signal.SIGINT, signal.SIG_DFL)  # until it plays, Ctrl-C just ends it: no traceback out of an import

from examples.demo.command import main  # noqa: E402 - see above

sys.exit(main())
