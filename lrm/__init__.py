"""The engine: declarations, specs, plans, runs and the catalog. Import the submodule that you need."""

__version__ = "0.1.0"
