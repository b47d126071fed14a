"""Records of calls: written as they happen to a file or a database, and read again for commands and pages."""
