"""The contract between calls and adapters, and the boundary that holds adapters to it."""
