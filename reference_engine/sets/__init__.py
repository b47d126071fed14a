"""Serves pipeline sets: opens, reloads, retries and removes them."""
