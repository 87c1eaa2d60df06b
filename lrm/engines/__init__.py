"""Engines: local weights loaded so that models can be asked."""
