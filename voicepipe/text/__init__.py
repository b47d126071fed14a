"""What can be known of text without I/O: words, noises, numbers."""
