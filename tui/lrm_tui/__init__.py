"""The terminal UI's place in the layout; it holds no screen yet."""
