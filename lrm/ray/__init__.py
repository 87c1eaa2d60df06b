"""Calls carried out by actors on a Ray cluster. Only what starts one imports `ray`."""
