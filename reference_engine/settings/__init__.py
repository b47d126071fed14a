"""engine.yaml and the options of `run`: how they are read, checked and compared."""
