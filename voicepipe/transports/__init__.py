"""Where calls come from: the Transport Protocol and its implementations."""
