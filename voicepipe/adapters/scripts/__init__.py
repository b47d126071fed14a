"""What a script for the `scripted` language model is, and what it answers: pure, without I/O."""
