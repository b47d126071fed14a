"""The `Transport` protocol, which brings calls in, and its implementations."""
