"""What a supervisor and its workers have in common: the link between them, and the messages over it."""
