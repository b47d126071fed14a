"""Turn-taking: who may speak, as pure rules: `turn_taking` is the entry, and says how it works."""
