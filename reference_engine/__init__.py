"""A thin telephone server on the voicepipe SDK."""
