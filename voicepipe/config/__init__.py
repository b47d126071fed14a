"""Configuration: YAML text in, typed and located settings out. Opens nothing."""

from __future__ import annotations

from voicepipe.config.load import load_config
from voicepipe.config.settings import SetConfig

__all__ = ["SetConfig", "load_config"]
