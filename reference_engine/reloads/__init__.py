"""Reloads: what asks for them, in which order they run, and what came of them."""
