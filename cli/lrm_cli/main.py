"""The `lrm` command."""
