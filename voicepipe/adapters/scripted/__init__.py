"""A language model that follows a script: for demos, tests and fixed dialogues."""
