"""The subcommands of `voicepipe`, one file each: `add_to` describes its arguments, `run` does it."""
