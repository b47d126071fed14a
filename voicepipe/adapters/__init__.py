"""One package an adapter; each registers itself by entry point and knows nothing of the others."""
