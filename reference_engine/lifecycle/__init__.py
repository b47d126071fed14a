"""How the engine lives and ends: early signals, readiness, stopping, systemd."""
