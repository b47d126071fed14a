"""From an utterance to what the caller hears: composing, speaking, playout."""
