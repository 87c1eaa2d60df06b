"""Judges: from a trace to a verdict."""
