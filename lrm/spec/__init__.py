"""Specs: read, merged, resolved to a matrix."""
