"""The subcommands of `loans`, one module each."""
