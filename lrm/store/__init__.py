"""The catalog and the journal."""
