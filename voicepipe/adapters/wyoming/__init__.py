"""The Wyoming protocol: speech-to-text and text-to-speech of Home Assistant's servers."""
