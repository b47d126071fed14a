"""The pipeline sets that an engine serves."""
