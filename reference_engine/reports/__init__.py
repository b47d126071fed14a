"""Observes calls, components and reloads, and reports them: in logs, metrics, sessions and JSON bodies."""
