"""Finds private words in texts: card and account numbers, telephone numbers, e-mail addresses, own patterns. Sans-IO.

Nothing else in voicepipe or the engine knows what private words look like: `redact` and `logging.transcripts` both ask
here.
"""
