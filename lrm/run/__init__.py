"""Runs: asking for what is missing and storing what comes back."""
