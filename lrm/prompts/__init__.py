"""Prompt sets: found, checked, read, chosen from."""
