"""`python -m reference_engine` is `reference-engine`."""

import sys

from reference_engine.cli import main

sys.exit(main())
