"""Reloads the engine's file and its pipeline sets."""
