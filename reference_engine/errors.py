"""What an operator can run into that is not about the configuration."""


class EngineError(Exception):
    """Something outside the engine stands in its way; the message says what, and what to do."""
