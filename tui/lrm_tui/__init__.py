"""The terminal UI: views of the catalog, from the matrix down to a single reasoning trace."""
