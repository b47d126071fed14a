"""eSpeak NG in a helper process: text-to-speech."""
