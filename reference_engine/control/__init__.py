"""The engine's control: an HTTP application, the Unix socket that it listens on, and the client that asks it."""
