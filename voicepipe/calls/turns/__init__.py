"""Turn-taking: pure rules that decide who may speak; `turn_taking` is the entry, and explains them."""
