"""Typed configuration in, opened and versioned snapshots out."""
