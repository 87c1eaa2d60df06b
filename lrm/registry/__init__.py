"""Declarations: what they hold, where they are found, what of them is part of an id."""
