"""OpenAI and compatible servers: language model, speech-to-text and text-to-speech."""
