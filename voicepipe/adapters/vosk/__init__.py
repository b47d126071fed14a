"""Vosk in worker processes: speech-to-text."""
