"""One adapter a file; each registers itself by entry point and knows nothing of the others."""
