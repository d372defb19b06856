"""The `coe-ray` command: one file a subcommand, thin over the other rooms."""
