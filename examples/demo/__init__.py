"""The demonstration: real calls to a real engine, and reloads while they are up. `python -m examples.demo` runs it."""
