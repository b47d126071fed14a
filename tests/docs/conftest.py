import sys
from pathlib import Path

# MkDocs finds hooks by their path, and so do their tests.
sys.path.insert(0, str(Path(__file__).parents[2] / "docs" / "hooks"))
