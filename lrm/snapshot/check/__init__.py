"""Whether a snapshot holds what it says, before anything of it is used."""
