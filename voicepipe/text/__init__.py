"""Pure functions on text: words, noises, numbers."""
