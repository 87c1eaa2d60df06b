"""Backends: what carries out a call."""
