"""The subcommands of `reference-engine`, a module for each: its arguments, its help, and what it does."""
