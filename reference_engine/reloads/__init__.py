"""Reloads of the engine's file and of its pipeline sets."""
