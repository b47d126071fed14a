"""Reads, checks and compares `engine.yaml`, and the options of `run`."""
