"""The supervisor of an engine with several workers: it holds no calls, imports no vendor's library, and stays small."""
