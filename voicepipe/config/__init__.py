"""Configuration: YAML text in, typed and located settings out. Opens nothing."""
