"""Plans: what is there, what is missing, and why."""
