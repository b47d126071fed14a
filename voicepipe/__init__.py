"""Voice pipelines for telephone lines: composed in YAML, changed while calls are up."""
