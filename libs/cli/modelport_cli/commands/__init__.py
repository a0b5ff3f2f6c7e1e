"""The commands, one module a group. None imports the SDK before it runs: `--help` is to be quick."""
