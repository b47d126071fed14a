"""Turn-taking: who may speak, as a table of pure rules."""
