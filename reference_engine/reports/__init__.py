"""What observes calls, components and reloads, and reports them: logs, metrics, sessions, JSON."""
