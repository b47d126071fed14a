"""Why the demonstration could not go on."""


class DemoFailed(Exception):  # noqa: N818 - it is not the code's error, but what became of the demonstration
    """Something without which the story can't go on did not happen; the message says what."""
