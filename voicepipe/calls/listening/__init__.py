"""From the caller's frames to transcripts: voice activity, echo, the recogniser."""
