"""The views, one a module."""
