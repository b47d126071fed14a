"""Deepgram: speech-to-text (Nova and Flux) and text-to-speech (Aura)."""
