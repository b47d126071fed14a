"""The life of an engine process: signals, readiness, the drain and the end, systemd."""
