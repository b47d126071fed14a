"""PocketSphinx in worker processes: speech-to-text of known phrases."""
